import type { Readable } from "node:stream";
import type { Digest } from "@assay/evidence";
import { ServerError, type ServerErrorCode } from "../errors.ts";

/** Bytes are not what they were said to be. */
export class OtherDigest extends Error {
  override readonly name = "OtherDigest";
  /** What they are. */
  readonly actual: Digest;

  constructor(said: Digest, actual: Digest) {
    super(`the bytes have the digest ${actual}, not ${said}`);
    this.actual = actual;
  }
}

/** A half-open byte range [start, end). */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/**
 * Content-addressed bytes. A blob is whole or not there; it is never changed. That it is there says nothing about who may see
 * it: visibility is the registry's matter.
 */
export interface BlobStore {
  /** The blob's size in bytes; undefined when it is not there. */
  size(digest: Digest): Promise<number | undefined>;
  /** Streams a blob or a part of it. @throws ServerError `blob-unknown`. */
  read(digest: Digest, range?: ByteRange): Promise<Readable>;
  /** Opens a blob or a part of it to be sent: like {@link read}, through few buffers. @throws ServerError `blob-unknown`. */
  open(digest: Digest, range?: ByteRange): Promise<OpenBlob>;
  /**
   * A URL under which the store itself hands out these bytes, and no others, for a short while, to whoever has it: as a download of no type
   * that a browser would show. Absent: this store has no such URLs.
   *
   * @throws ServerError `blob-unknown`.
   */
  readonly lend?: (digest: Digest, seconds: number) => Promise<string>;
  /** A small blob whole. @throws ServerError `blob-unknown`, `blob-too-large` above `maxBytes`. */
  readSmall(digest: Digest, maxBytes: number): Promise<Uint8Array>;
  /**
   * Stores bytes at hand; durable, name included, when it resolves.
   *
   * @param generation of which the bytes are to be there: what names them must be recorded under this one (collection/naming.ts).
   */
  putSmall(bytes: Uint8Array, generation: number): Promise<Digest>;
  /**
   * Stores bytes at hand that are said to have a digest: written without asking whether they are here already. Durable, name included, when it
   * resolves. Once it has resolved or rejected nothing reads their memory any more.
   *
   * @param generation as for {@link putSmall}.
   * @throws OtherDigest when they have another: then nothing is stored.
   */
  put(digest: Digest, bytes: Uint8Array, generation: number): Promise<void>;
  /** Every digest in the store (after `after`), in order: for `check`. What lies there under no digest's name is passed over. */
  list(after?: Digest): AsyncIterable<Digest>;
  /** As {@link list}, every generation by itself: what there is to collect. */
  entries(after?: Digest): AsyncIterable<BlobEntry>;
  /**
   * Removes one generation's bytes; fine when they are not there. Only after that generation ended on record: however late the removal
   * comes, it hits nothing that counts.
   */
  remove(digest: Digest, generation: number): Promise<void>;
  /**
   * Takes a staged upload's file as the blob `digest`, which its bytes have been shown to have. Durable when it resolves.
   *
   * @param generation as for {@link putSmall}.
   */
  adopt(staged: StagedBytes, digest: Digest, generation: number): Promise<void>;
  /** Opens the staged bytes of an upload session, making them on first use. */
  stage(id: string): Promise<StagedBytes>;
  /**
   * Names of what lies among uploads and was last written before `before` (ms since the epoch): those of upload sessions, and whatever a
   * crash or a host that was given up left there.
   */
  listStaged(before: number): AsyncIterable<string>;
  /** Removes what {@link listStaged} named; fine when it is not there. */
  removeStaged(name: string): Promise<void>;
}

/** One generation of a blob as it lies in the store. */
export interface BlobEntry {
  readonly digest: Digest;
  readonly generation: number;
  /** Its size. */
  readonly bytes: number;
}

/** What is so until somebody mends the store by hand: asked again, it says the same. */
const LOST: ReadonlySet<ServerErrorCode> = new Set(["blob-unknown", "blob-too-large", "blob-digest-mismatch"]);

/**
 * Whether an error says of a blob that its bytes are gone, or are others than its digest names. Every other error of a store says nothing
 * about the blob: the store does not answer, or not to us.
 */
export function isLost(error: unknown): error is ServerError {
  return error instanceof ServerError && LOST.has(error.code);
}

/** A blob that is open for sending, once. Whoever opened it closes it. */
export interface OpenBlob {
  /**
   * Hands over the bytes piece by piece, in order.
   *
   * @param write resolves when it is done with the piece's memory, which is then used for another piece; a rejection ends the sending.
   */
  send(write: (piece: Uint8Array) => Promise<void>): Promise<void>;
  /** Lets go of what it holds; harmless when called again. */
  close(): Promise<void>;
}

/** How a stream is appended: see {@link StagedBytes.append}. */
export interface Appending {
  readonly last?: boolean;
  readonly spent?: (chunk: Uint8Array) => void;
}

/** Bytes on their way in: appended to, then adopted or discarded. They are no fact until a blob. */
export interface StagedBytes {
  readonly id: string;
  /** Bytes written so far. */
  size(): Promise<number>;
  /**
   * Appends a stream at `offset`, which must be the current size.
   *
   * @param observe sees each chunk before it is written, for the running hash.
   * @param how `last`: nothing follows it: a store may make the bytes durable at once, where they are at hand. It is a hint, adopting them is
   * what counts. `spent` is told each chunk that the store reads no more.
   * @returns the new size. When the stream breaks off, what came stays and can be appended to.
   */
  append(
    offset: number,
    source: AsyncIterable<Uint8Array>,
    observe: (chunk: Uint8Array) => void,
    how?: Appending,
  ): Promise<number>;
  /** Streams what is there, for hashing after a restart. */
  read(): Readable;
  /** Cuts back to `size` bytes. */
  truncate(size: number): Promise<void>;
  /**
   * Keeps at most the first `size` bytes, in a place of their own: whoever is still writing to what was staged before writes into
   * nothing from here on. For taking over from somebody who may only be slow.
   */
  detach(size: number): Promise<void>;
  discard(): Promise<void>;
}
