/**
 * Documents as signatures ask them to be hashed: a prefix of the signature's own, the document's bytes as they are or as a text, and a suffix
 * that is added to a clone. They pass by in chunks and are not kept.
 */

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
    return { hasher, sink: way.isText ? new TextSink(hasher) : new BinarySink(hasher) };
  });
  for await (const chunk of chunks) for (const { sink } of sinks) sink.update(chunk);
  return sinks.map(({ hasher, sink }) => ({ hasher, isFit: sink.end() }));
}

/** What a document's chunks are fed to. */
interface DocumentSink {
  update(chunk: Uint8Array): void;
  /** The document has ended. False if it is of a kind that cannot be judged. */
  end(): boolean;
}

/** A document as it is: signatures of type 0x00. */
class BinarySink implements DocumentSink {
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

const CR = 0x0d;
const LF = 0x0a;

/** Bytes of a text that are made canonical at once. */
const PIECE = 64 * 1024;

/**
 * A text: signatures of type 0x01. Every line ending is hashed as CR LF. Whether a CR without LF is one is read differently by different
 * programs, so that two of them could see two texts under one signature: such a document cannot be judged.
 */
class TextSink implements DocumentSink {
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
