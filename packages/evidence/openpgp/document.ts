/** Documents as they are hashed: RFC 9580 §5.2.4. They pass by in chunks and are not kept. */
import type { Hasher } from "./algorithms.ts";

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
    // A CR is held back until what follows it is seen; all else is handed on in runs.
    let from = 0;
    for (let at = 0; at < chunk.length && !this.#ambiguous; at++) {
      const byte = chunk[at];
      if (this.#afterCr && byte !== LF) this.#ambiguous = true;
      if (byte === LF || byte === CR) {
        this.#hasher.update(chunk.subarray(from, at));
        if (byte === LF) this.#hasher.update(CRLF);
        from = at + 1;
      }
      this.#afterCr = byte === CR;
    }
    if (!this.#ambiguous) this.#hasher.update(chunk.subarray(from));
  }

  end(): boolean {
    return !this.#ambiguous && !this.#afterCr;
  }
}

const CRLF = Uint8Array.of(CR, LF);

/** Bytes in pieces that a hash takes quickly without a caller waiting long for one. */
export async function* chunksOf(document: Uint8Array | AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  if (document instanceof Uint8Array) yield document;
  else yield* document;
}
