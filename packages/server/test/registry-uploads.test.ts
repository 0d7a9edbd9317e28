import { randomBytes, randomUUID } from "node:crypto";
import { connect } from "node:net";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { parseDigest } from "@assay/evidence";
import type { Kysely } from "kysely";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { sweepRegistry } from "../src/registry/maintenance.ts";
import type { StagedBytes } from "../src/storage/blobs.ts";
import { openWriter } from "../src/storage/open.ts";
import { SEGMENT_BYTES } from "../src/storage/s3-segments.ts";
import { AT_HAND_BYTES, REGISTRY_LIMITS, SESSION_NAME_MS, UPLOAD_MS } from "../src/registry/limits.ts";
import type { RegistryTables } from "../src/registry/schema.ts";
import { ADMIN } from "./core.ts";
import { placeOf } from "./database.ts";
import {
  type Answer,
  ociCode,
  openRegistryRoom,
  PUBLIC_URL,
  type RegistryRoom,
  ADMIN_TOKEN,
  rows,
  sha256,
} from "./registry-room.ts";
import { BLOB_STORE, openStore, withRawBlobs } from "./stored-blobs.ts";

let room: RegistryRoom;

/** Waits, a few seconds at most, until something is so. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (let step = 0; step < 200; step += 1) {
    if (await isSo()) return;
    await sleep(20);
  }
  throw new Error("it never came to be");
}

/** Does something to the bytes staged for the upload at a location, as another process would. */
async function behindItsBack(location: string, work: (staged: StagedBytes) => Promise<unknown>): Promise<void> {
  const store = await openStore(room.directory);
  await work(await store.blobs.stage(location.slice(-36)));
  await store.close();
}

/** Bytes staged for the upload at a location. */
async function stagedBytes(location: string): Promise<number> {
  return await (await room.blobs.stage(location.slice(-36))).size();
}

/** Writes to the tables as another process would. */
async function asAnotherProcess(work: (tables: Kysely<RegistryTables>) => Promise<unknown>): Promise<void> {
  const database = openWriter(await placeOf(room.directory));
  await database.transaction(async (batch) => await work(batch.tables<RegistryTables>()));
  await database.close();
}

/** Makes every claim on an upload look as if its holder had not renewed it. */
async function lapseClaims(): Promise<void> {
  await asAnotherProcess((tables) => tables.updateTable("upload").set({ claimed_until: 1 }).execute());
}

/** Writes sessions down as a host of the release before does when it opens them. @returns their ids. */
async function openAsBefore(count: number, owner: string): Promise<string[]> {
  const ids = Array.from({ length: count }, () => randomUUID());
  const now = Date.now();
  await asAnotherProcess(async (tables) => {
    for (const id of ids) {
      const session = { id, owner, org: "acme", repository: "acme/app", offset: 0, claim: null, claimed_until: 0 };
      await tables
        .insertInto("upload")
        .values({ ...session, digest: null, created: now, expires: now + UPLOAD_MS })
        .execute();
    }
  });
  return ids;
}

beforeAll(async () => {
  room = await openRegistryRoom(["acme"]);
});

afterAll(async () => {
  await room.stop();
});

async function open(repository = "acme/app", as?: string): Promise<string> {
  const answer = await room.call("POST", `/v2/${repository}/blobs/uploads/`, as === undefined ? {} : { as });
  expect(answer.status).toBe(202);
  expect(answer.headers["location"]).toMatch(
    new RegExp(`^${PUBLIC_URL}/v2/${repository}/blobs/uploads/[0-9a-f-]{36}$`),
  );
  return answer.headers["location"] ?? "";
}

function patch(location: string, body: Uint8Array | string, range?: string, as?: string): Promise<Answer> {
  return room.call("PATCH", location, {
    body,
    headers: { "content-type": "application/octet-stream", ...(range === undefined ? {} : { "content-range": range }) },
    ...(as === undefined ? {} : { as }),
  });
}

async function stagedFiles(): Promise<string[]> {
  return await withRawBlobs(room.directory, (raw) => raw.uploads());
}

describe("a blob in one request", () => {
  test("POST with its digest stores it", async () => {
    const bytes = randomBytes(100_000);
    const digest = sha256(bytes);
    const answer = await room.call("POST", `/v2/acme/app/blobs/uploads/?digest=${digest}`, { body: bytes });
    expect(answer.status).toBe(201);
    expect(answer.headers["location"]).toBe(`${PUBLIC_URL}/v2/acme/app/blobs/${digest}`);
    expect(answer.headers["docker-content-digest"]).toBe(digest);
    expect((await room.call("GET", answer.headers["location"] ?? "")).bytes.equals(bytes)).toBe(true);
    expect(await stagedFiles()).toEqual([]);
  });

  test("POST then PUT stores it, the empty blob too", async () => {
    for (const bytes of [Buffer.alloc(0), Buffer.from("x"), randomBytes(3_000_000)]) {
      const location = await open();
      const digest = sha256(bytes);
      const answer = await room.call("PUT", `${location}?digest=${encodeURIComponent(digest)}`, { body: bytes });
      expect(answer.status).toBe(201);
      const read = await room.call("GET", `/v2/acme/app/blobs/${digest}`);
      expect(read.status).toBe(200);
      expect(read.headers["content-length"]).toBe(String(bytes.length));
      expect(read.bytes.equals(bytes)).toBe(true);
    }
  });

  test.each(["POST", "PUT"])(
    "by %s has any size: held in memory, staged, or both at once, the bytes are its own",
    async (style) => {
      const sizes = [AT_HAND_BYTES - 1, AT_HAND_BYTES, AT_HAND_BYTES + 1, AT_HAND_BYTES / 2, 70_000, 1];
      const pushed = await Promise.all(
        [...sizes, ...sizes].map(async (size) => {
          const bytes = randomBytes(size);
          const digest = sha256(bytes);
          const location = style === "POST" ? "/v2/acme/app/blobs/uploads/" : await open();
          const answer = await room.call(style, `${location}?digest=${digest}`, { body: bytes });
          expect(answer.status).toBe(201);
          return { bytes, digest };
        }),
      );
      for (const { bytes, digest } of pushed) {
        expect((await room.call("GET", `/v2/acme/app/blobs/${digest}`)).bytes.equals(bytes)).toBe(true);
      }
      expect(await stagedFiles()).toEqual([]);
    },
  );

  test("a POST of all of it that breaks off leaves nothing", async () => {
    const bytes = randomBytes(500_000);
    await new Promise<void>((resolve) => {
      const socket = connect(room.port, "127.0.0.1", () => {
        const head = `POST /v2/acme/app/blobs/uploads/?digest=${sha256(bytes)} HTTP/1.1\r\nHost: evil.test\r\nAuthorization: Bearer ${ADMIN_TOKEN}\r\n`;
        socket.write(`${head}Content-Length: 500000\r\n\r\n`);
        socket.write(bytes.subarray(0, 300_000), () => setTimeout(() => socket.destroy(), 200));
      });
      socket.on("close", () => resolve());
    });
    await until(async () => (await stagedFiles()).length === 0);
    expect((await room.call("HEAD", `/v2/acme/app/blobs/${sha256(bytes)}`)).status).toBe(404);
  });

  test.each(["POST", "PUT"])("a wrong digest by %s is refused, and nothing is stored", async (style) => {
    const wrong = sha256("other bytes");
    const location = style === "POST" ? "/v2/acme/app/blobs/uploads/" : await open();
    const answer = await room.call(style, `${location}?digest=${wrong}`, { body: "these bytes" });
    expect(answer.status).toBe(400);
    expect(ociCode(answer)).toBe("DIGEST_INVALID");
    expect((await room.call("HEAD", `/v2/acme/app/blobs/${wrong}`)).status).toBe(404);
    expect((await room.call("HEAD", `/v2/acme/app/blobs/${sha256("these bytes")}`)).status).toBe(404);
    expect(await stagedFiles()).toEqual([]);
    // The session is gone, if there was one; the way to open one is no session either.
    expect((await room.call("GET", location)).status).toBe(style === "PUT" ? 404 : 405);
  });

  test.each(["sha256:baddigeststring", "sha256", "", `sha256:${"A".repeat(64)}`, `md5:`, "../../etc/passwd"])(
    "%j is no digest, in any style of push",
    async (digest) => {
      const location = await open();
      for (const [method, path] of [
        ["PUT", location],
        ["POST", "/v2/acme/app/blobs/uploads/"],
      ] as const) {
        const answer = await room.call(method, `${path}?digest=${encodeURIComponent(digest)}`, { body: "x" });
        expect(answer.status).toBe(400);
        expect(ociCode(answer)).toBe("DIGEST_INVALID");
      }
    },
  );

  test("a PUT of all of it that breaks off leaves the session as it was opened, and nothing else", async () => {
    const bytes = randomBytes(500_000);
    const location = await open();
    const path = location.slice(PUBLIC_URL.length);
    await new Promise<void>((resolve) => {
      const socket = connect(room.port, "127.0.0.1", () => {
        const head = `PUT ${path}?digest=${sha256(bytes)} HTTP/1.1\r\nHost: evil.test\r\nAuthorization: Bearer ${ADMIN_TOKEN}\r\n`;
        socket.write(`${head}Content-Length: 500000\r\n\r\n`);
        socket.write(bytes.subarray(0, 300_000), () => setTimeout(() => socket.destroy(), 200));
      });
      socket.on("close", () => resolve());
    });
    await until(async () => (await stagedFiles()).length === 0);
    expect((await room.call("GET", location)).headers["range"]).toBe("0-0");
    expect((await room.call("HEAD", `/v2/acme/app/blobs/${sha256(bytes)}`)).status).toBe(404);
    expect((await room.call("PUT", `${location}?digest=${sha256(bytes)}`, { body: bytes })).status).toBe(201);
  });

  test("many racing PUTs of all of it do not mix, whichever ends the session, and the blob is whole", async () => {
    const bytes = randomBytes(100_000);
    const location = await open();
    const put = (): Promise<Answer> => room.call("PUT", `${location}?digest=${sha256(bytes)}`, { body: bytes });
    const statuses = (await Promise.all(Array.from({ length: 8 }, put))).map((answer) => answer.status);
    expect(statuses).toContain(201);
    expect(statuses.every((status) => [201, 404, 409].includes(status))).toBe(true);
    expect((await room.call("GET", `/v2/acme/app/blobs/${sha256(bytes)}`)).bytes.equals(bytes)).toBe(true);
    expect(await stagedFiles()).toEqual([]);
  });

  test("a PUT of all of it does not end a session that another request writes to", async () => {
    const location = await open();
    let finish = (): void => undefined;
    const slow = Readable.from(
      (async function* () {
        yield Buffer.from("first ");
        await new Promise<void>((resolve) => {
          finish = resolve;
        });
        yield Buffer.from("last");
      })(),
    );
    const writing = room.call("PATCH", location, { body: slow });
    await sleep(100);
    const whole = await room.call("PUT", `${location}?digest=${sha256("whole")}`, { body: "whole" });
    expect(whole.status).toBe(409);
    finish();
    expect((await writing).status).toBe(202);
    expect((await room.call("PUT", `${location}?digest=${sha256("first last")}`)).status).toBe(201);
  });

  test("an algorithm that is not computed here is refused with words", async () => {
    const answer = await room.call("POST", `/v2/acme/app/blobs/uploads/?digest=sha384:${"a".repeat(96)}`, {
      body: "x",
    });
    expect(answer.status).toBe(400);
    expect(ociCode(answer)).toBe("UNSUPPORTED");
    expect((await room.call("POST", "/v2/acme/app/blobs/uploads/?digest-algorithm=sha384")).status).toBe(400);
    expect((await room.call("POST", "/v2/acme/app/blobs/uploads/?digest-algorithm=sha256")).status).toBe(202);
  });

  test("closing without a digest is refused, and the session stays", async () => {
    const location = await open();
    expect((await patch(location, "abc")).status).toBe(202);
    const answer = await room.call("PUT", location, { body: "" });
    expect(ociCode(answer)).toBe("DIGEST_INVALID");
    expect((await room.call("PUT", `${location}?digest=${sha256("abc")}`)).status).toBe(201);
  });
});

describe("a blob in chunks", () => {
  test("chunks in order, the last one in the PUT", async () => {
    const location = await open();
    const first = await patch(location, "hello", "0-4");
    expect(first.status).toBe(202);
    expect(first.headers["range"]).toBe("0-4");
    expect(first.headers["location"]).toBe(location);
    const status = await room.call("GET", location);
    expect(status.status).toBe(204);
    expect(status.headers["range"]).toBe("0-4");
    expect(status.headers["location"]).toBe(location);
    expect((await patch(location, " ", "5-5")).headers["range"]).toBe("0-5");
    const digest = sha256("hello world");
    const closed = await room.call("PUT", `${location}?digest=${digest}`, {
      body: "world",
      headers: { "content-range": "6-10" },
    });
    expect(closed.status).toBe(201);
    expect((await room.call("GET", `/v2/acme/app/blobs/${digest}`)).text).toBe("hello world");
  });

  test("chunked transfer encoding without Content-Range appends, as Docker does", async () => {
    const location = await open();
    const body = Readable.from([Buffer.from("abc"), Buffer.from("def")]);
    const answer = await room.call("PATCH", location, { body });
    expect(answer.status).toBe(202);
    expect(answer.headers["range"]).toBe("0-5");
    expect((await room.call("PUT", `${location}?digest=${sha256("abcdef")}`)).status).toBe(201);
  });

  test.each([["PATCH"], ["PUT"]])("out of order in %s is 416, and says where the upload stands", async (method) => {
    const location = await open();
    await patch(location, "hello", "0-4");
    const path = method === "PUT" ? `${location}?digest=${sha256("hello")}` : location;
    for (const range of ["6-10", "0-4", "4-8"]) {
      const answer = await room.call(method, path, { body: "world", headers: { "content-range": range } });
      expect(answer.status).toBe(416);
      expect(ociCode(answer)).toBe("BLOB_UPLOAD_INVALID");
      expect(answer.headers["range"]).toBe("0-4");
      expect(answer.headers["location"]).toBe(location);
    }
    expect((await room.call("PUT", `${location}?digest=${sha256("hello")}`)).status).toBe(201);
  });

  test.each([
    ["bytes 0-4", "hello", "BLOB_UPLOAD_INVALID"],
    ["x", "hello", "BLOB_UPLOAD_INVALID"],
    ["0-9", "hello", "SIZE_INVALID"],
    ["0-1", "hello", "SIZE_INVALID"],
  ])("Content-Range %s of %s is refused, and the upload stands where it stood", async (range, body, code) => {
    const location = await open();
    const answer = await patch(location, body, range);
    expect(answer.status).toBe(400);
    expect(ociCode(answer)).toBe(code);
    expect((await room.call("PUT", `${location}?digest=${sha256("abc")}`, { body: "abc" })).status).toBe(201);
  });

  test("a streamed chunk longer or shorter than its Content-Range is taken back whole", async () => {
    const location = await open();
    await patch(location, "ab", "0-1");
    for (const chunk of ["cdefg", "c"]) {
      const answer = await room.call("PATCH", location, {
        body: Readable.from([Buffer.from(chunk)]),
        headers: { "content-range": "2-4" },
      });
      expect(ociCode(answer)).toBe("SIZE_INVALID");
      expect((await room.call("GET", location)).headers["range"]).toBe("0-1");
    }
    await patch(location, "cde", "2-4");
    expect((await room.call("PUT", `${location}?digest=${sha256("abcde")}`)).status).toBe(201);
  });

  test("an upload goes on after the server restarts", async () => {
    const bytes = randomBytes(300_000);
    const location = await open();
    await patch(location, bytes.subarray(0, 200_000), "0-199999");
    await room.restart();
    expect((await room.call("GET", location)).headers["range"]).toBe("0-199999");
    await patch(location, bytes.subarray(200_000, 250_000), "200000-249999");
    await room.restart();
    const digest = sha256(bytes);
    const closed = await room.call("PUT", `${location}?digest=${digest}`, { body: bytes.subarray(250_000) });
    expect(closed.status).toBe(201);
    expect((await room.call("GET", `/v2/acme/app/blobs/${digest}`)).bytes.equals(bytes)).toBe(true);
  });

  test("bytes that were acknowledged and lost are asked for again, and never skipped", async () => {
    const location = await open();
    await patch(location, "0123456789", "0-9");
    // A power failure may take what the disk had not got yet.
    await behindItsBack(location, (staged) => staged.truncate(4));
    expect((await room.call("GET", location)).headers["range"]).toBe("0-3");
    const digest = sha256("0123456789");
    const closed = await room.call("PUT", `${location}?digest=${digest}`);
    expect(closed.status).toBe(416);
    expect(closed.headers["range"]).toBe("0-3");
    const rest = await room.call("PUT", `${location}?digest=${digest}`, {
      body: "456789",
      headers: { "content-range": "4-9" },
    });
    expect(rest.status).toBe(201);
    expect((await room.call("GET", `/v2/acme/app/blobs/${digest}`)).text).toBe("0123456789");
  });

  test("bytes past the acknowledged ones are dropped", async () => {
    const location = await open();
    await patch(location, "0123", "0-3");
    const more = Readable.from([Buffer.from("of a process that was killed")]);
    await behindItsBack(location, (staged) => staged.append(4, more, () => undefined));
    expect((await room.call("GET", location)).headers["range"]).toBe("0-3");
    expect((await room.call("PUT", `${location}?digest=${sha256("012345")}`, { body: "45" })).status).toBe(201);
  });

  test("a chunk that breaks off keeps what came, and the upload goes on from there", async () => {
    const bytes = randomBytes(500_000);
    const location = await open();
    await patch(location, bytes.subarray(0, 1000), "0-999");
    const path = location.slice(PUBLIC_URL.length);
    await new Promise<void>((resolve) => {
      const socket = connect(room.port, "127.0.0.1", () => {
        socket.write(
          `PATCH ${path} HTTP/1.1\r\nHost: evil.test\r\nAuthorization: Bearer ${ADMIN_TOKEN}\r\nContent-Range: 1000-499999\r\nContent-Length: 499000\r\n\r\n`,
        );
        socket.write(bytes.subarray(1000, 300_000), () => setTimeout(() => socket.destroy(), 200));
      });
      socket.on("close", () => resolve());
    });
    let here = 0;
    for (let attempt = 0; attempt < 50 && here <= 1000; attempt += 1) {
      await sleep(20);
      here = Number((await room.call("GET", location)).headers["range"]?.slice(2)) + 1;
    }
    expect(here).toBe(300_000);
    const rest = await patch(location, bytes.subarray(here), `${here}-499999`);
    expect(rest.status).toBe(202);
    expect((await room.call("PUT", `${location}?digest=${sha256(bytes)}`)).status).toBe(201);
  });

  test("one request writes at a time", async () => {
    const location = await open();
    let finish = (): void => undefined;
    const slow = Readable.from(
      (async function* () {
        yield Buffer.from("first ");
        await new Promise<void>((resolve) => {
          finish = resolve;
        });
        yield Buffer.from("last");
      })(),
    );
    const writing = room.call("PATCH", location, { body: slow });
    await sleep(100);
    const second = await patch(location, "other");
    expect(second.status).toBe(409);
    expect(ociCode(second)).toBe("BLOB_UPLOAD_INVALID");
    finish();
    expect((await writing).status).toBe(202);
    expect((await room.call("PUT", `${location}?digest=${sha256("first last")}`)).status).toBe(201);
  });

  test("many racing chunks leave one consistent upload", async () => {
    const location = await open();
    const answers = await Promise.all(Array.from({ length: 10 }, () => patch(location, "hello", "0-4")));
    const statuses = answers.map((answer) => answer.status);
    expect(statuses.filter((status) => status === 202)).toHaveLength(1);
    expect(statuses.every((status) => [202, 409, 416].includes(status))).toBe(true);
    expect((await room.call("PUT", `${location}?digest=${sha256("hello")}`)).status).toBe(201);
  });
});

describe("sessions", () => {
  test("are their owner's alone, in their repository alone", async () => {
    const ann = await room.person("ann", { acme: "member" });
    const location = await open("acme/app", ann);
    const elsewhere = location.replace("acme/app", "acme/other");
    for (const [path, as] of [
      [location, ADMIN_TOKEN],
      [elsewhere, ann],
      [location.replace(/[0-9a-f-]{36}$/, "00000000-0000-4000-8000-000000000000"), ann],
      [location.replace(/[0-9a-f-]{36}$/, "..%2f..%2fassay.db"), ann],
      [location.replace(/[0-9a-f-]{36}$/, "x"), ann],
    ] as const) {
      for (const method of ["GET", "PATCH", "PUT", "DELETE"]) {
        const answer = await room.call(method, `${path}?digest=${sha256("x")}`, {
          as,
          ...(method === "GET" ? {} : { body: "x" }),
        });
        expect(answer.status, `${method} ${path}`).toBe(404);
      }
    }
    expect((await patch(location, "x", undefined, ann)).status).toBe(202);
  });

  describe("that were taken over belong to the new holder alone", () => {
    /** As much as a store puts down at once while more comes. */
    const piece = Buffer.alloc(BLOB_STORE === "directory" ? 1024 * 1024 : SEGMENT_BYTES, "a");

    /** A session whose first holder hangs in the middle of its PUT until its claim has run out; another went on with it. */
    async function takenOver(): Promise<{ location: string; body: Readable; first: Promise<Answer | undefined> }> {
      const location = await open();
      const body = new Readable({ read: () => undefined });
      body.push(piece);
      const first = room.call("PUT", `${location}?digest=${sha256("something else")}`, { body }).catch(() => undefined);
      await until(async () => (await stagedBytes(location)) >= piece.length);
      await lapseClaims();
      expect((await patch(location, "hello", "0-4")).status).toBe(202);
      return { location, body, first };
    }

    async function isHello(location: string): Promise<void> {
      expect(await room.blobs.size(parseDigest(sha256("hello")))).toBe(5);
      expect((await room.call("GET", `/v2/acme/app/blobs/${sha256("hello")}`)).text).toBe("hello");
      // What the old one put down in S3 later, beside the upload, belongs to nothing; the sweeper takes it.
      expect(await stagedBytes(location)).toBe(0);
      const files = (await stagedFiles()).filter((name) => name.startsWith(location.slice(-36)));
      expect(BLOB_STORE === "directory" ? files : []).toEqual([]);
    }

    test("what the old one still writes reaches neither the upload nor the blob it became", async () => {
      const { location, body, first } = await takenOver();
      expect((await room.call("PUT", `${location}?digest=${sha256("hello")}`)).status).toBe(201);
      body.push(piece);
      body.push(null);
      await first;
      await isHello(location);
    });

    test("what the old one drops, because its digest does not fit, is its own", async () => {
      const { location, body, first } = await takenOver();
      body.push(null);
      await first;
      expect((await room.call("PUT", `${location}?digest=${sha256("hello")}`)).status).toBe(201);
      await isHello(location);
    });
  });

  test("that were only opened are open on every host, also after a restart, and nothing is written down of them", async () => {
    const before = (await rows(room, "upload")).length;
    const location = await open();
    expect(await rows(room, "upload")).toHaveLength(before);
    await room.restart();
    expect((await room.call("GET", location)).headers["range"]).toBe("0-0");
    const whole = await open();
    await room.restart();
    expect((await room.call("PUT", `${whole}?digest=${sha256("whole")}`, { body: "whole" })).status).toBe(201);
    expect(await rows(room, "upload")).toHaveLength(before);
    expect((await patch(location, "in ", "0-2")).status).toBe(202);
    expect(await rows(room, "upload")).toHaveLength(before + 1);
    expect((await room.call("PUT", `${location}?digest=${sha256("in two")}`, { body: "two" })).status).toBe(201);
  });

  test("that were only opened end when they are cancelled, on every host", async () => {
    const location = await open();
    expect((await room.call("DELETE", location)).status).toBe(204);
    await room.restart();
    for (const method of ["GET", "DELETE", "PATCH", "PUT"]) {
      const answer = await room.call(
        method,
        `${location}?digest=${sha256("x")}`,
        method === "GET" ? {} : { body: "x" },
      );
      expect([answer.status, ociCode(answer)], method).toEqual([404, "BLOB_UPLOAD_UNKNOWN"]);
    }
  });

  test("beyond those an identity may have are refused while their bytes come, and nothing of these stays", async () => {
    const ben = await room.person("ben", { acme: "member" });
    const [small, large] = [randomBytes(1000), randomBytes(6_000_000)];
    const [first, second] = [await open("acme/app", ben), await open("acme/app", ben)];
    const owner = "person:ben";
    await openAsBefore(REGISTRY_LIMITS.uploadsPerActor, owner);
    let sent = 0;
    // Slowly: the refusal comes in its middle.
    const body = Readable.from(
      (async function* () {
        for (; sent < large.length; sent += 100_000) {
          yield large.subarray(sent, sent + 100_000);
          await sleep(20);
        }
      })(),
    );
    const headers = { "content-length": String(large.length), connection: "keep-alive" };
    const staged = await stagedFiles();
    const refused = await room.call("PUT", `${second}?digest=${sha256(large)}`, { as: ben, body, headers });
    expect([refused.status, ociCode(refused)]).toEqual([429, "TOOMANYREQUESTS"]);
    expect(sent).toBeLessThan(large.length);
    expect(await stagedFiles()).toEqual(staged);
    expect((await room.call("HEAD", `/v2/acme/app/blobs/${sha256(large)}`)).status).toBe(404);
    const chunk = await patch(first, "x", undefined, ben);
    expect([chunk.status, ociCode(chunk)]).toEqual([429, "TOOMANYREQUESTS"]);
    const all = (await rows(room, "upload")) as { owner: string }[];
    expect(all.filter((row) => row.owner === owner)).toHaveLength(REGISTRY_LIMITS.uploadsPerActor);
    // One that is in memory already needs no session under way.
    expect((await room.call("PUT", `${first}?digest=${sha256(small)}`, { as: ben, body: small })).status).toBe(201);
    await asAnotherProcess((tables) => tables.deleteFrom("upload").where("owner", "=", owner).execute());
    expect((await room.call("PUT", `${second}?digest=${sha256(large)}`, { as: ben, body: large })).status).toBe(201);
  });

  const small = randomBytes(1000);
  const large = randomBytes(2_000_000);
  const put = (location: string, bytes: Uint8Array, rest = bytes): Promise<Answer> =>
    room.call("PUT", `${location}?digest=${sha256(bytes)}`, { body: rest });

  test.each([
    ["by PUT of a small blob", [201], async (at: string) => [await put(at, small)]],
    ["by PUT of a large one", [201], async (at: string) => [await put(at, large)]],
    ["by PATCH and PUT", [202, 201], async (at: string) => [await patch(at, large), await put(at, large, Buffer.of())]],
    ["by DELETE", [204], async (at: string) => [await room.call("DELETE", at)]],
  ] as const)(
    "that the release before opened, with a row and no word in their name, are gone on with %s",
    async (_way, statuses, goOn) => {
      const staged = await stagedFiles();
      const [id] = await openAsBefore(1, ADMIN.id);
      const location = `${PUBLIC_URL}/v2/acme/app/blobs/uploads/${id}`;
      expect((await room.call("GET", location)).headers["range"]).toBe("0-0");
      expect((await goOn(location)).map(({ status }) => status)).toEqual(statuses);
      expect((await room.call("GET", location)).status).toBe(404);
      expect(await rows(room, "upload")).not.toContainEqual(expect.objectContaining({ id }));
      expect(await stagedFiles()).toEqual(staged);
    },
  );

  test("that ended are not begun again", async () => {
    const location = await open();
    await patch(location, "abc");
    expect((await room.call("PUT", `${location}?digest=${sha256("abc")}`)).status).toBe(201);
    await room.restart();
    for (const method of ["GET", "DELETE", "PATCH", "PUT"]) {
      const answer = await room.call(
        method,
        `${location}?digest=${sha256("x")}`,
        method === "GET" ? {} : { body: "x" },
      );
      expect(answer.status, method).toBe(404);
    }
  });

  test("that nothing comes to within an hour are gone", async () => {
    room.clock.now = Date.now() - SESSION_NAME_MS - 1000;
    const location = await open();
    room.clock.now = undefined;
    for (const method of ["GET", "PATCH", "PUT", "DELETE"]) {
      const answer = await room.call(
        method,
        `${location}?digest=${sha256("x")}`,
        method === "GET" ? {} : { body: "x" },
      );
      expect(answer.status, method).toBe(404);
    }
  });

  test("end when cancelled", async () => {
    const location = await open();
    await patch(location, "x");
    expect((await room.call("DELETE", location)).status).toBe(204);
    expect((await room.call("GET", location)).status).toBe(404);
    expect((await room.call("DELETE", location)).status).toBe(404);
  });

  test("expire, and the sweeper takes them with their bytes", async () => {
    const location = await open();
    await patch(location, "x");
    const all = (await rows(room, "upload")).length;
    const kept = ((await rows(room, "upload")) as { owner: string }[]).filter(({ owner }) => owner !== "").length;
    // What the sessions before left is that they ended.
    expect(all).toBeGreaterThan(kept);
    expect((await sweepRegistry(room.writer, room.blobs)).uploads).toBe(0);
    expect(await rows(room, "upload")).toHaveLength(all);
    room.clock.now = Date.now() + UPLOAD_MS + 60_000;
    expect((await room.call("GET", location)).status).toBe(404);
    room.clock.now = undefined;
    // The writer's clock is the database's: the rows are aged instead.
    await asAnotherProcess((tables) => tables.updateTable("upload").set({ expires: 1 }).execute());
    expect((await sweepRegistry(room.writer, room.blobs)).uploads).toBe(kept);
    expect(await rows(room, "upload")).toEqual([]);
  });

  test("leave nothing for ever: what no session names is swept once it is as old as sessions get", async () => {
    const location = await open();
    await patch(location, "x");
    const crashed = await room.blobs.stage("8a7bb47a-3d43-4a86-8f8d-8ad1fd1e5f10");
    await crashed.append(0, Readable.from([Buffer.from("left by a crash")]), () => undefined);
    expect((await sweepRegistry(room.writer, room.blobs)).leftovers).toBe(0);
    expect(await crashed.size()).toBe(15);
    // By then the session would have ended; here it goes on, because only what is given as the time has moved.
    const later = Date.now() + UPLOAD_MS + 60_000;
    expect((await sweepRegistry(room.writer, room.blobs, later)).leftovers).toBeGreaterThan(0);
    expect(await crashed.size()).toBe(0);
    expect(await stagedBytes(location)).toBe(1);
    await room.call("DELETE", location);
    expect(await stagedFiles()).toEqual([]);
    expect((await sweepRegistry(room.writer, room.blobs, later)).leftovers).toBe(0);
  });
});
