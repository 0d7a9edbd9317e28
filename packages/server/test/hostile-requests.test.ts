import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import type { JsonObject } from "@assay/evidence";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ADMIN } from "./core.ts";
import { type Instance, startInstance } from "./instance.ts";

let instance: Instance;
const open: Socket[] = [];

beforeAll(async () => {
  instance = await startInstance();
});
afterAll(async () => {
  for (const socket of open) socket.destroy();
  await instance.stop();
});

/** The first line of what a connection answers to these bytes; undefined when it says nothing for `ms`. */
async function firstLine(text: string, ms = 2_000): Promise<string | undefined> {
  const url = new URL(instance.url);
  const socket = connect(Number(url.port), url.hostname);
  open.push(socket);
  socket.on("error", () => undefined);
  return await new Promise((resolve) => {
    const timer = setTimeout(() => resolve(undefined), ms);
    socket.once("data", (data) => {
      clearTimeout(timer);
      resolve(data.toString("latin1").split("\r\n")[0]);
    });
    socket.write(text);
  });
}

const post = (path: string, length: number, authorization = ""): string =>
  `POST ${path} HTTP/1.1\r\nHost: x\r\n${authorization}Content-Type: application/json\r\nContent-Length: ${length}\r\n\r\n{`;

describe("a request whose body has not come yet", () => {
  it("is refused at once when nobody sends it, before any of the body is read", async () => {
    expect(await firstLine(post("/api/assay/v1/orgs", 1_000_000))).toBe("HTTP/1.1 401 Unauthorized");
    expect(await firstLine(post("/api/assay/v1/orgs/default/attestations", 30_000_000))).toBe(
      "HTTP/1.1 401 Unauthorized",
    );
  });

  it("is waited for when somebody known sends it, but never beyond the route's limit", async () => {
    const authorization = `Authorization: Bearer ${instance.adminToken}\r\n`;
    expect(await firstLine(post("/api/assay/v1/orgs", 1_000, authorization), 300)).toBeUndefined();
    expect(await firstLine(post("/api/assay/v1/orgs", 30_000_000, authorization))).toBe(
      "HTTP/1.1 413 Payload Too Large",
    );
  });
});

describe("pulls, also pipelined ones,", () => {
  const blob = randomBytes(4 * 1024 * 1024);
  const digest = `sha256:${createHash("sha256").update(blob).digest("hex")}`;
  const get = `GET /v2/app/blobs/${digest} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ADMIN\r\n\r\n`;

  beforeAll(async () => {
    const answer = await fetch(`${instance.url}/v2/app/blobs/uploads/?digest=${digest}`, {
      method: "POST",
      headers: { authorization: `Bearer ${instance.adminToken}` },
      body: blob,
    });
    expect(answer.status).toBe(201);
  });

  it("are answered in order", async () => {
    const url = new URL(instance.url);
    const socket = connect(Number(url.port), url.hostname);
    open.push(socket);
    const text = await new Promise<string>((resolve) => {
      let all = "";
      socket.on("data", (data) => {
        all += data.toString("latin1");
        if (all.split("HTTP/1.1 ").length === 4) resolve(all);
      });
      socket.write(
        ["/healthz", "/api/assay/v1/whoami", "/nothing"]
          .map((path) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`)
          .join(""),
      );
    });
    expect([...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status)).toEqual(["200", "401", "404"]);
  });

  it.runIf(existsSync("/proc/self/fd"))("leave no file open, whenever the client goes away", async () => {
    const files = async (): Promise<number> => (await readdir("/proc/self/fd")).length;
    const before = await files();
    for (let round = 0; round < 100; round += 1) {
      const url = new URL(instance.url);
      const socket = connect(Number(url.port), url.hostname);
      socket.on("error", () => undefined);
      socket.pause();
      socket.write(get.replace("ADMIN", instance.adminToken).repeat(1 + (round % 3)));
      // From before the file is opened to while it is sent.
      await new Promise((resolve) => setTimeout(resolve, round % 10));
      socket.resetAndDestroy();
    }
    // Connections to S3 that nobody uses are closed after ten seconds.
    await expect.poll(files, { timeout: 15_000 }).toBeLessThan(before + 5);
  });
});

it("many readiness probes at once ask the writer once, and all are answered", async () => {
  const answers = await Promise.all(Array.from({ length: 200 }, () => fetch(`${instance.url}/readyz`)));
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
});

it("a page of the record is cut by bytes, and goes on where it was cut until the end", async () => {
  // Large events, as decisions and manifests can be: policies come close.
  for (let index = 0; index < 40; index += 1) {
    const name = `big-${index}`;
    const yaml = `version: 1\nname: ${name}\nrules:\n  - id: a\n    evidence: { predicateType: "https://example.com/x", identities: [a] }\n#${"x".repeat(255_000)}\n`;
    const body: JsonObject = { name, yaml };
    const appended = await instance.record.append({ type: "gate.set-policy", org: "default", actor: ADMIN, body });
    expect(appended.ok).toBe(true);
  }
  const sizes: number[] = [];
  const seen: number[] = [];
  let after: string | null = "-1";
  while (after !== null) {
    const { body } = await instance.api("GET", `/api/assay/v1/orgs/default/record?limit=1000&after=${after}`);
    const page = body as { events: { event: { orgSeq: number } }[]; next: string | null };
    sizes.push(JSON.stringify(page).length);
    seen.push(...page.events.map(({ event }) => event.orgSeq));
    after = page.next;
  }
  expect(sizes.length).toBeGreaterThan(1);
  expect(Math.max(...sizes)).toBeLessThan(10 * 1024 * 1024);
  expect(seen).toEqual(seen.map((_, index) => index));
  expect(seen.length).toBeGreaterThan(40);

  const whole = await instance.api("GET", `/api/assay/v1/orgs/default/record?limit=${seen.length}&after=-1`);
  expect((whole.body as { events: unknown[] }).events.length).toBeLessThanOrEqual(seen.length);
  const one = await instance.api("GET", `/api/assay/v1/orgs/default/record?limit=1&after=${seen.length - 2}`);
  expect(one.body).toMatchObject({ events: [{}], next: null });
});
