/** What a hostile client can make the registry hold: bounded, told of, and taken away again. */
import { randomUUID } from "node:crypto";
import { readdir, writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UnreadableRequests } from "../src/pressure/unreadable-requests.ts";
import { REGISTRY_LIMITS, UPLOAD_MS } from "../src/registry/limits.ts";
import { sweepRegistry } from "../src/registry/maintenance.ts";
import type { RegistryTables } from "../src/registry/schema.ts";
import { openWriter } from "../src/storage/open.ts";
import { placeOf } from "./database.ts";
import { ADMIN_TOKEN, type Instance, startInstance } from "./instance.ts";
import { sha256 } from "./pushing.ts";
import { type Answer, ociCode, OCI_INDEX, OCI_MANIFEST, openRegistryRoom, type RegistryRoom } from "./registry-room.ts";
import { BLOB_STORE } from "./stored-blobs.ts";

let room: RegistryRoom;
let instance: Instance;

beforeAll(async () => {
  room = await openRegistryRoom();
  instance = await startInstance();
});
afterAll(async () => {
  await room.stop();
  await instance.stop();
});

/** A connection to the whole server, and everything that comes back on it. */
async function dial(): Promise<{ socket: Socket; answer: Promise<string>; closed: () => boolean }> {
  const { hostname, port } = new URL(instance.url);
  const socket = connect(Number(port), hostname);
  await new Promise<void>((resolve) => socket.once("connect", () => resolve()));
  let text = "";
  let closed = false;
  socket.on("error", () => undefined);
  socket.on("data", (data: Buffer) => (text += data.toString("latin1")));
  const answer = new Promise<string>((resolve) => {
    socket.once("close", () => {
      closed = true;
      resolve(text);
    });
  });
  return { socket, answer, closed: () => closed };
}

async function isAlive(): Promise<boolean> {
  return (await fetch(`${instance.url}/readyz`)).status === 200;
}

async function refusals(reason: string): Promise<number> {
  const answer = await fetch(`${instance.url}/metrics`, { headers: { authorization: `Bearer ${ADMIN_TOKEN}` } });
  const found = new RegExp(`^assay_requests_refused_total\\{reason="${reason}"\\} (\\d+)$`, "m").exec(
    await answer.text(),
  );
  return Number(found?.[1] ?? 0);
}

describe("headers without end", () => {
  it("of a gigabyte are answered 431 after 16 KiB, and the connection ends", async () => {
    const before = process.memoryUsage().rss;
    const { socket, answer, closed } = await dial();
    socket.write("GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Long: ");
    const piece = Buffer.alloc(64 * 1024, "a");
    let sent = 0;
    while (!closed() && sent < 1024 ** 3) {
      if (socket.write(piece)) await sleep(0);
      else await Promise.race([new Promise<void>((resolve) => socket.once("drain", () => resolve())), answer]);
      sent += piece.length;
    }
    expect(await answer).toMatch(/^HTTP\/1\.1 431 /);
    expect(sent).toBeLessThan(64 * 1024 * 1024);
    expect(process.memoryUsage().rss - before).toBeLessThan(256 * 1024 * 1024);
    expect(await isAlive()).toBe(true);
    expect(await refusals("headers-too-large")).toBeGreaterThan(0);
  });

  it("of many lines are the same, and what is no HTTP at all is answered 400", async () => {
    const many = await dial();
    many.socket.write(`GET /v2/ HTTP/1.1\r\nHost: x\r\n${"a: b\r\n".repeat(100_000)}`);
    expect(await many.answer).toMatch(/^HTTP\/1\.1 431 /);
    const other = await dial();
    other.socket.write("\x16\x03\x01 this is no request\r\n\r\n");
    expect(await other.answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(await refusals("request-malformed")).toBeGreaterThan(0);
  });

  it("that come a byte at a time end after a minute (ASSAY_LONG=1 waits for it)", async () => {
    const slow = await dial();
    const start = performance.now();
    slow.socket.write("GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow: ");
    const drip = setInterval(() => slow.socket.write("a"), 500);
    const patience = process.env["ASSAY_LONG"] === "1" ? 120_000 : 2_000;
    await Promise.race([slow.answer, sleep(patience, undefined, { ref: false })]);
    clearInterval(drip);
    slow.socket.destroy();
    // It held nothing up meanwhile, and when waited for it has ended.
    expect(await isAlive()).toBe(true);
    expect(patience === 2_000 || performance.now() - start < 100_000).toBe(true);
  }, 150_000);
});

describe("what could not be read", () => {
  it("is told of once a minute for each reason, with how often it came", () => {
    const told: object[] = [];
    let now = 0;
    const counted: string[] = [];
    const log = { info: (detail: object) => void told.push(detail) };
    const unreadable = new UnreadableRequests(
      log,
      (reason) => void counted.push(reason),
      () => now,
    );
    const end = (code: string): void => {
      const written: string[] = [];
      const socket = {
        destroyed: false,
        writable: true,
        remoteAddress: "192.0.2.1",
        end: (text: string) => written.push(text),
      };
      unreadable.end(
        Object.assign(new Error(code), { code }),
        Object.assign(socket, { destroy: () => undefined }) as never,
      );
      expect(written.length).toBe(1);
    };
    for (let at = 0; at < 1000; at += 1) end("HPE_HEADER_OVERFLOW");
    end("HPE_INVALID_METHOD");
    now = 60_000;
    end("HPE_HEADER_OVERFLOW");
    end("__proto__");
    expect(told).toEqual([
      { reason: "headers-too-large", count: 1, from: "192.0.2.1" },
      { reason: "request-malformed", count: 1, from: "192.0.2.1" },
      { reason: "headers-too-large", count: 1000, from: "192.0.2.1" },
      { reason: "request-malformed", count: 1, from: "192.0.2.1" },
    ]);
    expect(counted.length).toBe(1003);
  });
});

describe("a manifest of a million entries", () => {
  const descriptor = `{"mediaType":"a/b","digest":"${sha256("x")}","size":1}`;
  const cases: [string, string, string][] = [
    ["layers", OCI_MANIFEST, `{"schemaVersion":2,"config":${descriptor},"layers":[${"{},".repeat(999_999)}{}]}`],
    ["entries of an index", OCI_INDEX, `{"schemaVersion":2,"manifests":[${"0,".repeat(999_999)}0]}`],
    [
      "whole layers, as many as fit",
      OCI_MANIFEST,
      `{"schemaVersion":2,"config":${descriptor},"layers":[${Array.from({ length: 35_000 }, () => descriptor).join(",")}]}`,
    ],
    [
      "annotations",
      OCI_MANIFEST,
      `{"schemaVersion":2,"config":${descriptor},"layers":[],"annotations":{${Array.from({ length: 380_000 }, (_, at) => `"${at}":0`).join(",")}}}`,
    ],
    ["brackets", OCI_MANIFEST, `{"schemaVersion":2,"x":${"[".repeat(1_000_000)}${"]".repeat(1_000_000)}}`],
  ];

  it.each(cases)("is refused soon: %s", async (_what, type, manifest) => {
    expect(manifest.length).toBeLessThan(REGISTRY_LIMITS.manifestBytes);
    const start = performance.now();
    const put = await room.call("PUT", "/v2/default/wide/manifests/x", {
      headers: { "content-type": type },
      body: manifest,
    });
    expect([put.status, ociCode(put)]).toEqual([400, "MANIFEST_INVALID"]);
    expect(performance.now() - start).toBeLessThan(10_000);
    expect((await room.call("GET", "/v2/default/wide/tags/list")).status).toBe(404);
  });

  it("that says how large it is is refused before any of it is read", async () => {
    const put = await room.call("PUT", "/v2/default/wide/manifests/x", {
      headers: { "content-type": OCI_MANIFEST, "content-length": String(150 * 1024 * 1024) },
      body: "{",
    });
    expect([put.status, ociCode(put)]).toEqual([413, "SIZE_INVALID"]);
  });
});

describe("uploads that nobody ends", () => {
  /** ASSAY_LONG=1 leaves as many as there may be; else a tenth. */
  const ABANDONED = process.env["ASSAY_LONG"] === "1" ? 100_000 : 10_000;

  it("are limited for each identity", async () => {
    const key = await room.person("upa", { default: "member" });
    const answers: Answer[] = [];
    // One that is only opened takes nothing: a byte makes it an upload.
    const begin = async (): Promise<Answer> => {
      const opened = await room.call("POST", "/v2/default/half/blobs/uploads/", { as: key });
      if (opened.status !== 202) return opened;
      return await room.call("PATCH", opened.headers["location"] ?? "", { as: key, body: "x" });
    };
    for (let from = 0; from < REGISTRY_LIMITS.uploadsPerActor + 5; from += 15) {
      answers.push(...(await Promise.all(Array.from({ length: 15 }, begin))));
    }
    const refused = answers.filter(({ status }) => status !== 202);
    expect(refused.length).toBe(5);
    for (const answer of refused) expect([answer.status, ociCode(answer)]).toEqual([429, "TOOMANYREQUESTS"]);
    const another = await room.call("POST", "/v2/default/half/blobs/uploads/", { as: key });
    expect([another.status, ociCode(another)]).toEqual([429, "TOOMANYREQUESTS"]);
  }, 120_000);

  it("a connection that breaks off half-way leaves what came, and no claim: the upload goes on elsewhere", async () => {
    const opened = await room.call("POST", "/v2/default/half/blobs/uploads/");
    const path = (opened.headers["location"] ?? "").replace(/^https?:\/\/[^/]+/, "");
    const socket = connect(room.port, "127.0.0.1");
    socket.on("error", () => undefined);
    socket.write(
      `PATCH ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${ADMIN_TOKEN}\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000000\r\n\r\nhalf`,
    );
    await sleep(300);
    // What was sent still arrives; the rest never does.
    socket.destroy();
    const rest = async () =>
      await room.call("PUT", `${path}?digest=${sha256("half and half")}`, {
        headers: { "content-range": "4-12" },
        body: " and half",
      });
    let put = await rest();
    for (let turn = 0; turn < 20 && put.status !== 201; turn += 1) {
      await sleep(250);
      put = await rest();
    }
    expect(put.status).toBe(201);
  });

  it("stop half-way and stay connected: they hold nobody up, and end after a minute without a byte (ASSAY_LONG=1 waits for it)", async () => {
    const long = process.env["ASSAY_LONG"] === "1";
    const authorization = `Bearer ${ADMIN_TOKEN}`;
    const half = await Promise.all(
      Array.from({ length: long ? 200 : 40 }, async () => {
        const opened = await fetch(`${instance.url}/v2/default/half/blobs/uploads/`, {
          method: "POST",
          headers: { authorization },
        });
        const place = opened.headers.get("location") ?? "";
        const dialled = await dial();
        dialled.socket.write(
          `PATCH ${new URL(place).pathname} HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000000\r\n\r\nhalf`,
        );
        return { ...dialled, place };
      }),
    );
    const start = performance.now();
    const push = async (text: string): Promise<number> => {
      const path = `${instance.url}/v2/default/half/blobs/uploads/?digest=${sha256(text)}`;
      const headers = { authorization, "content-type": "application/octet-stream" };
      return (await fetch(path, { method: "POST", headers, body: text })).status;
    };
    for (let at = 0; at < 5; at += 1) expect(await push(`beside ${at}`)).toBe(201);
    expect(performance.now() - start).toBeLessThan(20_000);
    expect(await isAlive()).toBe(true);
    if (long) await Promise.all(half.map(({ answer }) => answer));
    // Whoever waited for it: not before a minute, and not much after.
    const waited = performance.now() - start;
    expect(long ? waited > 50_000 && waited < 120_000 : half.every(({ closed }) => !closed())).toBe(true);
    for (const { socket } of half) socket.destroy();
    // What came stays, and nobody has a claim on it: each can be gone on with.
    const goesOn = async (place: string): Promise<number> => {
      const headers = { authorization, "content-range": "4-12", "content-type": "application/octet-stream" };
      const rest = { method: "PUT", headers, body: " and half" };
      return (await fetch(`${place}?digest=${sha256("half and half")}`, rest)).status;
    };
    for (const { place } of half.slice(0, 20)) await expect.poll(() => goesOn(place), { timeout: 20_000 }).toBe(201);
  }, 240_000);

  it("by the ten thousands are swept away, with their bytes, while others go on writing", async () => {
    const database = openWriter(await placeOf(room.directory));
    const ids = Array.from({ length: ABANDONED }, () => randomUUID());
    const past = Date.now() - 2 * UPLOAD_MS;
    for (let from = 0; from < ABANDONED; from += 2_000) {
      await database.transaction(async (batch) => {
        const rows = ids.slice(from, from + 2_000).map((id) => ({
          id,
          owner: "person:gone",
          org: "default",
          repository: "default/gone",
          offset: 3,
          claim: null,
          claimed_until: 0,
          created: past,
          expires: past + UPLOAD_MS,
        }));
        for (let at = 0; at < rows.length; at += 500) {
          await batch
            .tables<RegistryTables>()
            .insertInto("upload")
            .values(rows.slice(at, at + 500))
            .execute();
        }
      });
    }
    await database.close();
    // Some have bytes, too.
    const folder = join(room.directory, "uploads");
    const withBytes = BLOB_STORE === "directory" ? ids.slice(0, 2_000) : [];
    for (const id of withBytes) await writeFile(join(folder, id), "abc");
    const kept = new Set(BLOB_STORE === "directory" ? await readdir(folder) : []);
    for (const id of withBytes) kept.delete(id);

    const before = process.memoryUsage().rss;
    let done = false;
    const sweeping = sweepRegistry(room.writer, room.blobs).finally(() => (done = true));
    let slowest = 0;
    let writes = 0;
    while (!done) {
      const start = performance.now();
      await room.pushBlob("default/beside", `beside ${writes}`);
      slowest = Math.max(slowest, performance.now() - start);
      writes += 1;
    }
    const swept = await sweeping;
    expect(swept.uploads).toBe(ABANDONED);
    expect(writes).toBeGreaterThan(10);
    expect(slowest).toBeLessThan(5_000);
    expect(process.memoryUsage().rss - before).toBeLessThan(300 * 1024 * 1024);
    const left = await room.reader
      .tables<RegistryTables>()
      .selectFrom("upload")
      .select("id")
      .where("repository", "=", "default/gone")
      .execute();
    expect(left).toEqual([]);
    expect(new Set(BLOB_STORE === "directory" ? await readdir(folder) : [])).toEqual(kept);
  }, 600_000);
});
