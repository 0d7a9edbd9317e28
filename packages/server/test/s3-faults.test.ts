import { randomBytes, randomUUID } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { S3Blobs } from "../src/storage/s3-blobs.ts";
import { S3Client, sha256Hex } from "../src/storage/s3-client.ts";
import { probe } from "../src/storage/s3-probe.ts";
import { collect, digestOf, pieces, stageAll } from "./blob-suite.ts";
import { QUICK, type S3Place, s3Place } from "./s3-place.ts";
import { type Fault, type FaultyProxy, type SeenRequest, startFaultyProxy, startS3rver } from "./s3-server.ts";

const MIB = 1024 * 1024;

let place: S3Place;
let proxy: FaultyProxy;
let store: S3Blobs;

beforeAll(async () => {
  const server = await startS3rver();
  place = await s3Place(server.location, () => server.stop());
  proxy = await startFaultyProxy(server.location.endpoint);
  store = await place.openAt(proxy.endpoint);
});

afterEach(() => {
  proxy.fault = () => undefined;
  proxy.seen.length = 0;
});

afterAll(async () => {
  await place.dispose();
  await proxy.stop();
});

/** Each distinct request meets the fault once; its repetition goes through. */
function onceEach(fault: Fault, which: (request: SeenRequest) => boolean = () => true): () => number {
  const met = new Set<string>();
  proxy.fault = (request) => {
    const name = `${request.method} ${request.url}`;
    if (met.has(name) || !which(request)) return undefined;
    met.add(name);
    return fault;
  };
  return () => met.size;
}

/** What is left of one upload. */
async function leftOf(id: string): Promise<string[]> {
  return (await place.leftovers()).filter((key) => key.includes(id));
}

describe("every request failing once is no failure", () => {
  test.each<[string, Fault]>([
    ["503 SlowDown", { kind: "answer", status: 503, code: "SlowDown" }],
    ["503 SlowDown with Retry-After", { kind: "answer", status: 503, code: "SlowDown", retryAfter: 0 }],
    ["500 InternalError", { kind: "answer", status: 500, code: "InternalError" }],
    ["429 without a code", { kind: "answer", status: 429, code: "" }],
    ["a connection that is cut", { kind: "reset" }],
    ["an answer that is lost", { kind: "lost-answer" }],
    ["an answer that breaks off", { kind: "truncate", after: 10 }],
  ])("%s", async (_name, fault) => {
    const failed = onceEach(fault);
    const bytes = randomBytes(10 * MIB + 7);
    const id = randomUUID();
    const staged = await store.stage(id);
    await staged.append(0, pieces(bytes.subarray(0, 9 * MIB), 100_000), () => undefined);
    const again = await store.stage(id);
    expect(await again.size()).toBe(9 * MIB);
    await again.append(9 * MIB, pieces(bytes.subarray(9 * MIB), 100_000), () => undefined);
    await again.truncate(9 * MIB + 1);
    await again.append(9 * MIB + 1, pieces(bytes.subarray(9 * MIB + 1), 100_000), () => undefined);
    await store.adopt(again, digestOf(bytes), 0);
    expect((await collect(await store.read(digestOf(bytes)))).equals(bytes)).toBe(true);
    const small = randomBytes(1000);
    await store.putSmall(small, 0);
    expect(Buffer.from(await store.readSmall(digestOf(small), 1000)).equals(small)).toBe(true);
    expect(failed()).toBeGreaterThan(8);
    expect(await leftOf(id)).toEqual([]);
  });
});

describe("a server that keeps failing", () => {
  test("is an error that says so, after a bounded number of attempts", async () => {
    proxy.fault = () => ({ kind: "answer", status: 503, code: "SlowDown" });
    const error = await store.size(digestOf(Buffer.from("x"))).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: "blobs-unavailable", status: 503, transient: true });
    expect(proxy.seen).toHaveLength(6);
  });

  test("an upload it fails in keeps what was stored, and goes on later", async () => {
    const bytes = randomBytes(20 * MIB);
    const id = randomUUID();
    let puts = 0;
    proxy.fault = ({ method }) => {
      if (method === "PUT") puts += 1;
      return puts > 1 ? { kind: "reset" } : undefined;
    };
    const staged = await store.stage(id);
    await expect(staged.append(0, pieces(bytes, 100_000), () => undefined)).rejects.toMatchObject({
      code: "blobs-unavailable",
    });
    proxy.fault = () => undefined;
    const again = await store.stage(id);
    expect(await again.size()).toBe(8 * MIB);
    await again.append(8 * MIB, pieces(bytes.subarray(8 * MIB), 100_000), () => undefined);
    await store.adopt(again, digestOf(bytes), 0);
    expect((await collect(await store.read(digestOf(bytes)))).equals(bytes)).toBe(true);
  });

  test("a blob that it fails to complete is not there, and can be adopted later by another host", async () => {
    const bytes = randomBytes(12 * MIB);
    const staged = await stageAll(store, bytes);
    proxy.fault = ({ url, method }) =>
      method === "POST" && url.includes("uploadId=")
        ? { kind: "answer", status: 500, code: "InternalError" }
        : undefined;
    await expect(store.adopt(staged, digestOf(bytes), 0)).rejects.toMatchObject({ code: "blobs-unavailable" });
    expect(await store.size(digestOf(bytes))).toBeUndefined();
    proxy.fault = () => undefined;
    const other = await place.open();
    await other.adopt(await other.stage(staged.id), digestOf(bytes), 0);
    expect((await collect(await store.read(digestOf(bytes)))).equals(bytes)).toBe(true);
    expect(await leftOf(staged.id)).toEqual([]);
  });

  test("an upload's bytes that cannot be removed do not fail the push", async () => {
    const bytes = randomBytes(1000);
    const staged = await stageAll(store, bytes);
    proxy.fault = ({ method }) => (method === "DELETE" ? { kind: "reset" } : undefined);
    await store.adopt(staged, digestOf(bytes), 0);
    proxy.fault = () => undefined;
    expect(await store.size(digestOf(bytes))).toBe(1000);
    expect(place.warnings).toContain("an upload's staged bytes could not be removed");
    await (await store.stage(staged.id)).discard();
  });

  test("refusals are not repeated", async () => {
    proxy.fault = () => ({ kind: "answer", status: 403, code: "AccessDenied" });
    await expect(store.size(digestOf(Buffer.from("y")))).rejects.toMatchObject({ code: "blobs-refused" });
    expect(proxy.seen).toHaveLength(1);
  });

  test("an error inside a 200 is an error", async () => {
    proxy.fault = ({ url }) =>
      url.includes("list-type") ? { kind: "answer", status: 200, code: "InternalError" } : undefined;
    await expect((await store.stage(randomUUID())).size()).rejects.toMatchObject({ code: "blobs-unavailable" });
  });

  test("one that answers late is waited for, one that does not answer is not", async () => {
    const digest = await store.putSmall(randomBytes(100), 0);
    proxy.fault = () => ({ kind: "slow", ms: 300 });
    expect(await store.size(digest)).toBe(100);
    proxy.fault = () => ({ kind: "slow", ms: 5_000 });
    const hasty = new S3Client(
      { ...place.location, endpoint: proxy.endpoint },
      { retry: { attempts: 2, baseMs: 1, capMs: 1, deadlineMs: 1000 }, headersMs: 50 },
    );
    await expect(hasty.size("anything")).rejects.toMatchObject({ code: "blobs-unavailable" });
    await hasty.close();
  });
});

describe("reading", () => {
  test("a body that breaks off again and again is taken up where it broke", async () => {
    const bytes = randomBytes(3 * MIB);
    const digest = await store.putSmall(bytes, 0);
    proxy.fault = ({ method }, number) =>
      method === "GET" && number < 8 ? { kind: "truncate", after: 300_000 } : undefined;
    expect((await collect(await store.read(digest))).equals(bytes)).toBe(true);
    proxy.seen.length = 0;
    const part = await collect(await store.read(digest, { start: 1000, end: 2 * MIB }));
    expect(part.equals(bytes.subarray(1000, 2 * MIB))).toBe(true);
    expect(proxy.seen.length).toBeGreaterThan(3);
  });

  test("a body that never gets on is given up", async () => {
    const digest = await store.putSmall(randomBytes(3 * MIB), 0);
    proxy.fault = ({ method }) => (method === "GET" ? { kind: "truncate", after: 0 } : undefined);
    await expect(collect(await store.read(digest))).rejects.toMatchObject({ code: "blobs-unavailable" });
  }, 60_000);
});

describe("no other content under a digest's name", () => {
  test.each([1000, 12 * MIB])("bytes that have another digest are refused (%d)", async (size) => {
    const staged = await stageAll(store, randomBytes(size));
    const other = digestOf(randomBytes(10));
    await expect(store.adopt(staged, other, 0)).rejects.toMatchObject({ code: "blob-digest-mismatch" });
    expect(await store.size(other)).toBeUndefined();
    await staged.discard();
  });

  test.each([
    [1000, "the host that wrote it"],
    [12 * MIB, "the host that wrote it"],
    [1000, "another host"],
    [12 * MIB, "another host"],
  ])("a segment altered at rest is refused (%d, %s)", async (size, host) => {
    const bytes = randomBytes(size);
    const staged = await stageAll(store, bytes);
    await place.damageStaged(staged.id);
    const adopter = host === "another host" ? await place.open() : store;
    const seen = await adopter.stage(staged.id);
    expect(await seen.size()).toBe(size);
    await expect(adopter.adopt(seen, digestOf(bytes), 0)).rejects.toMatchObject({ code: "blob-digest-mismatch" });
    expect(await store.size(digestOf(bytes))).toBeUndefined();
    await seen.discard();
    expect(await leftOf(staged.id)).toEqual([]);
  });

  test("a segment torn by the server does not count", async () => {
    const bytes = randomBytes(9 * MIB);
    const staged = await stageAll(store, bytes);
    const [, last] = await leftOf(staged.id);
    if (last === undefined) throw new Error("no second segment");
    await place.client.put(last, bytes.subarray(0, 1000), { sha256: sha256Hex(bytes.subarray(0, 1000)) });
    const again = await (await place.open()).stage(staged.id);
    expect(await again.size()).toBe(8 * MIB);
    await again.append(8 * MIB, pieces(bytes.subarray(8 * MIB), 65_536), () => undefined);
    await store.adopt(again, digestOf(bytes), 0);
    expect(await leftOf(staged.id)).toEqual([]);
  });

  test("two hosts that write the same upload at once give no blob with the bytes of both", async () => {
    const id = randomUUID();
    const [one, other] = [await place.open(), await place.open()];
    const [mine, theirs] = [randomBytes(10 * MIB), randomBytes(10 * MIB)];
    const staged = await one.stage(id);
    const zombie = await other.stage(id);
    await Promise.all([staged.size(), zombie.size()]);
    await staged.append(0, pieces(mine, 65_536), () => undefined);
    await zombie.append(0, pieces(theirs, 65_536), () => undefined);
    // Of the listing alone nobody knows whose it is: the upload ends before the first doubt.
    expect(await (await place.open()).stage(id).then((seen) => seen.size())).toBe(0);
    // Who knows what it wrote adopts exactly that.
    await one.adopt(staged, digestOf(mine), 0);
    expect((await collect(await store.read(digestOf(mine)))).equals(mine)).toBe(true);
    await expect(other.adopt(zombie, digestOf(theirs), 0)).rejects.toThrow("has lost its segment");
    expect(await store.size(digestOf(theirs))).toBeUndefined();
    await zombie.discard();
  });

  test("a damaged blob that comes to be there meanwhile is replaced, though its size is right", async () => {
    const bytes = randomBytes(12 * MIB);
    const digest = digestOf(bytes);
    const client = new S3Client({ ...place.location, endpoint: proxy.endpoint }, QUICK);
    const log = { warn: () => undefined };
    const careful = new S3Blobs({ client, prefix: place.location.prefix, conditional: true, log });
    const staged = await stageAll(careful, bytes);
    let damaged: Promise<unknown> | undefined;
    proxy.fault = ({ method, url, headers }) => {
      if (method === "POST" && url.includes("uploads=")) {
        const hex = digest.slice("sha256:".length);
        const other = randomBytes(bytes.length);
        const key = `${place.location.prefix}/blobs/sha256/${hex.slice(0, 2)}/${hex}`;
        damaged = place.client.put(key, other, { sha256: sha256Hex(other) });
        return { kind: "slow", ms: 500 };
      }
      // This server enforces no condition; one that does answers so.
      return headers["if-none-match"] === "*" ? { kind: "answer", status: 412, code: "PreconditionFailed" } : undefined;
    };
    await careful.adopt(staged, digest, 0);
    expect(damaged).toBeDefined();
    expect((await collect(await store.read(digest))).equals(bytes)).toBe(true);
    await careful.close();
  });

  test("a blob whose completion was answered by nobody is found to be there", async () => {
    const bytes = randomBytes(12 * MIB);
    onceEach({ kind: "lost-answer" }, ({ method, url }) => method === "POST" && url.includes("uploadId="));
    await store.adopt(await stageAll(store, bytes), digestOf(bytes), 0);
    expect((await collect(await store.read(digestOf(bytes)))).equals(bytes)).toBe(true);
  });
});

describe("the probe", () => {
  test("finds that s3rver enforces neither conditions nor checksums, and leaves nothing", async () => {
    expect(await probe(place.client, place.location)).toEqual({ conditional: false, checksums: false });
    expect(await leftOf("probe-")).toEqual([]);
  });

  test("takes no single failure for an answer", async () => {
    const failed = onceEach({ kind: "answer", status: 503, code: "SlowDown" });
    const there = { ...place.location, endpoint: proxy.endpoint };
    const client = new S3Client(there, QUICK);
    expect(await probe(client, there)).toEqual({ conditional: false, checksums: false });
    expect(failed()).toBeGreaterThan(4);
    await client.close();
  });

  test("names a bucket that is not there, and a server that is not there", async () => {
    const nowhere = { ...place.location, bucket: "nowhere" };
    await expect(probe(new S3Client(nowhere, QUICK), nowhere)).rejects.toMatchObject({
      code: "blobs-refused",
      s3Code: "NoSuchBucket",
      hint: expect.stringContaining("ASSAY_BLOBS_URL") as string,
    });
    const silent = { ...place.location, endpoint: "http://127.0.0.1:1" };
    await expect(probe(new S3Client(silent, QUICK), silent)).rejects.toMatchObject({
      code: "blobs-unavailable",
      hint: expect.stringContaining("endpoint") as string,
    });
  });
});
