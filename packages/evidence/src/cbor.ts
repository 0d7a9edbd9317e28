/**
 * Reading the CBOR (RFC 8949) that COSE signatures are made of, and writing the four values that their signed bytes need.
 *
 * The reader takes a subset on which all decoders agree: definite lengths, heads in their shortest form (§4.2.1), well-formed UTF-8,
 * map keys that are whole numbers or text, each once, numbers within 2^53-1, no floating point, nothing after the value. The order
 * of map keys is free, as COSE leaves it.
 */
import { concatBytes, utf8Decode, utf8Encode } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { LIMITS } from "./limits.ts";

/** A tagged value (§3.4): the tag says how to understand what it holds. */
export type CborTagged = { readonly tag: number; readonly value: CborValue };
export type CborMap = ReadonlyMap<number | string, CborValue>;
export type CborValue =
  | number
  | string
  | boolean
  | null
  | undefined
  | Uint8Array
  | readonly CborValue[]
  | CborMap
  | CborTagged;

/** Major types (§3.1). */
const MAJOR = { unsigned: 0, negative: 1, bytes: 2, text: 3, array: 4, map: 5, tag: 6, simple: 7 } as const;

/** The four simple values that are no numbers (§3.3). */
const SIMPLE: ReadonlyMap<number, boolean | null | undefined> = new Map([
  [20, false],
  [21, true],
  [22, null],
  [23, undefined],
]);

/**
 * Reads one CBOR value. Byte strings are views of `bytes`. Throws `cbor-invalid` for all that is malformed or outside the subset, and
 * `too-large` beyond the limits on size, depth and number of values.
 */
export function parseCbor(bytes: Uint8Array): CborValue {
  if (bytes.length > LIMITS.notationBytes) {
    throw new EvidenceError("too-large", `A CBOR document has at most ${LIMITS.notationBytes} bytes.`);
  }
  const reader = new CborReader(bytes);
  const value = reader.value(0);
  reader.end();
  return value;
}

/** Whether a value is a map. */
export function isCborMap(value: CborValue): value is CborMap {
  return value instanceof Map;
}

/** Whether a value is an array. */
export function isCborArray(value: CborValue): value is readonly CborValue[] {
  return Array.isArray(value);
}

/** Whether a value is a tagged one. */
export function isCborTagged(value: CborValue): value is CborTagged {
  return typeof value === "object" && value !== null && "tag" in value && "value" in value;
}

/** A CBOR array head for `length` elements, which the caller writes after it; at most 2^32-1. */
export function cborArrayHead(length: number): Uint8Array {
  return head(MAJOR.array, length);
}

/** A CBOR byte string. */
export function cborBytes(bytes: Uint8Array): Uint8Array {
  return concatBytes(head(MAJOR.bytes, bytes.length), bytes);
}

/** A CBOR text string. Throws `encoding-invalid` for lone surrogates. */
export function cborText(text: string): Uint8Array {
  const bytes = utf8Encode(text);
  return concatBytes(head(MAJOR.text, bytes.length), bytes);
}

/** A head in its shortest form (§4.2.1). */
function head(major: number, argument: number): Uint8Array {
  const first = major << 5;
  if (argument < 24) return Uint8Array.of(first | argument);
  if (argument < 2 ** 8) return Uint8Array.of(first | 24, argument);
  if (argument < 2 ** 16) return Uint8Array.of(first | 25, argument >>> 8, argument & 0xff);
  const wide = new Uint8Array(5);
  wide[0] = first | 26;
  new DataView(wide.buffer).setUint32(1, argument);
  return wide;
}

class CborReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;
  /** Values read so far: what a document may make us allocate is bounded by this, not by the lengths that it claims. */
  #count = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  value(depth: number): CborValue {
    if (depth > LIMITS.cborDepth)
      throw new EvidenceError("too-large", `CBOR is nested deeper than ${LIMITS.cborDepth}.`);
    if (++this.#count > LIMITS.cborValues) {
      throw new EvidenceError("too-large", `A CBOR document has at most ${LIMITS.cborValues} values.`);
    }
    const first = this.#byte();
    const major = first >>> 5;
    const info = first & 0x1f;
    if (major === MAJOR.simple) return simpleValue(info);
    const argument = this.#argument(info);
    switch (major) {
      case MAJOR.unsigned:
        return argument;
      case MAJOR.negative:
        return -1 - argument;
      case MAJOR.bytes:
        return this.#take(argument);
      case MAJOR.text:
        return text(this.#take(argument));
      case MAJOR.array:
        return this.#array(argument, depth);
      case MAJOR.map:
        return this.#map(argument, depth);
      default:
        return { tag: argument, value: this.value(depth + 1) };
    }
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw invalid("something follows the value");
  }

  #array(length: number, depth: number): readonly CborValue[] {
    const elements: CborValue[] = [];
    for (let i = 0; i < length; i++) elements.push(this.value(depth + 1));
    return elements;
  }

  #map(length: number, depth: number): CborMap {
    const map = new Map<number | string, CborValue>();
    for (let i = 0; i < length; i++) {
      const key = this.value(depth + 1);
      if (typeof key !== "number" && typeof key !== "string") throw invalid("a map key is neither a number nor text");
      // §5.6: decoders differ on which of two equal keys counts.
      if (map.has(key)) throw invalid("a map key is repeated");
      map.set(key, this.value(depth + 1));
    }
    return map;
  }

  #argument(info: number): number {
    if (info < 24) return info;
    const at = this.#at;
    switch (info) {
      case 24: {
        const value = this.#byte();
        if (value < 24) throw invalid("a head is longer than it needs to be");
        return value;
      }
      case 25: {
        this.#take(2);
        const value = this.#view.getUint16(at);
        if (value < 2 ** 8) throw invalid("a head is longer than it needs to be");
        return value;
      }
      case 26: {
        this.#take(4);
        const value = this.#view.getUint32(at);
        if (value < 2 ** 16) throw invalid("a head is longer than it needs to be");
        return value;
      }
      case 27: {
        this.#take(8);
        const value = this.#view.getBigUint64(at);
        if (value < 2n ** 32n) throw invalid("a head is longer than it needs to be");
        if (value > MOST) throw invalid("a number or length is beyond 2^53-1");
        return Number(value);
      }
      default:
        throw invalid("a length is indefinite or reserved");
    }
  }

  #byte(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw invalid("it is cut off");
    this.#at++;
    return byte;
  }

  #take(length: number): Uint8Array {
    if (length > this.#bytes.length - this.#at) throw invalid("a length reaches beyond the end");
    const taken = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return taken;
  }
}

/** One below the largest safe integer, so that -1 minus it is safe as well. */
const MOST = BigInt(Number.MAX_SAFE_INTEGER) - 1n;

function simpleValue(info: number): boolean | null | undefined {
  if (!SIMPLE.has(info)) throw invalid("it holds a floating-point number, or a simple value that is not assigned");
  return SIMPLE.get(info);
}

function text(bytes: Uint8Array): string {
  try {
    return utf8Decode(bytes);
  } catch (cause) {
    throw new EvidenceError("cbor-invalid", "CBOR: a text string is not UTF-8.", { cause });
  }
}

function invalid(what: string): EvidenceError {
  return new EvidenceError("cbor-invalid", `CBOR: ${what}.`);
}
