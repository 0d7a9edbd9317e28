import { type Digest, digestOf } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { Readable } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { readingAhead } from "../src/attestations/read-ahead.ts";
import { ServerError } from "../src/errors.ts";

const MAX = 1024 * 1024;

function piece(number: number, size = 10) {
  const bytes = new Uint8Array(size).fill(number);
  const digest = digestOf(nodeCrypto, bytes);
  return { bytes, row: { digest, size, form: "dsse", wrapping: null } as const };
}

/** A store that answers when it is let, and says what is asked of it. */
function slowStore(pieces: readonly ReturnType<typeof piece>[]) {
  const asked: Digest[] = [];
  let underWay = 0;
  let most = 0;
  return {
    asked,
    most: () => most,
    blobs: {
      read: async () => Readable.from([]),
      async readSmall(digest: Digest, maxBytes: number) {
        asked.push(digest);
        most = Math.max(most, ++underWay);
        await setImmediate();
        underWay -= 1;
        const found = pieces.find(({ row }) => row.digest === digest);
        if (found === undefined) throw new ServerError("blob-unknown", `there is no blob ${digest}`);
        if (found.bytes.length > maxBytes) throw new ServerError("blob-too-large", "too large");
        return found.bytes;
      },
    },
  };
}

describe("pieces of evidence read ahead of who goes through them", () => {
  it("gives each its bytes, and asks the store for each once", async () => {
    const pieces = Array.from({ length: 20 }, (_, number) => piece(number));
    const store = slowStore(pieces);
    const ahead = readingAhead(
      store.blobs,
      pieces.map(({ row }) => row),
    );
    for (const { row, bytes } of pieces) expect(await ahead.readSmall(row.digest, MAX)).toEqual(bytes);
    expect(store.asked).toEqual(pieces.map(({ row }) => row.digest));
  });

  it("has four under way at once and no more", async () => {
    const pieces = Array.from({ length: 20 }, (_, number) => piece(number));
    const store = slowStore(pieces);
    const ahead = readingAhead(
      store.blobs,
      pieces.map(({ row }) => row),
    );
    expect(store.asked).toHaveLength(4);
    for (const { row } of pieces) await ahead.readSmall(row.digest, MAX);
    expect(store.most()).toBe(4);
  });

  it("answers also what is asked out of order, again, or was never among the pieces", async () => {
    const pieces = Array.from({ length: 8 }, (_, number) => piece(number));
    const stranger = piece(99);
    const store = slowStore([...pieces, stranger]);
    const ahead = readingAhead(
      store.blobs,
      pieces.map(({ row }) => row),
    );
    for (const { row, bytes } of [...pieces.toReversed(), ...pieces, stranger]) {
      expect(await ahead.readSmall(row.digest, MAX)).toEqual(bytes);
    }
  });

  it("does not hold what is large, or is not read for judging", async () => {
    const large = piece(1, 300 * 1024);
    const report = { ...piece(2).row, form: "report" } as const;
    const store = slowStore([large]);
    const ahead = readingAhead(store.blobs, [large.row, report]);
    expect(store.asked).toEqual([]);
    expect(await ahead.readSmall(large.row.digest, MAX)).toEqual(large.bytes);
  });

  it("tells of what is gone to who asks for it, and to nobody else", async () => {
    const [here, gone] = [piece(1), piece(2)];
    const store = slowStore([here]);
    const ahead = readingAhead(store.blobs, [gone.row, here.row]);
    await setImmediate();
    expect(await ahead.readSmall(here.row.digest, MAX)).toEqual(here.bytes);
    await expect(ahead.readSmall(gone.row.digest, MAX)).rejects.toMatchObject({ code: "blob-unknown" });
  });

  it("keeps to the limit of who asks", async () => {
    const one = piece(1, 100);
    const ahead = readingAhead(slowStore([one]).blobs, [one.row]);
    await expect(ahead.readSmall(one.row.digest, 99)).rejects.toMatchObject({ code: "blob-too-large" });
  });
});
