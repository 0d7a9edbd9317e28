/** The ways in which signatures ask for their document to be hashed: RFC 9580 §5.2.4. */
import { type DocumentHashes, type HashedDocument, hashDocument, type HashWay, LIMITS, toHex } from "../src/index.ts";
import type { HashAlgorithm } from "./algorithms.ts";

/** A document: its bytes, at hand or passing by; or somebody who hashes it. */
export type SignedDocument = Uint8Array | AsyncIterable<Uint8Array> | DocumentHashes;

/** One way of hashing a document, for all signatures that hash it so. */
export type Hashing = {
  readonly way: HashWay;
  /** Undefined until the document has passed by. */
  hashed: HashedDocument | undefined;
};

/**
 * The ways in which a document is hashed as it passes by. INVARIANT: they are few, however many signatures there are, because a document may be
 * millions of times larger than a signature over it.
 */
export class Hashings {
  readonly #ways = new Map<string, Hashing>();

  /** The way of these signatures; undefined if it is one too many. Asked for before the document is hashed. */
  of(hash: HashAlgorithm, salt: Uint8Array, isText: boolean): Hashing | undefined {
    const name = `${hash.id} ${isText} ${toHex(salt)}`;
    const known = this.#ways.get(name);
    if (known !== undefined || this.#ways.size >= LIMITS.openPgpHashings) return known;
    const { name: algorithm, create } = hash;
    const hashing = { way: { algorithm, create, prefix: salt, isText }, hashed: undefined };
    this.#ways.set(name, hashing);
    return hashing;
  }

  /** Hashes the document once, in all ways that were asked for; not at all when no signature depends on it. */
  async over(document: SignedDocument): Promise<void> {
    const hashings = [...this.#ways.values()];
    if (hashings.length === 0) return;
    const ways = hashings.map(({ way }) => way);
    const hashed = isHashed(document) ? await document.of(ways) : await hashDocument(ways, chunksOf(document));
    for (const [index, hashing] of hashings.entries()) hashing.hashed = hashed[index];
  }
}

/** Whether a document is one that somebody hashes. */
export function isHashed(document: SignedDocument): document is DocumentHashes {
  return !(document instanceof Uint8Array) && "of" in document;
}

/** Bytes in pieces that a hash takes quickly without a caller waiting long for one. */
export async function* chunksOf(document: Uint8Array | AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  if (document instanceof Uint8Array) yield document;
  else yield* document;
}
