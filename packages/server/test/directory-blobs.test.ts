import { readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { digestHex, digestOf, equalBytes, utf8Encode } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { alignedMemory, isAligned, PIECE } from "../src/storage/aligned-memory.ts";
import { fileThreads } from "../src/storage/file-threads.ts";
import { DirectoryBlobs } from "../src/storage/directory-blobs.ts";
import { temporaryDirectory } from "./core.ts";

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let blobs: DirectoryBlobs;

beforeEach(async () => {
  directory = await temporaryDirectory();
  blobs = await DirectoryBlobs.open(directory.path);
});

afterEach(() => directory.dispose());

it("heals a damaged blob when the same bytes are put again", async () => {
  const bytes = utf8Encode("evidence");
  const digest = await blobs.putSmall(bytes, 0);
  const path = join(directory.path, "blobs", "sha256", digestHex(digest).slice(0, 2), digestHex(digest));
  await writeFile(path, "damaged!");
  expect(await blobs.putSmall(bytes, 0)).toBe(digest);
  expect(await readFile(path, "utf8")).toBe("evidence");
});

it("puts what lies in memory that a disk can take as it is, whatever its length", async () => {
  for (const length of [128 * 1024, 128 * 1024 + 1, 300_000, PIECE - 1, PIECE]) {
    const piece = alignedMemory.take();
    try {
      expect(isAligned(piece)).toBe(true);
      const bytes = piece.subarray(0, length);
      bytes.forEach((_, at) => {
        bytes[at] = (at * 31 + length) % 253;
      });
      const digest = digestOf(nodeCrypto, bytes);
      await blobs.put(digest, bytes, 0);
      expect(digestOf(nodeCrypto, await blobs.readSmall(digest, PIECE))).toBe(digest);
      expect(await blobs.size(digest)).toBe(length);
    } finally {
      alignedMemory.giveBack(piece);
    }
  }
});

it("puts more at once than there are threads, each from where it lies", async () => {
  const bodies = Array.from({ length: 20 }, (_, index) => {
    const piece = index % 2 === 0 ? alignedMemory.take() : new Uint8Array(new ArrayBuffer(70_000), 10, 60_000);
    const bytes = piece.fill(index).subarray(0, 50_000 + index);
    return { piece, bytes, digest: digestOf(nodeCrypto, bytes) };
  });
  await Promise.all(bodies.map(({ bytes, digest }) => blobs.put(digest, bytes, 0)));
  for (const [index, { bytes, piece, digest }] of bodies.entries()) {
    expect(equalBytes(await blobs.readSmall(digest, PIECE), bytes)).toBe(true);
    if (index % 2 === 0) alignedMemory.giveBack(piece);
  }
});

it("makes the directories again that somebody took away", async () => {
  const bytes = utf8Encode("once");
  const digest = await blobs.putSmall(bytes, 0);
  for (const gone of ["uploads", join("blobs", "sha256", digestHex(digest).slice(0, 2)), "blobs"]) {
    await rm(join(directory.path, gone), { recursive: true });
    await blobs.put(digest, bytes, 0);
    expect(equalBytes(await blobs.readSmall(digest, 10), bytes)).toBe(true);
    expect(await readdir(join(directory.path, "uploads"))).toEqual([]);
  }
});

it("takes no name for durable when a sync of a directory failed on another thread meanwhile, and puts it again", async () => {
  const bytes = utf8Encode("while a disk fails");
  const failures = vi.spyOn(fileThreads, "failures", "get");
  failures.mockReturnValueOnce(3).mockReturnValueOnce(4);
  const digest = digestOf(nodeCrypto, bytes);
  await expect(blobs.put(digest, bytes, 0)).rejects.toMatchObject({ code: "storage-failed" });
  failures.mockRestore();
  await blobs.put(digest, bytes, 0);
  expect(await blobs.size(digest)).toBe(bytes.length);
  // The same of bytes that are there: they are put again.
  const put = vi.spyOn(fileThreads, "put");
  await blobs.putSmall(bytes, 0);
  expect(put).not.toHaveBeenCalled();
  vi.spyOn(fileThreads, "failures", "get").mockReturnValueOnce(3).mockReturnValue(4);
  await blobs.putSmall(bytes, 0);
  expect(put).toHaveBeenCalledOnce();
  vi.restoreAllMocks();
});

it("lends no piece of its memory twice, and has other memory for who comes then", () => {
  const pieces = Array.from({ length: 20 }, () => alignedMemory.take());
  expect(
    new Set(pieces.map(({ buffer, byteOffset }) => (isAligned({ buffer, byteOffset }) ? byteOffset : buffer))).size,
  ).toBe(20);
  expect(pieces.map(({ length }) => length)).toEqual(pieces.map(() => PIECE));
  for (const piece of pieces) alignedMemory.giveBack(piece);
});

it("never sends a blob that ends early as if it were whole", async () => {
  for (const length of [5, 256 * 1024, 600_000]) {
    const bytes = new Uint8Array(length).fill(length % 251);
    const digest = await blobs.putSmall(bytes, 0);
    await truncate(
      join(directory.path, "blobs", "sha256", digestHex(digest).slice(0, 2), digestHex(digest)),
      length - 2,
    );
    const blob = await blobs.open(digest, { start: 0, end: length });
    await expect(blob.send(() => Promise.resolve())).rejects.toThrow(`ends at byte ${length - 2}, not at ${length}`);
    await blob.close();
  }
});

it("gives staged bytes that were taken over a place of their own", async () => {
  const staged = await blobs.stage("a");
  const nothing = (): void => undefined;
  await staged.append(0, source("hello"), nothing);
  // Somebody slow has the old file open.
  let finish: () => void = () => undefined;
  const waiting = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const slow = staged.append(5, source("late", waiting), nothing);
  await new Promise((resolve) => setTimeout(resolve, 20));
  await staged.detach(3);
  finish();
  await slow;
  expect(await staged.size()).toBe(3);
  await (await blobs.stage("never written")).detach(0);
});

/** Text as a stream that ends when told. */
async function* source(text: string, until: Promise<void> = Promise.resolve()): AsyncGenerator<Uint8Array> {
  await until;
  yield utf8Encode(text);
}
