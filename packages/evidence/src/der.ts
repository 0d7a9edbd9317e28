/** Reading and writing strict DER (X.690 §10): the structure. What the values mean is read in asn1.ts. */
import { concatBytes } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";

export const TAG_BOOLEAN = 0x01;
export const TAG_INTEGER = 0x02;
export const TAG_BIT_STRING = 0x03;
export const TAG_OCTET_STRING = 0x04;
export const TAG_NULL = 0x05;
export const TAG_OID = 0x06;
export const TAG_SEQUENCE = 0x30;
export const TAG_SET = 0x31;

/** The tag of context-specific value `number` (0 to 30): [n], constructed when it holds other values. */
export function contextTag(number: number, constructed: boolean): number {
  return 0x80 | (constructed ? 0x20 : 0) | number;
}

/** One value as it lies in its parent. */
export type DerValue = {
  readonly tag: number;
  readonly contents: Uint8Array;
  /** Tag, length and contents. */
  readonly encoded: Uint8Array;
};

/** Values within values. X.509, CMS and RFC 3161 together need about 16. */
const MOST_DEPTH = 32;

/**
 * Reads DER values one after another. Refuses what BER allows and DER does not: indefinite and non-minimal lengths.
 * Every failure is `der-invalid`.
 */
export class DerReader {
  readonly #bytes: Uint8Array;
  readonly #depth: number;
  #at = 0;

  /** `depth` is how deep these bytes lie in what is read; 32 levels are refused. */
  constructor(bytes: Uint8Array, depth = 0) {
    if (depth > MOST_DEPTH) throw new EvidenceError("der-invalid", "DER: values are nested too deeply.");
    this.#bytes = bytes;
    this.#depth = depth;
  }

  /** Tag of the next value; undefined when nothing is left. */
  get tag(): number | undefined {
    return this.#bytes[this.#at];
  }

  /** The contents of the next value, which must have this tag. */
  read(tag: number): Uint8Array {
    if (this.tag !== tag) throw new EvidenceError("der-invalid", `DER: tag ${tag} expected at byte ${this.#at}.`);
    return this.next().contents;
  }

  /** The next value, whatever it is. */
  next(): DerValue {
    const start = this.#at;
    const tag = this.#bytes[this.#at++];
    // 31 announces tags of several bytes, which no format here uses; 0 is BER's end of contents.
    if (tag === undefined || tag === 0 || (tag & 0x1f) === 0x1f)
      throw new EvidenceError("der-invalid", `DER: no tag that is known at byte ${start}.`);
    const length = this.#length();
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new EvidenceError("der-invalid", "DER: a length reaches beyond the end.");
    const contents = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return { tag, contents, encoded: this.#bytes.subarray(start, end) };
  }

  /** The next value with tag and length, which must have this tag. */
  readEncoded(tag: number): Uint8Array {
    if (this.tag !== tag) throw new EvidenceError("der-invalid", `DER: tag ${tag} expected at byte ${this.#at}.`);
    return this.next().encoded;
  }

  /** The contents of the next value if it has this tag. */
  optional(tag: number): Uint8Array | undefined {
    return this.tag === tag ? this.next().contents : undefined;
  }

  /** A non-negative INTEGER in its one minimal form, as big-endian bytes without leading zeros (zero is no bytes). */
  readUnsigned(): Uint8Array {
    const bytes = this.read(TAG_INTEGER);
    const [first, second] = bytes;
    if (first === undefined || first >= 0x80)
      throw new EvidenceError("der-invalid", "DER: an integer is empty or negative.");
    if (first !== 0) return bytes;
    if (second !== undefined && second < 0x80)
      throw new EvidenceError("der-invalid", "DER: an integer has a leading zero.");
    return bytes.subarray(1);
  }

  /** A BIT STRING of whole bytes. */
  readBitString(): Uint8Array {
    const bytes = this.read(TAG_BIT_STRING);
    if (bytes[0] !== 0) throw new EvidenceError("der-invalid", "DER: a bit string does not end on a byte.");
    return bytes.subarray(1);
  }

  /** A reader of the next value's contents, which must be a SEQUENCE, or have the tag given. */
  sequence(tag: number = TAG_SEQUENCE): DerReader {
    return new DerReader(this.read(tag), this.#depth + 1);
  }

  /** The same if the next value has this tag. */
  optionalSequence(tag: number): DerReader | undefined {
    return this.tag === tag ? this.sequence(tag) : undefined;
  }

  /** Whether nothing is left. */
  get done(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** Demands that nothing is left: bytes after a structure are covered by no one's attention. */
  end(): void {
    if (!this.done) throw new EvidenceError("der-invalid", "DER: something follows the structure.");
  }

  #length(): number {
    const first = this.#bytes[this.#at++];
    if (first === undefined || first === 0x80 || first > 0x83) {
      throw new EvidenceError("der-invalid", "DER: a length is missing, indefinite or too large.");
    }
    if (first < 0x80) return first;
    let length = 0;
    const octets = first - 0x80;
    for (let i = 0; i < octets; i++) {
      const octet = this.#bytes[this.#at++];
      if (octet === undefined) throw new EvidenceError("der-invalid", "DER: a length is cut off.");
      length = length * 256 + octet;
    }
    if (length < 0x80 || length < 256 ** (octets - 1))
      throw new EvidenceError("der-invalid", "DER: a length is not minimal.");
    return length;
  }
}

/** A DER value: tag, minimal length, contents. */
export function derValue(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  const body = concatBytes(...contents);
  const length: number[] = [];
  if (body.length < 0x80) {
    length.push(body.length);
  } else {
    for (let rest = body.length; rest > 0; rest = Math.floor(rest / 256)) length.unshift(rest % 256);
    length.unshift(0x80 + length.length);
  }
  return concatBytes(Uint8Array.of(tag, ...length), body);
}
