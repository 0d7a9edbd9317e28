/** What this server may ask of others, and what it takes for an answer. */
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { isLoopbackAddress, isPublicAddress } from "../src/egress/address.ts";
import { guardedGet, type Resolve } from "../src/egress/guarded-get.ts";

const NOBODY = { privatePlaces: new Set<string>() };
const LIMITS = { timeoutMs: 1_000, maxBytes: 1_000 };

let server: Server | undefined;
let asked = 0;

afterEach(async () => {
  server?.closeAllConnections();
  await new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
  server = undefined;
  asked = 0;
});

async function listen(answer: RequestListener): Promise<number> {
  server = createServer((request, response) => {
    asked += 1;
    answer(request, response);
  });
  await new Promise<void>((resolve) => server?.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

const to =
  (...addresses: string[]): Resolve =>
  async () =>
    addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));

describe("an address", () => {
  test.each([
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.255",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:8.8.8.8",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
    "fc00::1",
    "fd12::1",
    "fe80::1",
    "ff02::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "3fff::1",
    "localhost",
    "",
    "8.8.8",
  ])("%j is not public", (address) => {
    expect(isPublicAddress(address)).toBe(false);
  });

  test.each(["8.8.8.8", "1.1.1.1", "172.32.0.1", "192.169.0.1", "2606:4700:4700::1111", "2001:4860:4860::8888"])(
    "%j is public",
    (address) => {
      expect(isPublicAddress(address)).toBe(true);
    },
  );

  test("that is loopback is never public", () => {
    fc.assert(
      fc.property(fc.ipV4(), (address) => {
        expect(isLoopbackAddress(address) && isPublicAddress(address)).toBe(false);
      }),
    );
  });
});

describe("a guarded GET", () => {
  test.each([
    "http://example.com/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "data:text/plain,x",
    "https://user:pw@example.com/",
    "no url",
  ])("does not ask %j", async (url) => {
    await expect(guardedGet(url, NOBODY, LIMITS, to("8.8.8.8"))).rejects.toMatchObject({ code: "egress-refused" });
  });

  test.each([
    ["https://127.0.0.1/", "8.8.8.8"],
    ["https://[::1]/", "8.8.8.8"],
    ["https://2130706433/", "8.8.8.8"],
    ["https://0x7f.1/", "8.8.8.8"],
    ["https://public.example/", "10.0.0.1"],
    ["https://public.example/", "::ffff:10.0.0.1"],
    ["https://metadata.example/", "169.254.169.254"],
  ])("does not connect to %s when it is %s", async (url, address) => {
    await expect(guardedGet(url, NOBODY, LIMITS, to(address))).rejects.toMatchObject({ code: "egress-refused" });
  });

  test("does not connect when only one of a name's addresses is private", async () => {
    const answer = guardedGet("https://mixed.example/", NOBODY, LIMITS, to("8.8.8.8", "127.0.0.1"));
    await expect(answer).rejects.toMatchObject({ code: "egress-refused" });
  });

  test("asks a place that was allowed, at the address that was looked at, and no other port of it", async () => {
    const port = await listen((request, response) => response.end(`hello ${request.headers.host}`));
    const rules = { privatePlaces: new Set([`ci.internal.test:${port}`]) };
    const answer = await guardedGet(`http://ci.internal.test:${port}/x`, rules, LIMITS, to("127.0.0.1"));
    expect(Buffer.from(answer).toString()).toBe(`hello ci.internal.test:${port}`);
    const other = guardedGet(`http://ci.internal.test:${port + 1}/x`, rules, LIMITS, to("127.0.0.1"));
    await expect(other).rejects.toMatchObject({ code: "egress-refused" });
  });

  test("asks a private place that is not this machine over https only", async () => {
    const rules = { privatePlaces: new Set(["ci.internal.test"]) };
    const answer = guardedGet("http://ci.internal.test/", rules, LIMITS, to("10.0.0.1"));
    await expect(answer).rejects.toMatchObject({ code: "egress-refused" });
  });

  test("resolves a name once: what it says later is not asked", async () => {
    const port = await listen((_request, response) => response.end("ok"));
    let resolutions = 0;
    const rebinding: Resolve = async () => {
      resolutions += 1;
      return [{ address: resolutions === 1 ? "127.0.0.1" : "10.0.0.1", family: 4 }];
    };
    const rules = { privatePlaces: new Set([`re.bind.test:${port}`]) };
    await guardedGet(`http://re.bind.test:${port}/`, rules, LIMITS, rebinding);
    expect(resolutions).toBe(1);
  });

  test.each([
    ["a redirect", 302],
    ["a failure", 500],
    ["no content", 204],
    ["a part", 206],
  ])("takes %s (%i) for no answer, and asks nobody else", async (_what, status) => {
    const port = await listen((_request, response) => response.writeHead(status, { location: "/again" }).end());
    const rules = { privatePlaces: new Set([`127.0.0.1:${port}`]) };
    await expect(guardedGet(`http://127.0.0.1:${port}/`, rules, LIMITS)).rejects.toMatchObject({
      code: "egress-failed",
    });
    expect(asked).toBe(1);
  });

  test.each([
    ["more bytes than are taken", (): RequestListener => (_request, response) => response.end("x".repeat(1_001))],
    [
      "no end",
      (): RequestListener => (_request, response) => {
        const timer = setInterval(() => response.write("x".repeat(500)), 5);
        response.on("close", () => clearInterval(timer));
      },
    ],
    ["nothing", (): RequestListener => () => undefined],
    [
      "less than it said",
      (): RequestListener => (_request, response) => {
        response.writeHead(200, { "content-length": "100" }).write("x");
        setTimeout(() => response.destroy(), 20);
      },
    ],
  ])("takes %s for no answer, in time", async (_what, make) => {
    const port = await listen(make());
    const rules = { privatePlaces: new Set([`127.0.0.1:${port}`]) };
    const began = Date.now();
    await expect(guardedGet(`http://127.0.0.1:${port}/`, rules, LIMITS)).rejects.toMatchObject({
      code: "egress-failed",
    });
    expect(Date.now() - began).toBeLessThan(5_000);
  });

  test("waits no longer for a name's addresses than for anything else", async () => {
    const never: Resolve = () => new Promise(() => undefined);
    const answer = guardedGet("https://slow.example/", NOBODY, { ...LIMITS, timeoutMs: 50 }, never);
    await expect(answer).rejects.toMatchObject({ code: "egress-failed" });
  });
});
