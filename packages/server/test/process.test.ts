import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdir, readFile, readlink, rm, stat, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { databasePath } from "../src/storage/sqlite.ts";
import { temporaryDirectory } from "./core.ts";
import { freePort } from "./free-port.ts";
import { ADMIN_BASIC, pushBlob, pushImage, sha256 } from "./pushing.ts";
import { type ServerProcess, startProcess } from "./server-process.ts";

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

it("does not log clients that go away in the middle of a pull as failures, alone or with more requests behind", async () => {
  running = await startProcess(directory.path, await freePort());
  const { url } = running;
  const digest = await pushBlob(url, "default/left", randomBytes(20_000_000));
  const request = `GET /v2/default/left/blobs/${digest} HTTP/1.1\r\nhost: a\r\nauthorization: ${ADMIN_BASIC}\r\n\r\n`;
  for (let count = 0; count < 12; count += 1) {
    const socket = connect(Number(new URL(url).port), "127.0.0.1", () => socket.write(request.repeat(1 + (count % 3))));
    await new Promise((resolve) => socket.once("data", resolve));
    socket.pause();
    if (count % 2 === 0) socket.destroy();
    else socket.resetAndDestroy();
  }
  // Nothing of the pulls stays open.
  const open = async () => {
    const files = await readdir(`/proc/${running?.pid}/fd`);
    const targets = await Promise.all(files.map((file) => readlink(`/proc/${running?.pid}/fd/${file}`).catch(String)));
    return targets.filter((target) => target.includes("/blobs/sha256/")).length;
  };
  await expect.poll(open, { timeout: 5000 }).toBe(0);
  expect(running.output()).not.toContain("could not be sent");
});

it("stops on SIGTERM within ten seconds and lets the upload under way finish", async () => {
  running = await startProcess(directory.path, await freePort());
  const bytes = randomBytes(200_000);
  let sendRest: () => void = () => undefined;
  const halfSent = new Promise<void>((resolve) => {
    sendRest = resolve;
  });
  const body = new ReadableStream<Uint8Array>({
    async start(controller) {
      controller.enqueue(new Uint8Array(bytes.subarray(0, 100_000)));
      await halfSent;
      controller.enqueue(new Uint8Array(bytes.subarray(100_000)));
      controller.close();
    },
  });
  const push = fetch(`${running.url}/v2/default/app/blobs/uploads/?digest=${sha256(bytes)}`, {
    method: "POST",
    headers: {
      authorization: ADMIN_BASIC,
      "content-type": "application/octet-stream",
      "content-length": String(bytes.length),
    },
    body,
    duplex: "half",
  });
  await new Promise((resolve) => setTimeout(resolve, 200));
  const started = Date.now();
  running.signal("SIGTERM");
  await new Promise((resolve) => setTimeout(resolve, 300));
  sendRest();
  expect((await push).status).toBe(201);
  expect(await running.ended).toBe(0);
  expect(Date.now() - started).toBeLessThan(10_000);
});

it("makes the admin token at first start, shows it once and keeps it unreadable for others", async () => {
  const port = await freePort();
  running = await startProcess(directory.path, port, { ASSAY_ADMIN_TOKEN: "" });
  const path = join(directory.path, "admin-token");
  const token = (await readFile(path, "utf8")).trim();
  expect(running.output()).toContain(token);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect((await stat(join(directory.path, "master.key"))).mode & 0o777).toBe(0o600);
  const answer = await fetch(`${running.url}/api/assay/v1/whoami`, { headers: { authorization: `Bearer ${token}` } });
  expect(answer.status).toBe(200);
  running.signal("SIGTERM");
  await running.ended;
  running = await startProcess(directory.path, port, { ASSAY_ADMIN_TOKEN: "" });
  expect(running.output()).not.toContain(token);
});

it("refuses a second server on the same data directory", async () => {
  running = await startProcess(directory.path, await freePort());
  await expect(startProcess(directory.path, await freePort())).rejects.toThrow(/data-directory-busy/);
});

it("says plainly that its port is taken", async () => {
  const port = await freePort();
  running = await startProcess(directory.path, port);
  for (const workers of ["1", "2"]) {
    const other = await temporaryDirectory();
    await expect(startProcess(other.path, port, { ASSAY_WORKERS: workers })).rejects.toThrow(
      /ended with 2:[\s\S]*cannot listen on 127\.0\.0\.1:\d+ \(EADDRINUSE\) \[config-invalid\][\s\S]*ASSAY_LISTEN/,
    );
    await other.dispose();
  }
});

it("never makes a new master key where there are keys that need the old one", async () => {
  const port = await freePort();
  running = await startProcess(directory.path, port);
  running.signal("SIGTERM");
  await running.ended;
  await rm(join(directory.path, "master.key"));
  await expect(startProcess(directory.path, port)).rejects.toThrow(/key-missing/);
  await expect(stat(join(directory.path, "master.key"))).rejects.toThrow(/ENOENT/);
});

it("names every wrong setting at start", async () => {
  await expect(
    startProcess(directory.path, 1, { ASSAY_LISTEN: "nowhere", ASSAY_WORKERS: "many", ASSAY_TLS_CERT: "x" }),
  ).rejects.toThrow(/ASSAY_LISTEN[\s\S]*ASSAY_WORKERS/);
});

it("runs a job again that was being run when the server was killed, at once after the next start", async () => {
  const port = await freePort();
  running = await startProcess(directory.path, port);
  running.signal("SIGKILL");
  await running.ended;
  const database = new DatabaseSync(databasePath(directory.path));
  const now = Date.now();
  database
    .prepare(
      `insert into job (id, kind, key, held_key, body, state, attempt, max_attempts, due, owner, lease, created, started)
       values (?, 'jobs.sweep', 'jobs.sweep', 'jobs.sweep', '{}', 'running', 1, 5, ?, 'killed', 'its lease', ?, ?)`,
    )
    .run(now, now + 3_600_000, now, now);
  database.close();
  running = await startProcess(directory.path, port);
  await vi.waitFor(async () => {
    const answer = await fetch(`${running?.url}/api/assay/v1/jobs/${now}`, { headers: { authorization: ADMIN_BASIC } });
    expect(await answer.json()).toMatchObject({ state: "done", attempt: 2 });
  });
});

it("serves with several HTTP processes over one writer", async () => {
  running = await startProcess(directory.path, await freePort(), { ASSAY_WORKERS: "2" });
  const { url } = running;
  await Promise.all(
    Array.from({ length: 8 }, (_, index) => pushImage(url, "default/many", `t${index}`, randomBytes(2000))),
  );
  const answer = await fetch(`${url}/v2/default/many/tags/list`, { headers: { authorization: ADMIN_BASIC } });
  expect(await answer.json()).toEqual({
    name: "default/many",
    tags: ["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7"],
  });
  running.signal("SIGTERM");
  expect(await running.ended).toBe(0);
});

it("does not end as if all were well when the last entries could not be published", async () => {
  running = await startProcess(directory.path, await freePort());
  const tiles = join(directory.path, "logs", "record", "tile");
  await rm(tiles, { recursive: true });
  await writeFile(tiles, "");
  const answer = await fetch(`${running.url}/api/assay/v1/orgs`, {
    method: "POST",
    headers: { authorization: ADMIN_BASIC, "content-type": "application/json" },
    body: '{"name":"acme"}',
  });
  expect(answer.status).toBe(201);
  running.signal("SIGTERM");
  expect(await running.ended).toBe(1);
  expect(running.output()).toContain("not published");
});

it("stops while another HTTP process starts in the place of one that died", async () => {
  running = await startProcess(directory.path, await freePort(), { ASSAY_WORKERS: "2" });
  const children = (): number[] =>
    execFileSync("pgrep", ["-P", String(running?.pid)], { encoding: "utf8" })
      .trim()
      .split("\n")
      .map(Number);
  const [first = 0, second = 0] = children();
  process.kill(first, "SIGKILL");
  await vi.waitFor(() => expect(children().some((pid) => pid !== first && pid !== second)).toBe(true), 5_000);
  running.signal("SIGTERM");
  expect(await running.ended).toBe(0);
});

it("speaks TLS with a self-signed certificate it keeps, and takes blobs of any size by it", async () => {
  running = await startProcess(directory.path, await freePort(), { ASSAY_TLS: "self-signed" });
  const { Agent, request } = await import("node:https");
  const ca = await readFile(join(directory.path, "tls", "cert.pem"), "utf8");
  const url = running.url.replace("http:", "https:");
  // One connection: what is left of one request's memory would be the next one's.
  const agent = new Agent({ ca, keepAlive: true, maxSockets: 1 });
  const ask = (
    method: string,
    path: string,
    body?: Uint8Array,
  ): Promise<{ status: number | undefined; bytes: Buffer }> =>
    new Promise((resolve, reject) => {
      const length = { "content-length": String(body?.length ?? 0) };
      const headers = { authorization: ADMIN_BASIC, ...(method === "GET" ? {} : length) };
      request(`${url}${path}`, { method, agent, headers }, (answer) => {
        const pieces: Buffer[] = [];
        answer.on("data", (piece: Buffer) => pieces.push(piece));
        answer.on("end", () => resolve({ status: answer.statusCode, bytes: Buffer.concat(pieces) }));
      })
        .on("error", reject)
        .end(body);
    });
  try {
    expect((await ask("GET", "/healthz")).status).toBe(200);
    for (const size of [0, 1, 10_000, 16_384, 300_000, 1_048_576, 1_500_000]) {
      const bytes = randomBytes(size);
      const digest = sha256(bytes);
      expect((await ask("POST", `/v2/default/app/blobs/uploads/?digest=${digest}`, bytes)).status).toBe(201);
      expect((await ask("GET", `/v2/default/app/blobs/${digest}`)).bytes.equals(bytes)).toBe(true);
    }
  } finally {
    agent.destroy();
  }
});
