import { createHash } from "node:crypto";
import { type Digest, digestHex } from "@assay/evidence";
import { ServerError } from "../errors.ts";
import type { BlobStore } from "./blobs.ts";

/** A blob that is not what its name says, or not there. */
export interface BlobFinding {
  readonly kind: "blob";
  readonly where: string;
  readonly problem: string;
  readonly action: string;
}

/** A blob that something names, and that thing in words. */
export interface Named {
  readonly digest: Digest;
  readonly namedBy: string;
}

/** A blob, and another digest that it is known under. */
export interface Aliased extends Named {
  /** `sha512:…`. */
  readonly alias: string;
}

const ACTION = "push the same content again (the digest names it), or put the blob back from a backup";

/** Blobs read at the same time: in S3 each costs a round trip. */
const AT_ONCE = 8;

function found(where: string, problem: string): BlobFinding {
  return { kind: "blob", where, problem, action: ACTION };
}

/**
 * Reads a blob and compares it with its digest.
 *
 * @param progress hears of bytes read, and may make the reading wait.
 * @param aliases what else it is called.
 * @param piece read it in requests of this many bytes, so that a slow reader holds no connection; else in one.
 * @returns what is wrong with it; `gone` when there is no such blob.
 */
export async function judgeBlob(
  blobs: BlobStore,
  digest: Digest,
  progress: (bytes: number) => void | Promise<void>,
  piece?: number,
  aliases: readonly Aliased[] = [],
): Promise<BlobFinding | "gone" | undefined> {
  const hash = createHash("sha256");
  const other = aliases.length === 0 ? undefined : createHash("sha512");
  const take = async (start: number, end: number): Promise<void> => {
    const range = piece === undefined ? undefined : { start, end };
    for await (const chunk of (await blobs.read(digest, range)) as AsyncIterable<Uint8Array>) {
      hash.update(chunk);
      other?.update(chunk);
      await progress(chunk.length);
    }
  };
  try {
    if (piece === undefined) await take(0, 0);
    else {
      const size = await blobs.size(digest);
      if (size === undefined) return "gone";
      for (let start = 0; start < size; start += piece) await take(start, Math.min(size, start + piece));
    }
  } catch (error) {
    if (error instanceof ServerError) {
      if (error.code === "blob-unknown") return "gone";
      // The store does not answer, or refuses: that says nothing about a blob, and nothing was checked.
      if (error.code === "blobs-unavailable" || error.code === "blobs-refused") throw error;
    }
    return found(digest, `it cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (hash.digest("hex") !== digestHex(digest)) {
    return found(digest, "its bytes do not have this digest: it was altered");
  }
  const second = other && `sha512:${other.digest("hex")}`;
  const wrong = aliases.find(({ alias }) => alias !== second);
  if (wrong === undefined) return undefined;
  return {
    kind: "blob",
    where: digest,
    problem: `${wrong.namedBy} calls it ${wrong.alias}, which its bytes do not have: that name was not computed from them`,
    action: "believe its sha256 digest; push the content that the other one was meant for under its own",
  };
}

/**
 * Reads every blob and compares it with its digest, and looks for each blob that something names. Both come in the order of digests, so
 * nothing is held but the place.
 *
 * @param present the blobs to read.
 * @param named each digest at most once.
 * @param aliased in the order of digests too; a blob that is not present is passed over.
 * @param progress hears of bytes read and of each blob done.
 */
export async function* checkBlobs(
  blobs: BlobStore,
  present: AsyncIterable<Digest>,
  named: AsyncIterable<Named>,
  aliased: AsyncIterable<Aliased>,
  progress: (bytes: number, done?: Digest) => void,
): AsyncGenerator<BlobFinding> {
  const names = named[Symbol.asyncIterator]();
  let name = await names.next();
  const others = aliased[Symbol.asyncIterator]();
  let other = await others.next();
  /** What else a blob is called; those before it in order are done with. */
  const aliasesOf = async (digest: Digest): Promise<Aliased[]> => {
    const aliases: Aliased[] = [];
    for (; other.done !== true && other.value.digest <= digest; other = await others.next()) {
      if (other.value.digest === digest) aliases.push(other.value);
    }
    return aliases;
  };
  const under: { digest: Digest; judged: Promise<BlobFinding | "gone" | undefined> }[] = [];
  /** Awaits the blob that was begun first; what is named before it is not there. */
  const settle = async function* (): AsyncGenerator<BlobFinding> {
    const first = under.shift();
    if (first === undefined) return;
    const judged = await first.judged;
    progress(0, first.digest);
    if (judged !== undefined && judged !== "gone") yield judged;
    while (name.done !== true && name.value.digest <= first.digest) {
      const { digest, namedBy } = name.value;
      if (digest !== first.digest || judged === "gone") yield found(digest, `it is missing; ${namedBy} names it`);
      name = await names.next();
    }
  };
  try {
    for await (const digest of present) {
      const judged = judgeBlob(blobs, digest, progress, undefined, await aliasesOf(digest));
      // It is awaited in its turn; until then a failure is not unhandled.
      judged.catch(() => undefined);
      under.push({ digest, judged });
      if (under.length >= AT_ONCE) yield* settle();
    }
    while (under.length > 0) yield* settle();
    for (; name.done !== true; name = await names.next()) {
      yield found(name.value.digest, `it is missing; ${name.value.namedBy} names it`);
    }
  } finally {
    await Promise.allSettled(under.map(({ judged }) => judged));
    await names.return?.();
    await others.return?.();
  }
}
