/** What a real server process does when it is full, and when it is told to stop under load. */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { readdir, rm, writeFile } from "node:fs/promises";
import { Agent, type ClientRequest, request as httpRequest } from "node:http";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { checkDirectory } from "../src/admin/check.ts";
import { temporaryDirectory } from "./core.ts";
import { freePort } from "./free-port.ts";
import { ADMIN_TOKEN } from "./instance.ts";
import { ADMIN_BASIC, pushBlob, pushImage, sha256 } from "./pushing.ts";
import { type ServerProcess, startProcess } from "./server-process.ts";

/** Connections beyond the limit that are heard out at once (pressure/connections.ts). */
const REFUSALS = 256;

/** How often a server is stopped under load. */
const ROUNDS = process.env["ASSAY_LONG"] === "1" ? 20 : 1;

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let running: ServerProcess | undefined;

beforeEach(async () => {
  directory = await temporaryDirectory();
});

afterEach(async () => {
  running?.signal("SIGKILL");
  await running?.ended;
  running = undefined;
  await directory.dispose();
});

/** The location of a session that was opened. */
async function openSession(url: string): Promise<string> {
  const place = `${url}/v2/default/slow/blobs/uploads/`;
  const opened = await fetch(place, { method: "POST", headers: { authorization: ADMIN_BASIC } });
  return opened.headers.get("location") ?? "";
}

interface SlowUpload {
  readonly status: Promise<number>;
  sendRest(): void;
  readonly begun: Promise<void>;
}

/** An upload whose body is sent in two parts, the second when told. @param session it ends; undefined: it opens none. */
function slowUpload(url: string, bytes: Buffer, session?: string): SlowUpload {
  const target = new URL(`${session ?? `${url}/v2/default/slow/blobs/uploads/`}?digest=${sha256(bytes)}`);
  const method = session === undefined ? "POST" : "PUT";
  const half = Math.floor(bytes.length / 2);
  let request: ClientRequest | undefined;
  let begin: () => void = () => undefined;
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const status = new Promise<number>((resolve, reject) => {
    request = httpRequest(
      target,
      { method, agent: false, headers: { authorization: ADMIN_BASIC, "content-length": bytes.length } },
      (answer) => {
        answer.resume();
        answer.on("end", () => resolve(answer.statusCode ?? 0));
      },
    );
    request.on("error", reject);
    request.write(bytes.subarray(0, half), () => setTimeout(begin, 150));
  });
  return { status, begun, sendRest: () => void request?.end(bytes.subarray(half)) };
}

async function ask(url: string, path: string, init: RequestInit = {}) {
  const answer = await fetch(`${url}${path}`, {
    ...init,
    headers: { authorization: `Bearer ${ADMIN_TOKEN}`, "content-type": "application/json" },
  });
  return { status: answer.status, retryAfter: answer.headers.get("retry-after"), body: await answer.text() };
}

/** A small file system of its own, where this user may mount one. */
function smallDisk(path: string, size: string): (() => void) | undefined {
  try {
    mkdirSync(path);
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "assay-test", path], { stdio: "pipe" });
    return () => void execFileSync("umount", [path]);
  } catch {
    // Not root, or not on Linux: then the unit tests with a pretended disk have to do.
    return undefined;
  }
}

describe("a disk that fills", () => {
  it("stops writes at the floor, also those under way, serves reads, and takes writes again when there is room", async (test) => {
    const disk = join(directory.path, "disk");
    const unmount = smallDisk(disk, "96m");
    if (unmount === undefined) test.skip();
    try {
      running = await startProcess(disk, await freePort(), { ASSAY_DISK_FLOOR: "32M" });
      const { url } = running;
      const layer = await pushBlob(url, "default/kept", randomBytes(1000));
      const tooLarge = await fetch(`${url}/v2/default/large/blobs/uploads/?digest=${sha256("x")}`, {
        method: "POST",
        headers: { authorization: ADMIN_BASIC },
        body: new Uint8Array(70 * 1024 * 1024),
      });
      expect(tooLarge.status).toBe(503);

      // Held in memory or staged, with a session or without.
      const [small, large] = [randomBytes(800 * 1024), randomBytes(2 * 1024 * 1024)];
      const sessions = [await openSession(url), await openSession(url)];
      const uploads = [
        slowUpload(url, small),
        slowUpload(url, large),
        slowUpload(url, small, sessions[0]),
        slowUpload(url, large, sessions[1]),
      ];
      for (const { begun } of uploads) await begun;
      await writeFile(join(disk, "filler"), new Uint8Array(70 * 1024 * 1024));
      await vi.waitFor(async () => expect((await ask(url, "/readyz")).body).toContain("low: "), { timeout: 5_000 });
      for (const upload of uploads) upload.sendRest();
      expect(await Promise.all(uploads.map(({ status }) => status))).toEqual([503, 503, 503, 503]);
      await vi.waitFor(async () => expect(await readdir(join(disk, "uploads"))).toEqual([]));
      for (const bytes of [small, large]) {
        const path = `${url}/v2/default/slow/blobs/${sha256(bytes)}`;
        expect((await fetch(path, { method: "HEAD", headers: { authorization: ADMIN_BASIC } })).status).toBe(404);
      }
      expect(await ask(url, "/api/assay/v1/orgs", { method: "POST", body: '{"name":"acme"}' })).toMatchObject({
        status: 503,
        retryAfter: "30",
        body: expect.stringContaining("disk-low") as unknown,
      });
      await expect(pushBlob(url, "default/new", randomBytes(1000))).rejects.toThrow(/503/);
      const pulled = await fetch(`${url}/v2/default/kept/blobs/${layer}`, { headers: { authorization: ADMIN_BASIC } });
      expect(sha256(new Uint8Array(await pulled.arrayBuffer()))).toBe(layer);

      await rm(join(disk, "filler"));
      await vi.waitFor(async () => expect((await ask(url, "/readyz")).status).toBe(200), { timeout: 5_000 });
      await pushImage(url, "default/new", "1.0.0", randomBytes(1000));
      for (const [at, bytes] of [small, large].entries()) {
        const again = slowUpload(url, bytes, sessions[at]);
        again.sendRest();
        expect(await again.status).toBe(201);
      }
      expect(running.output().match(/the disk is low/g)).toHaveLength(1);
      running.signal("SIGTERM");
      expect(await running.ended).toBe(0);
      const report = await checkDirectory({ dataDirectory: disk, tell: () => undefined });
      expect(report.findings).toEqual([]);

      // A disk with no room at all keeps a server from starting, which says that, and not that another server is there.
      await writeFile(join(disk, "filler"), new Uint8Array(96 * 1024 * 1024)).catch(() => undefined);
      await expect(startProcess(disk, await freePort(), { ASSAY_DISK_FLOOR: "0" })).rejects.toThrow(/storage-failed/);
    } finally {
      running?.signal("SIGKILL");
      await running?.ended;
      unmount?.();
    }
  });
});

describe("large bodies that come together", () => {
  it("are taken only as far as there is room for", async (test) => {
    const disk = join(directory.path, "disk");
    const unmount = smallDisk(disk, "96m");
    if (unmount === undefined) test.skip();
    try {
      running = await startProcess(disk, await freePort(), { ASSAY_DISK_FLOOR: "32M" });
      const { url } = running;
      const uploads = Array.from({ length: 4 }, () => slowUpload(url, randomBytes(25 * 1024 * 1024)));
      const statuses = uploads.map(({ status }) => status);
      // None that is taken ends before the others were answered.
      let refused = 0;
      for (const status of statuses) void status.then((code) => (refused += code === 503 ? 1 : 0), String);
      await vi.waitFor(() => expect(refused).toBe(2), 10_000);
      for (const upload of uploads) upload.sendRest();
      const ended = await Promise.allSettled(statuses);
      expect(ended.filter((each) => each.status === "fulfilled" && each.value === 201)).toHaveLength(2);
    } finally {
      running?.signal("SIGKILL");
      await running?.ended;
      unmount?.();
    }
  });
});

describe("bodies beyond the memory there is", () => {
  it.each([
    ["their sum", { ASSAY_MAX_BUFFERED: "1M" }],
    ["the process", { ASSAY_MAX_MEMORY: "1M" }],
  ])("of %s are refused at each door before they are read, and taken when there is room", async (_what, settings) => {
    running = await startProcess(directory.path, await freePort(), settings);
    const { url } = running;
    const upload = slowUpload(url, randomBytes(3 * 1024 * 1024));
    await upload.begun;
    expect(await ask(url, "/api/assay/v1/orgs", { method: "POST", body: '{"name":"acme"}' })).toMatchObject({
      status: 503,
      retryAfter: "2",
      body: expect.stringContaining("memory-low") as unknown,
    });
    await expect(pushBlob(url, "default/new", randomBytes(1000))).rejects.toThrow(/503.*TOOMANYREQUESTS/);
    expect((await ask(url, "/api/assay/v1/orgs")).status).toBe(200);
    upload.sendRest();
    expect(await upload.status).toBe(201);
    await pushImage(url, "default/new", "1.0.0", randomBytes(1000));
    expect((await ask(url, "/metrics")).body).toMatch(/^assay_bodies_bytes 0$/m);
  });
});

describe("connections beyond those there may be", () => {
  const sockets: Socket[] = [];

  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy();
  });

  async function open(port: number): Promise<Socket> {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => undefined);
    sockets.push(socket);
    await new Promise<void>((resolve) => socket.once("connect", () => resolve()));
    return socket;
  }

  /** What the server says to a request on a connection; "" when it closes without a word. */
  async function talk(socket: Socket, path: string): Promise<string> {
    let text = "";
    const said = new Promise<string>((resolve) => {
      socket.on("data", (chunk) => {
        text += chunk.toString();
        if (text.includes("\r\n\r\n")) resolve(text);
      });
      socket.on("close", () => resolve(text));
    });
    socket.write(`GET ${path} HTTP/1.1\r\nhost: a\r\n\r\n`);
    return await said;
  }

  it("are answered why and closed, and beyond many more the server lives on", async () => {
    const port = await freePort();
    running = await startProcess(directory.path, port, { ASSAY_MAX_CONNECTIONS: "20" });
    for (let count = 0; count < 20; count += 1)
      expect(await talk(await open(port), "/healthz")).toMatch(/^HTTP\/1.1 200/);
    const refused = await talk(await open(port), "/v2/");
    expect(refused).toMatch(/^HTTP\/1.1 503/);
    expect(refused).toMatch(/\r\nretry-after: 2\r\n/i);
    expect(refused).toMatch(/\r\nconnection: close\r\n/i);
    expect(refused).toContain("TOOMANYREQUESTS");
    expect(await talk(await open(port), "/api/assay/v1/orgs")).toContain("connections-full");
    for (const path of ["/v2/token", "/witness/vkey", "/logs/record/checkpoint"]) {
      expect(await talk(await open(port), path), path).toMatch(/^HTTP\/1.1 503[\s\S]*\r\nretry-after: 2\r\n/i);
    }
    expect(await talk(await open(port), "/readyz")).toMatch(/^HTTP\/1.1 200/);

    // Those that are refused may wait to hear why, as many as that; the others are closed as they come.
    const many = await Promise.all(Array.from({ length: 600 }, () => open(port)));
    await vi.waitFor(
      () => expect(many.filter((socket) => socket.closed).length).toBeGreaterThanOrEqual(600 - REFUSALS),
      { timeout: 20_000 },
    );
    const answers = await Promise.all(many.filter((socket) => !socket.closed).map((socket) => talk(socket, "/v2/")));
    expect(answers.every((answer) => answer === "" || answer.startsWith("HTTP/1.1 503"))).toBe(true);
    for (const socket of sockets.splice(0)) socket.destroy();
    await vi.waitFor(async () => expect(await talk(await open(port), "/v2/")).toMatch(/^HTTP\/1.1 401/), {
      timeout: 10_000,
    });
  });
});

describe("a server told to stop", () => {
  /** Sends request after request over connections it keeps, and notes each failure of one that the server had taken. */
  function load(url: string, clients: number) {
    const agent = new Agent({ keepAlive: true, maxSockets: clients });
    const failures: string[] = [];
    const count = { answered: 0 };
    let stopped = false;
    const one = (client: number, round: number): Promise<"go on" | "gone"> =>
      new Promise((resolve) => {
        const bytes = Buffer.from(`${client}-${round}-${"x".repeat(5_000)}`);
        const upload = round % 2 === 0;
        const target = upload ? `/v2/default/load/blobs/uploads/?digest=${sha256(bytes)}` : "/api/assay/v1/orgs";
        const request = httpRequest(
          new URL(url + target),
          {
            method: upload ? "POST" : "GET",
            agent,
            headers: { authorization: ADMIN_BASIC, ...(upload ? { "content-length": bytes.length } : {}) },
          },
          (answer) => {
            answer.resume();
            answer.on("end", () => {
              count.answered += 1;
              if ((answer.statusCode ?? 0) >= 400) failures.push(`${target}: ${answer.statusCode}`);
              resolve("go on");
            });
            answer.on("error", (error) => {
              failures.push(`${target}: cut in its answer: ${error.message}`);
              resolve("gone");
            });
          },
        );
        request.on("error", (error: NodeJS.ErrnoException) => {
          // A connection that was made and not yet taken when the port closed was never the server's.
          if (error.code !== "ECONNREFUSED" && request.reusedSocket) failures.push(`${target}: ${error.code}`);
          resolve("gone");
        });
        request.end(upload ? bytes : undefined);
      });
    const done = Promise.all(
      Array.from({ length: clients }, async (_, client) => {
        for (let round = 0; !stopped; round += 1) {
          if ((await one(client, round)) === "gone") return;
        }
      }),
    );
    return {
      failures,
      count,
      async end() {
        stopped = true;
        await done;
        agent.destroy();
      },
    };
  }

  it.each([["1"], ["2"]])(
    "under load cuts nothing it has taken and answers no error, with %s processes",
    async (workers) => {
      const port = await freePort();
      for (let round = 0; round < ROUNDS; round += 1) {
        running = await startProcess(directory.path, port, { ASSAY_WORKERS: workers });
        const work = load(running.url, 16);
        const slow = slowUpload(running.url, randomBytes(1_000_000));
        await slow.begun;
        await new Promise((resolve) => setTimeout(resolve, 300 + Math.random() * 200));
        const told = Date.now();
        running.signal("SIGTERM");
        setTimeout(() => slow.sendRest(), 400);
        expect(await slow.status).toBe(201);
        expect(await running.ended).toBe(0);
        expect(Date.now() - told).toBeLessThan(10_000);
        await work.end();
        expect(work.failures).toEqual([]);
        expect(work.count.answered).toBeGreaterThan(50);
      }
    },
    300_000,
  );

  it("says so for as long as it was told to before its port closes, and serves all the while", async () => {
    running = await startProcess(directory.path, await freePort(), { ASSAY_DRAIN_GRACE: "2" });
    const { url } = running;
    expect((await ask(url, "/readyz")).status).toBe(200);
    running.signal("SIGTERM");
    await vi.waitFor(async () => expect((await ask(url, "/readyz")).status).toBe(503));
    const ready = await fetch(`${url}/readyz`);
    expect(ready.headers.get("connection")).toBe("close");
    expect(await ready.json()).toMatchObject({ status: "draining", checks: { writer: "ok" } });
    await pushImage(url, "default/late", "1.0.0", randomBytes(1000));
    expect(await running.ended).toBe(0);
    await expect(fetch(`${url}/healthz`)).rejects.toThrow("fetch failed");
  });
});
