/** Documents as they are hashed: RFC 9580 §5.2.4. They pass by in chunks and are not kept. */
import { LIMITS, toHex } from "../src/index.ts";
import type { HashAlgorithm, Hasher } from "./algorithms.ts";

const CR = 0x0d;
const LF = 0x0a;

/** What a document's chunks are fed to. */
export interface DocumentSink {
  update(chunk: Uint8Array): void;
  /** The document has ended. False if it is of a kind that cannot be judged. */
  end(): boolean;
}

/** A document as it is: signatures of type 0x00. */
export class BinarySink implements DocumentSink {
  readonly #hasher: Hasher;

  constructor(hasher: Hasher) {
    this.#hasher = hasher;
  }

  update(chunk: Uint8Array): void {
    this.#hasher.update(chunk);
  }

  end(): boolean {
    return true;
  }
}

/**
 * A text: signatures of type 0x01. Every line ending is hashed as CR LF. Whether a CR without LF is one is read differently by different
 * programs, so that two of them could see two texts under one signature: such a document cannot be judged.
 */
export class TextSink implements DocumentSink {
  readonly #hasher: Hasher;
  #afterCr = false;
  #ambiguous = false;

  constructor(hasher: Hasher) {
    this.#hasher = hasher;
  }

  update(chunk: Uint8Array): void {
    // A CR is held back until what follows it is seen.
    for (let from = 0; from < chunk.length && !this.#ambiguous; from += PIECE)
      this.#piece(chunk.subarray(from, from + PIECE));
  }

  #piece(bytes: Uint8Array): void {
    const text = new Uint8Array(2 * bytes.length);
    let length = 0;
    for (const byte of bytes) {
      if (this.#afterCr && byte !== LF) this.#ambiguous = true;
      this.#afterCr = byte === CR;
      if (byte === CR) continue;
      if (byte === LF) text[length++] = CR;
      text[length++] = byte;
    }
    this.#hasher.update(text.subarray(0, length));
  }

  end(): boolean {
    return !this.#ambiguous && !this.#afterCr;
  }
}

/** Bytes of a text that are made canonical at once. */
const PIECE = 64 * 1024;

/** One way of hashing a document, for all signatures that hash it so. */
export type Hashing = {
  /** What it has taken in; a clone may take in more. */
  readonly hasher: Hasher;
  readonly sink: DocumentSink;
};

/**
 * The ways in which a document is hashed as it passes by. INVARIANT: they are few, however many signatures there are, because a document may be
 * millions of times larger than a signature over it.
 */
export class Hashings {
  readonly #ways = new Map<string, Hashing>();

  /** The way of these signatures; undefined if it is one too many. Asked for before the first chunk. */
  of(hash: HashAlgorithm, salt: Uint8Array, isText: boolean): Hashing | undefined {
    const name = `${hash.id} ${isText} ${toHex(salt)}`;
    const known = this.#ways.get(name);
    if (known !== undefined || this.#ways.size >= LIMITS.openPgpHashings) return known;
    const hasher = hash.create();
    hasher.update(salt);
    const way = { hasher, sink: isText ? new TextSink(hasher) : new BinarySink(hasher) };
    this.#ways.set(name, way);
    return way;
  }

  /** Whether any signature depends on the document. */
  get isEmpty(): boolean {
    return this.#ways.size === 0;
  }

  update(chunk: Uint8Array): void {
    for (const { sink } of this.#ways.values()) sink.update(chunk);
  }
}

/** Bytes in pieces that a hash takes quickly without a caller waiting long for one. */
export async function* chunksOf(document: Uint8Array | AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  if (document instanceof Uint8Array) yield document;
  else yield* document;
}
