/** Reading and writing the few structures of strict DER (X.690 §10) that keys and signatures need. */
import { concatBytes } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";

export const TAG_INTEGER = 0x02;
export const TAG_BIT_STRING = 0x03;
export const TAG_NULL = 0x05;
export const TAG_OID = 0x06;
export const TAG_SEQUENCE = 0x30;

/**
 * Reads DER values one after another. Refuses what BER allows and DER does not: indefinite and non-minimal lengths.
 * Every failure is `der-invalid`.
 */
export class DerReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** The contents of the next value, which must have this tag. */
  read(tag: number): Uint8Array {
    if (this.#bytes[this.#at] !== tag)
      throw new EvidenceError("der-invalid", `DER: tag ${tag} expected at byte ${this.#at}.`);
    this.#at++;
    const length = this.#length();
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new EvidenceError("der-invalid", "DER: a length reaches beyond the end.");
    const contents = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return contents;
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

  /** A reader of the next value's contents, which must be a SEQUENCE. */
  sequence(): DerReader {
    return new DerReader(this.read(TAG_SEQUENCE));
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
