/**
 * The blob suite on versitygw, a second S3 server: unlike the one of `npm test` it checks signatures, enforces conditional writes and
 * checksums, and copies parts on the server.
 */
import { randomBytes, randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { S3Client, sha256Hex } from "../packages/server/src/storage/s3-client.ts";
import type { S3Location } from "../packages/server/src/storage/s3-location.ts";
import { probe } from "../packages/server/src/storage/s3-probe.ts";
import { blobSuite, digestOf, pieces, stageAll } from "../packages/server/test/blob-suite.ts";
import { type S3Place, s3Place } from "../packages/server/test/s3-place.ts";
import { type S3Server, startFaultyProxy } from "../packages/server/test/s3-server.ts";
import { startVersitygw } from "./versitygw.ts";

const MIB = 1024 * 1024;

let gateway: S3Server;
let location: S3Location;

beforeAll(async () => {
  gateway = await startVersitygw();
  location = gateway.location;
});

afterAll(() => gateway.stop());

blobSuite("S3 (versitygw)", () => s3Place(location, () => Promise.resolve()));

describe("what versitygw enforces", () => {
  let place: S3Place;

  beforeAll(async () => {
    place = await s3Place(location, () => Promise.resolve());
  });

  afterAll(async () => {
    await place.dispose();
  });

  test("conditional writes and checksums, as the probe finds", async () => {
    expect(await probe(place.client, place.location)).toEqual({ conditional: true, checksums: true });
    expect(await place.leftovers()).toEqual([]);
  });

  test("lists come in pages, and each of more blobs than one holds is listed", async () => {
    // A page has 1,000 keys at most (Amazon S3 API Reference, ListObjectsV2).
    const store = await place.open();
    const expected = new Set<string>();
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        for (let count = 0; count < 140; count += 1) expected.add(await store.putSmall(randomBytes(20), 0));
      }),
    );
    const listed = new Set<string>();
    for await (const digest of store.list()) listed.add(digest);
    expect([...expected].filter((digest) => !listed.has(digest))).toEqual([]);
  }, 120_000);

  test("credentials: a wrong secret is refused, and nothing is retried", async () => {
    const wrong = new S3Client({ ...location, credentials: { ...location.credentials, secretAccessKey: "other" } });
    await expect(probe(wrong, location)).rejects.toMatchObject({ code: "blobs-refused", status: 403 });
    await wrong.close();
  });

  test("a bucket that is not there is refused", async () => {
    const elsewhere = { ...location, bucket: "nowhere" };
    const wrong = new S3Client(elsewhere);
    await expect(probe(wrong, elsewhere)).rejects.toMatchObject({ code: "blobs-refused", s3Code: "NoSuchBucket" });
    await wrong.close();
  });

  test("a create does not replace what is there", async () => {
    const key = `${place.location.prefix}/once`;
    const [first, second] = [Buffer.from("first"), Buffer.from("second")];
    expect(await place.client.put(key, first, { sha256: sha256Hex(first), createOnly: true })).toBe("stored");
    expect(await place.client.put(key, second, { sha256: sha256Hex(second), createOnly: true })).toBe("exists");
    expect(Buffer.from((await place.client.bytes(key, 100)) ?? []).toString()).toBe("first");
  });

  test("listing goes on over pages", async () => {
    const keys = Array.from(
      { length: 25 },
      (_, index) => `${place.location.prefix}/pages/${String(index).padStart(3, "0")}`,
    );
    for (const key of keys) await place.client.put(key, Buffer.from(key), { sha256: sha256Hex(Buffer.from(key)) });
    const listed: string[] = [];
    for await (const { key } of place.client.list(`${place.location.prefix}/pages/`, { pageSize: 7 })) listed.push(key);
    expect(listed).toEqual(keys);
  });

  test("a large blob is made of its segments on the server: its bytes do not pass through here twice", async () => {
    const proxy = await startFaultyProxy(location.endpoint);
    const store = await place.openAt(proxy.endpoint);
    const bytes = randomBytes(40 * MIB);
    await store.adopt(await stageAll(store, bytes, 1_000_003), digestOf(bytes), 0);
    const copies = proxy.seen.filter(({ headers }) => headers["x-amz-copy-source"] !== undefined);
    expect(copies).toHaveLength(5);
    expect(proxy.seen.filter(({ method, url }) => method === "GET" && !url.includes("list-type"))).toEqual([]);
    await proxy.stop();
  });

  test("a segment that was altered at rest is no blob, by way of a copy either", async () => {
    const store = await place.open();
    const bytes = randomBytes(24 * MIB);
    const staged = await stageAll(store, bytes);
    await place.damageStaged(staged.id);
    await expect(store.adopt(staged, digestOf(bytes), 0)).rejects.toMatchObject({ code: "blob-digest-mismatch" });
    expect(await store.size(digestOf(bytes))).toBeUndefined();
    await staged.discard();
  });

  test("bytes damaged on the way are refused by the server, and sent again", async () => {
    const proxy = await startFaultyProxy(location.endpoint);
    const damaged = new Set<string>();
    proxy.fault = ({ method, url }) => {
      if (method !== "PUT" || damaged.has(url)) return undefined;
      damaged.add(url);
      return { kind: "corrupt-request" };
    };
    const store = await place.openAt(proxy.endpoint);
    const bytes = randomBytes(9 * MIB);
    const staged = await store.stage(randomUUID());
    await staged.append(0, pieces(bytes, 100_000), () => undefined);
    await store.adopt(staged, digestOf(bytes), 0);
    expect(damaged.size).toBeGreaterThan(2);
    expect(await store.size(digestOf(bytes))).toBe(bytes.length);
    await proxy.stop();
  });
});
