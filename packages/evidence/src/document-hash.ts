/**
 * Documents as signatures ask them to be hashed: a prefix of the signature's own, the document's bytes as they are or as a text, and a suffix
 * that is added to a clone. They pass by in chunks and are not kept.
 */

import type { HashName } from "./scheme.ts";

/** What a document may be hashed by: the hashes of signatures, and those that only OpenPGP knows besides (RFC 9580 §9.5). */
export type DocumentHashName = HashName | "sha224" | "sha3-256" | "sha3-512";

/** An incremental hash. */
export type Hasher = { update(data: Uint8Array): unknown; digest(): Uint8Array; clone(): Hasher };

/** One way of hashing a document. Ways that agree in `algorithm`, `prefix` and `isText` give the same hash of the same document. */
export type HashWay = {
  /** By OpenPGP's names (RFC 9580 §9.5), without the dash: "SHA512". */
  readonly algorithm: string;
  readonly create: () => Hasher;
  /** What is hashed before the document: nothing, a salt, what Ed25519 puts before a message. */
  readonly prefix: Uint8Array;
  /** Whether it is hashed as a text, each line ending as CR LF (RFC 9580 §5.2.4). */
  readonly isText: boolean;
};

/** A document that was hashed in one way. Nothing of it depends on anything but the document's bytes and the way. */
export type HashedDocument = {
  /** What has taken in the prefix and the whole document. INVARIANT: only clones of it are ever updated or asked. */
  readonly hasher: Hasher;
  /** Whether it can be judged: a text with a bare carriage return cannot, see {@link TextSink}. */
  readonly isFit: boolean;
};

/** A document that others hash, in whatever ways they are asked for. */
export interface DocumentHashes {
  /** In the order of the ways. */
  of(ways: readonly HashWay[]): Promise<readonly HashedDocument[]>;
}

/** Hashes a document in several ways as its chunks pass by, once. `create` may replace a way's hash by a faster one of the same kind. */
export async function hashDocument(
  ways: readonly HashWay[],
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  create: (way: HashWay) => Hasher = (way) => way.create(),
): Promise<HashedDocument[]> {
  const sinks = ways.map((way) => {
    const hasher = create(way);
    hasher.update(way.prefix);
    return { hasher, isText: way.isText };
  });
  const binary = sinks.filter(({ isText }) => !isText).map(({ hasher }) => hasher);
  const text = new TextSink(sinks.filter(({ isText }) => isText).map(({ hasher }) => hasher));
  for await (const chunk of chunks) {
    for (const hasher of binary) hasher.update(chunk);
    text.update(chunk);
  }
  return sinks.map(({ hasher, isText }) => ({ hasher, isFit: !isText || text.isFit }));
}

const CR = 0x0d;
const LF = 0x0a;

/** Bytes of a text that are made canonical at once. */
const PIECE = 64 * 1024;

/**
 * A text: signatures of type 0x01. Every line ending is hashed as CR LF. Whether a CR without LF is one is read differently by different
 * programs, so that two of them could see two texts under one signature: such a document cannot be judged.
 *
 * Made canonical once for all hashes: that costs more than hashing it natively does.
 */
class TextSink {
  readonly #hashers: readonly Hasher[];
  /** Room for a piece of nothing but line ends. No hash keeps what it was given. */
  readonly #canonical: Uint8Array;
  #afterCr = false;
  #ambiguous = false;

  constructor(hashers: readonly Hasher[]) {
    this.#hashers = hashers;
    this.#canonical = new Uint8Array(hashers.length === 0 ? 0 : 2 * PIECE);
  }

  update(chunk: Uint8Array): void {
    if (this.#hashers.length === 0) return;
    for (let from = 0; from < chunk.length && !this.#ambiguous; from += PIECE)
      this.#piece(chunk.subarray(from, from + PIECE));
  }

  #piece(bytes: Uint8Array): void {
    const text = this.#canonical;
    let length = 0;
    // A CR is held back until what follows it is seen. In locals: this loop is what a text costs.
    let afterCr = this.#afterCr;
    for (let at = 0; at < bytes.length; at++) {
      const byte = bytes[at] ?? 0;
      if (afterCr && byte !== LF) {
        this.#ambiguous = true;
        return;
      }
      afterCr = byte === CR;
      if (afterCr) continue;
      if (byte === LF) text[length++] = CR;
      text[length++] = byte;
    }
    this.#afterCr = afterCr;
    const canonical = text.subarray(0, length);
    for (const hasher of this.#hashers) hasher.update(canonical);
  }

  /** Whether the document, as one that has ended here, can be judged. */
  get isFit(): boolean {
    return !this.#ambiguous && !this.#afterCr;
  }
}
