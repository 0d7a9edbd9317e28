import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { paintVerdicts, wantsColor } from "../src/color.ts";
import { requestLine } from "../src/trace.ts";
import { Desk } from "./desk.ts";
import { startPretender, startTestServer, type TestServer } from "./server.ts";

const ESC = "\u001b";

describe("colour", () => {
  it.each([
    // asked, environment, configured, terminal, answer
    [undefined, {}, undefined, true, true],
    [undefined, {}, undefined, false, false],
    [undefined, { TERM: "dumb" }, undefined, true, false],
    [undefined, { NO_COLOR: "1" }, undefined, true, false],
    [undefined, { NO_COLOR: "" }, undefined, true, true],
    [undefined, { FORCE_COLOR: "1" }, undefined, false, true],
    [undefined, { FORCE_COLOR: "0" }, undefined, true, false],
    [undefined, { NO_COLOR: "1", FORCE_COLOR: "1" }, undefined, false, false],
    [undefined, {}, "always", false, true],
    [undefined, {}, "never", true, false],
    [undefined, { NO_COLOR: "1" }, "always", true, false],
    ["always", { NO_COLOR: "1" }, undefined, false, true],
    ["never", { FORCE_COLOR: "1" }, undefined, true, false],
    ["auto", { NO_COLOR: "1" }, undefined, true, true],
  ] as const)("asked %s, with %j, configured %s, on a terminal %s: %s", (asked, env, configured, terminal, answer) => {
    expect(wantsColor(asked, env, configured, terminal)).toBe(answer);
  });

  it("is on the verdict at the beginning of a line alone, and takes no word away", () => {
    const text = "NOT VERIFIED  none\nverified  x\n  refused  verified by\nverifiedly\nhe said denied";
    const painted = paintVerdicts(text);
    expect(painted).toBe(
      `${ESC}[31mNOT VERIFIED${ESC}[0m  none\n${ESC}[32mverified${ESC}[0m  x\n  ${ESC}[31mrefused${ESC}[0m  verified by\nverifiedly\nhe said denied`,
    );
    expect(painted.replaceAll(/\u001b\[\d+m/g, "")).toBe(text);
  });
});

describe("what is told of a request", () => {
  it("is method, address, status and time, and no value that could be a secret", () => {
    const url = new URL("https://u:pw@s3.example/b/k?X-Amz-Signature=secret1&token=secret2&limit=5&scope=a:b");
    const told = { method: "GET", url, status: 200, ms: 12.4 } as const;
    expect(requestLine(told, "text")).toBe(
      "GET https://s3.example/b/k?X-Amz-Signature=…&token=…&limit=5&scope=a%3Ab  200  12 ms",
    );
    expect(JSON.parse(requestLine({ ...told, status: undefined }, "json"))).toMatchObject({
      request: { method: "GET", status: null, ms: 12 },
    });
  });
});

describe("the command line's manner", () => {
  let server: TestServer;
  let desk: Desk;

  beforeAll(async () => {
    server = await startTestServer();
    desk = new Desk({ ASSAY_URL: server.url, ASSAY_TOKEN: server.token, ASSAY_ORG: "default", LANG: "C.UTF-8" });
  });

  afterAll(async () => {
    await server.stop();
    desk.remove();
  });

  it("verbose, tells each request on standard error and never a token; else nothing", async () => {
    const loud = await desk.must("org", "list", "-v");
    expect(loud.stderr).toMatch(/^GET http:\/\/127\.0\.0\.1:\d+\/api\/assay\/v1\/orgs\?limit=200 {2}200 {2}\d+ ms\n$/);
    expect(`${loud.stdout}${loud.stderr}`).not.toContain(server.token);
    expect((await desk.must("org", "list")).stderr).toBe("");
    const dead = await desk.assay("org", "list", "-v", "--server", "http://127.0.0.1:9");
    expect(dead.stderr).toMatch(/^GET http:\/\/127\.0\.0\.1:9\/.* {2}no answer {2}\d+ ms\nerror: /);
  });

  it("quiet, leaves warnings out and nothing else", async () => {
    const words = ["key", "generate", "--output-prefix"];
    const open = { ASSAY_KEY_PASSWORD: "" };
    expect((await desk.assayWith(open, ...words, desk.path("loud"))).stderr).toContain("warning: ");
    const quiet = await desk.assayWith(open, ...words, desk.path("quiet"), "-q");
    expect(quiet.stderr).toBe("");
    expect(quiet.stdout).toContain("key id");
    expect((await desk.assay("org", "create", "Not A Name", "--quiet")).stderr).toContain("error: ");
  });

  it("cannot be quiet and verbose at once", async () => {
    expect(await desk.assay("org", "list", "-q", "-v")).toMatchObject({ exit: 2 });
  });

  it("colours the verdict when told to, and not in a file, in JSON or under NO_COLOR", async () => {
    const file = desk.file("a.txt", "a");
    const ask = async (...more: string[]): Promise<string> => (await desk.assay("verify", file, ...more)).stdout;
    expect(await ask()).not.toContain(ESC);
    expect(await ask("--color", "always")).toContain(`${ESC}[31mNOT VERIFIED${ESC}[0m`);
    expect(await ask("--color", "always", "--output", "json")).not.toContain(ESC);
    expect((await desk.assayWith({ FORCE_COLOR: "1" }, "verify", file)).stdout).toContain(ESC);
    expect((await desk.assayWith({ FORCE_COLOR: "1", NO_COLOR: "1" }, "verify", file)).stdout).not.toContain(ESC);
  });

  it("explains a verification: every check, online and offline, in text and in JSON", async () => {
    const { key, pub } = await desk.keyPair("release");
    const stranger = await desk.keyPair("stranger");
    await desk.must("trust", "add", "release", "--key", pub);
    const file = desk.file("explained.txt", "explained");
    const bundle = desk.path("explained.json");
    await desk.must("sign", file, "--key", key, "--upload", "--bundle", bundle);
    await desk.must("attest", "test", file, "--result", "PASSED", "--key", stranger.key);
    await desk.must("trust", "export", "-o", desk.path("trust.json"));
    const online = await desk.must("verify", file, "--explain");
    expect(online.stdout).toMatch(/\n {12}✓ signature: .*\n/);
    expect(online.stdout).toMatch(/\n {12}✗ signer: .*\n/);
    expect((await desk.must("verify", file)).stdout).not.toContain("✓");
    const offline = ["verify", file, "--offline", "--bundle", bundle, "--trust", desk.path("trust.json")];
    expect((await desk.must(...offline, "--explain")).stdout).toMatch(/\n {12}✓ trust: /);
    expect((await desk.assayWith({ LANG: "C" }, ...offline, "--explain")).stdout).toMatch(/\n {12}\[pass\] trust: /);
    const json = (await desk.must(...offline, "--explain", "--output", "json")).json();
    expect(json).toMatchObject({ evidence: [{ steps: [{ outcome: "passed" }, {}, {}, {}, {}] }] });
    expect((await desk.must(...offline, "--output", "json")).stdout).not.toContain('"steps"');
  });

  it("refuses an explanation that cannot be read", async () => {
    const pretender = await startPretender((url) => ({
      body: JSON.stringify(
        url.includes("/attestations/")
          ? {
              subject: `sha256:${"1".repeat(64)}`,
              repository: null,
              trust: { org: "default", version: 0 },
              asOf: 1,
              next: null,
              items: [
                {
                  evidence: `sha256:${"2".repeat(64)}`,
                  predicateType: "t",
                  primary: false,
                  receivedAt: 1,
                  sequence: 1,
                  status: { status: "reported", steps: [{ check: "a", outcome: "perhaps", detail: "" }] },
                },
              ],
            }
          : {},
      ),
    }));
    const ran = await desk.assay("verify", `sha256:${"1".repeat(64)}`, "--explain", "--server", pretender.url);
    await pretender.stop();
    expect(ran).toMatchObject({ exit: 3, stdout: "" });
    expect(ran.stderr).toContain("[answer-invalid]");
  });
});
