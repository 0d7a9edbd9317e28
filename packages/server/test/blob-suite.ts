/** What every blob store must do, whatever it is made of. */
import { createHash, randomBytes, randomUUID } from "node:crypto";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Digest, parseDigest } from "@assay/evidence";
import { type BlobStore, OtherDigest, type StagedBytes } from "../src/storage/blobs.ts";

const MIB = 1024 * 1024;

/** A place for blobs that several stores, as on several hosts, look at. */
export interface BlobPlace {
  /** A store that shares nothing with the others but the place. */
  open(): Promise<BlobStore>;
  /** Changes one byte of a blob, behind the stores' backs. */
  damageBlob(digest: Digest): Promise<void>;
  /** Changes one byte of an upload, behind the stores' backs. */
  damageStaged(id: string): Promise<void>;
  /** What is left of uploads. */
  leftovers(): Promise<string[]>;
  dispose(): Promise<void>;
}

export function digestOf(bytes: Uint8Array): Digest {
  return parseDigest(`sha256:${createHash("sha256").update(bytes).digest("hex")}`);
}

export async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

export async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const ignore = (): void => undefined;

/** Stages bytes and returns them unadopted. */
export async function stageAll(store: BlobStore, bytes: Uint8Array, chunk = 64 * 1024): Promise<StagedBytes> {
  const staged = await store.stage(randomUUID());
  expect(await staged.append(0, pieces(bytes, chunk), ignore)).toBe(bytes.length);
  return staged;
}

async function readAll(store: BlobStore, digest: Digest): Promise<Buffer> {
  return await collect(await store.read(digest));
}

/** Declares the suite for one kind of store. */
export function blobSuite(name: string, makePlace: () => Promise<BlobPlace>): void {
  describe(`blobs in ${name}`, () => {
    let place: BlobPlace;
    let store: BlobStore;

    beforeAll(async () => {
      place = await makePlace();
      store = await place.open();
    });

    afterAll(async () => {
      await place.dispose();
    });

    test("what is stored is read back, and has its size", async () => {
      for (const size of [0, 1, 5, 64 * 1024, 3 * MIB + 1]) {
        const bytes = randomBytes(size);
        const digest = digestOf(bytes);
        expect(await store.size(digest)).toBe(size === 0 ? await store.size(digest) : undefined);
        const staged = await stageAll(store, bytes);
        await store.adopt(staged, digest, 0);
        expect(await store.size(digest)).toBe(size);
        expect((await readAll(store, digest)).equals(bytes)).toBe(true);
      }
      expect(await place.leftovers()).toEqual([]);
    });

    test("an upload nothing was ever written to is the empty blob", async () => {
      const staged = await store.stage(randomUUID());
      expect(await staged.size()).toBe(0);
      await store.adopt(staged, digestOf(Buffer.alloc(0)), 0);
      expect((await readAll(store, digestOf(Buffer.alloc(0)))).length).toBe(0);
    });

    test("small bytes at hand are stored, once and again", async () => {
      const bytes = randomBytes(1000);
      expect(await store.putSmall(bytes, 0)).toBe(digestOf(bytes));
      expect(await store.putSmall(bytes, 0)).toBe(digestOf(bytes));
      expect(Buffer.from(await store.readSmall(digestOf(bytes), 1000)).equals(bytes)).toBe(true);
      await store.putSmall(Buffer.alloc(0), 0);
      expect((await store.readSmall(digestOf(Buffer.alloc(0)), 0)).length).toBe(0);
    });

    test("bytes at hand whose digest is known are stored, mend what is damaged, and their memory is the caller's again", async () => {
      for (const size of [0, 1000, 300_000]) {
        const bytes = randomBytes(size);
        const digest = digestOf(bytes);
        const memory = Buffer.from(bytes);
        await store.put(digest, memory, 0);
        memory.fill(0);
        expect((await readAll(store, digest)).equals(bytes)).toBe(true);
        if (size === 0) continue;
        await place.damageBlob(digest);
        expect((await readAll(store, digest)).equals(bytes)).toBe(false);
        await store.put(digest, bytes, 0);
        expect((await readAll(store, digest)).equals(bytes)).toBe(true);
      }
      expect(await place.leftovers()).toEqual([]);
    });

    test("bytes at hand that are not what they are said to be are not stored, under neither name", async () => {
      for (const size of [1, 1000, 300_000]) {
        const [bytes, said] = [randomBytes(size), digestOf(randomBytes(100))];
        const putting = store.put(said, bytes, 0);
        await expect(putting).rejects.toThrow(OtherDigest);
        await expect(putting).rejects.toMatchObject({ actual: digestOf(bytes) });
        expect(await store.size(said)).toBeUndefined();
        expect(await store.size(digestOf(bytes))).toBeUndefined();
      }
      expect(await place.leftovers()).toEqual([]);
    });

    test("a small read has a limit", async () => {
      const digest = await store.putSmall(randomBytes(1001), 0);
      await expect(store.readSmall(digest, 1000)).rejects.toMatchObject({ code: "blob-too-large" });
    });

    test("what is not there is not there", async () => {
      const digest = digestOf(randomBytes(10));
      expect(await store.size(digest)).toBeUndefined();
      await expect(store.read(digest)).rejects.toMatchObject({ code: "blob-unknown" });
      await expect(store.read(digest, { start: 0, end: 5 })).rejects.toMatchObject({ code: "blob-unknown" });
      await expect(store.readSmall(digest, 100)).rejects.toMatchObject({ code: "blob-unknown" });
    });

    test("any range can be read", async () => {
      const bytes = randomBytes(300_001);
      const digest = await store.putSmall(bytes, 0);
      const ranges = [
        [0, 1],
        [0, 300_001],
        [1, 2],
        [300_000, 300_001],
        [65_535, 65_537],
        [123, 234_567],
      ] as const;
      for (const [start, end] of ranges) {
        const read = await collect(await store.read(digest, { start, end }));
        expect(read.equals(bytes.subarray(start, end)), `${start}-${end}`).toBe(true);
      }
    });

    test("a read that is given up leaves the store as it was", async () => {
      const bytes = randomBytes(4 * MIB);
      const digest = await store.putSmall(bytes, 0);
      for (let round = 0; round < 5; round += 1) {
        const unread = await store.read(digest);
        unread.destroy();
        for await (const chunk of (await store.read(digest)) as AsyncIterable<Uint8Array>) {
          expect(chunk.length).toBeGreaterThan(0);
          break;
        }
      }
      expect((await readAll(store, digest)).equals(bytes)).toBe(true);
    });

    test("blobs that are sent at once, some slowly and some broken off, do not mix", async () => {
      const blobs = await Promise.all(
        [0, 1, 65_536, 65_537, 262_144, 262_145, 600_000, MIB].map(async (size) => {
          const bytes = randomBytes(size);
          return { bytes, digest: await store.putSmall(bytes, 0) };
        }),
      );
      const pull = async (n: number): Promise<void> => {
        const { bytes, digest } = blobs[n % blobs.length] ?? {
          bytes: Buffer.alloc(0),
          digest: digestOf(Buffer.alloc(0)),
        };
        const start = n % 3 === 0 ? 0 : Math.floor(bytes.length / 3);
        const open = await store.open(digest, { start, end: bytes.length });
        const came: Buffer[] = [];
        const breaksOff = n % 5 === 4;
        try {
          await open.send(async (piece) => {
            // The client takes it after a while: until then the memory is the piece's.
            await new Promise((resolve) => setTimeout(resolve, n % 4));
            came.push(Buffer.from(piece));
            if (breaksOff) throw new Error("the client left");
          });
          expect(Buffer.concat(came).equals(bytes.subarray(start)), `${n}`).toBe(true);
        } catch (error) {
          if (!breaksOff) throw error;
        } finally {
          await open.close();
        }
      };
      for (let round = 0; round < 3; round += 1)
        await Promise.all(Array.from({ length: 40 }, (_, n) => pull(n + round)));
    });

    test("the running hash sees every byte, in order", async () => {
      const bytes = randomBytes(200_000);
      const hash = createHash("sha256");
      const staged = await store.stage(randomUUID());
      await staged.append(0, pieces(bytes.subarray(0, 100_001), 999), (chunk) => hash.update(chunk));
      await staged.append(100_001, pieces(bytes.subarray(100_001), 7777), (chunk) => hash.update(chunk));
      expect(`sha256:${hash.digest("hex")}`).toBe(digestOf(bytes));
      await store.adopt(staged, digestOf(bytes), 0);
    });

    test("an upload goes on at another host, from its very byte", async () => {
      const bytes = randomBytes(9 * MIB + 123);
      const id = randomUUID();
      let at = 0;
      for (const size of [1, 1000, 8 * MIB, 17, bytes.length]) {
        const host = await place.open();
        const staged = await host.stage(id);
        expect(await staged.size()).toBe(at);
        const end = Math.min(bytes.length, at + size);
        at = await staged.append(at, pieces(bytes.subarray(at, end), 50_000), ignore);
        expect(at).toBe(end);
      }
      const last = await place.open();
      const staged = await last.stage(id);
      expect((await collect(staged.read())).equals(bytes)).toBe(true);
      await last.adopt(staged, digestOf(bytes), 0);
      expect((await readAll(store, digestOf(bytes))).equals(bytes)).toBe(true);
      expect(await place.leftovers()).toEqual([]);
    });

    test("a stream that breaks off leaves what came, to go on from", async () => {
      const bytes = randomBytes(9 * MIB);
      const broken = 8 * MIB + 50_000;
      const staged = await store.stage(randomUUID());
      const torn = async function* (): AsyncGenerator<Uint8Array> {
        yield* pieces(bytes.subarray(0, broken), 65_536);
        throw new Error("the connection broke");
      };
      await expect(staged.append(0, torn(), ignore)).rejects.toThrow("the connection broke");
      const again = await (await place.open()).stage(staged.id);
      expect(await again.size()).toBe(broken);
      await again.append(broken, pieces(bytes.subarray(broken), 65_536), ignore);
      await store.adopt(await store.stage(staged.id), digestOf(bytes), 0);
      expect((await readAll(store, digestOf(bytes))).equals(bytes)).toBe(true);
    });

    test.each([
      ["to nothing", 0],
      ["within the first bytes", 10],
      ["to an acknowledged offset", 100_000],
      ["by one byte", 8 * MIB + 99_999],
      ["not at all", 8 * MIB + 100_000],
    ])("staged bytes are cut back %s, and go on differently", async (_name, size) => {
      const first = randomBytes(8 * MIB + 100_000);
      const staged = await store.stage(randomUUID());
      await staged.append(0, pieces(first.subarray(0, 100_000), 9_000), ignore);
      await staged.append(100_000, pieces(first.subarray(100_000), 70_000), ignore);
      await staged.truncate(size);
      expect(await staged.size()).toBe(size);
      const other = randomBytes(200_000);
      await staged.append(size, pieces(other, 65_536), ignore);
      const expected = Buffer.concat([first.subarray(0, size), other]);
      const elsewhere = await (await place.open()).stage(staged.id);
      expect(await elsewhere.size()).toBe(expected.length);
      await store.adopt(staged, digestOf(expected), 0);
      expect((await readAll(store, digestOf(expected))).equals(expected)).toBe(true);
    });

    test("discarded bytes are gone, and discarding twice is fine", async () => {
      const staged = await stageAll(store, randomBytes(100_000));
      await staged.discard();
      expect(await staged.size()).toBe(0);
      await staged.discard();
      expect(await place.leftovers()).toEqual([]);
    });

    test("the same content adopted at once by many is there once, whole", async () => {
      for (const size of [1000, 12 * MIB]) {
        const bytes = randomBytes(size);
        const digest = digestOf(bytes);
        const hosts = await Promise.all(Array.from({ length: 6 }, () => place.open()));
        await Promise.all(
          hosts.map(async (host) => {
            await host.adopt(await stageAll(host, bytes), digest, 0);
            expect(await host.size(digest)).toBe(size);
          }),
        );
        expect((await readAll(store, digest)).equals(bytes)).toBe(true);
      }
      expect(await place.leftovers()).toEqual([]);
    });

    test("a damaged blob is mended by pushing the same content again", async () => {
      for (const size of [1000, 9 * MIB]) {
        const bytes = randomBytes(size);
        const digest = digestOf(bytes);
        await store.adopt(await stageAll(store, bytes), digest, 0);
        await place.damageBlob(digest);
        expect((await readAll(store, digest)).equals(bytes)).toBe(false);
        await store.adopt(await stageAll(store, bytes), digest, 0);
        expect((await readAll(store, digest)).equals(bytes)).toBe(true);
      }
    });

    test("a damaged small blob is mended by putting the same bytes again, the size being what it was", async () => {
      const bytes = randomBytes(500);
      const digest = await store.putSmall(bytes, 0);
      await place.damageBlob(digest);
      expect((await readAll(store, digest)).equals(bytes)).toBe(false);
      expect(await store.putSmall(bytes, 0)).toBe(digest);
      expect((await readAll(store, digest)).equals(bytes)).toBe(true);
    });

    test("what is staged is listed by its age, and removed by its name", async () => {
      const [old, kept] = [await stageAll(store, randomBytes(50)), await stageAll(store, randomBytes(9 * MIB))];
      const listed = async (before: number): Promise<string[]> => {
        const names: string[] = [];
        for await (const name of store.listStaged(before)) names.push(name);
        return names;
      };
      expect(await listed(Date.now() - 60_000)).toEqual([]);
      expect((await listed(Date.now() + 60_000)).toSorted()).toEqual([old.id, kept.id].toSorted());
      await store.removeStaged(old.id);
      await store.removeStaged(old.id);
      expect(await old.size()).toBe(0);
      expect(await kept.size()).toBe(9 * MIB);
      await kept.discard();
      expect(await place.leftovers()).toEqual([]);
    });

    test("bytes of every length, in chunks of any size, come back as they went in", async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.integer({ min: 0, max: 20 * MIB }),
          fc.integer({ min: 1, max: 3 * MIB }),
          fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 3 }),
          async (size, chunk, cuts) => {
            const bytes = randomBytes(size);
            const ends = [...cuts.map((cut) => Math.floor(cut * size)).toSorted((a, b) => a - b), size];
            const id = randomUUID();
            let at = 0;
            for (const end of ends) {
              const staged = await store.stage(id);
              at = await staged.append(at, pieces(bytes.subarray(at, end), Math.max(chunk, 1 + (size >> 12))), ignore);
            }
            await store.adopt(await store.stage(id), digestOf(bytes), 0);
            expect((await readAll(store, digestOf(bytes))).equals(bytes)).toBe(true);
          },
        ),
        { numRuns: 8 },
      );
    }, 60_000);

    test("40 MiB in odd chunks over three requests", async () => {
      const bytes = randomBytes(40 * MIB + 3);
      const id = randomUUID();
      let at = 0;
      for (const [end, chunk] of [
        [13 * MIB + 1, 65_521],
        [13 * MIB + 2, 1],
        [bytes.length, 1_000_003],
      ] as const) {
        const staged = await store.stage(id);
        at = await staged.append(at, pieces(bytes.subarray(at, end), chunk), ignore);
      }
      const staged = await store.stage(id);
      await store.adopt(staged, digestOf(bytes), 0);
      expect((await readAll(store, digestOf(bytes))).equals(bytes)).toBe(true);
      const part = await collect(await store.read(digestOf(bytes), { start: 8 * MIB - 5, end: 32 * MIB + 5 }));
      expect(part.equals(bytes.subarray(8 * MIB - 5, 32 * MIB + 5))).toBe(true);
    }, 60_000);

    test("every blob is listed once, in order, and no upload is", async () => {
      const expected = new Set<string>();
      for (let count = 0; count < 12; count += 1) expected.add(await store.putSmall(randomBytes(20), 0));
      const staged = await stageAll(store, randomBytes(50));
      const listed: string[] = [];
      for await (const digest of store.list()) listed.push(digest);
      expect(listed).toEqual(listed.toSorted());
      expect(new Set(listed).size).toBe(listed.length);
      for (const digest of expected) expect(listed).toContain(digest);
      await staged.discard();
    });
  });
}
