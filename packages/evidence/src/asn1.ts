/** What the values of strict DER mean: object identifiers, times, texts, truth values (X.690 §8, §10, §11). Failures are `der-invalid`. */
import { TAG_BOOLEAN } from "./der.ts";
import { toHex, utf8Decode } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";

export const TAG_UTF8_STRING = 0x0c;
export const TAG_NUMERIC_STRING = 0x12;
export const TAG_PRINTABLE_STRING = 0x13;
export const TAG_TELETEX_STRING = 0x14;
export const TAG_IA5_STRING = 0x16;
export const TAG_UTC_TIME = 0x17;
export const TAG_GENERALIZED_TIME = 0x18;
export const TAG_VISIBLE_STRING = 0x1a;
export const TAG_UNIVERSAL_STRING = 0x1c;
export const TAG_BMP_STRING = 0x1e;

/** Longer identifiers exist for nothing that is read here. */
const OID_BYTES = 64;

/** Dotted text of an OBJECT IDENTIFIER's contents (X.690 §8.19): "1.2.840.113549.1.1.11". Arcs of any size. */
export function oidText(contents: Uint8Array): string {
  if (contents.length === 0 || contents.length > OID_BYTES || (contents.at(-1) ?? 0) >= 0x80)
    throw invalid("an object identifier is empty, too long or cut off");
  const arcs: bigint[] = [];
  let arc = 0n;
  let begins = true;
  for (const byte of contents) {
    if (begins && byte === 0x80) throw invalid("an object identifier is not minimal");
    arc = (arc << 7n) | BigInt(byte & 0x7f);
    begins = byte < 0x80;
    if (begins) {
      arcs.push(arc);
      arc = 0n;
    }
  }
  const [first = 0n, ...rest] = arcs;
  const root = first >= 80n ? 2n : first / 40n;
  return [root, first - root * 40n, ...rest].join(".");
}

/** A BOOLEAN's contents: 0xff is true and 0 false, nothing else is either (X.690 §11.1). */
export function booleanValue(contents: Uint8Array): boolean {
  const [value] = contents;
  if (contents.length !== 1 || (value !== 0 && value !== 0xff))
    throw invalid("a truth value is neither true nor false");
  return value === 0xff;
}

/** A BOOLEAN that may be left out, and then is false. */
export function optionalBoolean(reader: { optional(tag: number): Uint8Array | undefined }): boolean {
  const contents = reader.optional(TAG_BOOLEAN);
  // DER leaves a default out. Certificates that write false out are common; what is signed is the same either way.
  return contents !== undefined && booleanValue(contents);
}

/** Numbers of the bits that are set in a BIT STRING's contents, bit 0 first (X.690 §8.6); at most 32 bits. */
export function bitNumbers(contents: Uint8Array): number[] {
  const [unused, ...bytes] = contents;
  if (unused === undefined || unused > 7 || bytes.length > 4 || (bytes.length === 0 && unused !== 0))
    throw invalid("a bit string of flags is malformed");
  if (((bytes.at(-1) ?? 0) & ((1 << unused) - 1)) !== 0) throw invalid("a bit string has unused bits that are set");
  return bytes.flatMap((byte, at) => [0, 1, 2, 3, 4, 5, 6, 7].filter((n) => byte & (0x80 >> n)).map((n) => at * 8 + n));
}

/**
 * A non-negative INTEGER's magnitude as a number; throws above 2^48: lengths, versions and counts are small.
 * `magnitude` is what `DerReader.readUnsigned` gives.
 */
export function smallNumber(magnitude: Uint8Array): number {
  if (magnitude.length > 6) throw invalid("a number is too large");
  return magnitude.reduce((value, byte) => value * 256 + byte, 0);
}

const UTC_TIME = /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/;
const GENERALIZED_TIME = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:\.(\d{0,8}[1-9]))?Z$/;

/**
 * The moment of a UTCTime or GeneralizedTime in ms since 1970, in the forms of DER (X.690 §11.7, §11.8): in UTC, with seconds. A
 * two-digit year is 1950 to 2049 (RFC 5280 §4.1.2.5.1). Fractions of a second are refused unless `fraction`, and below 1 ms cut off.
 */
export function timeValue(tag: number, contents: Uint8Array, { fraction = false } = {}): number {
  const text = asciiText(contents);
  const match =
    tag === TAG_UTC_TIME ? UTC_TIME.exec(text) : tag === TAG_GENERALIZED_TIME ? GENERALIZED_TIME.exec(text) : null;
  if (match === null) throw invalid("not a time in UTC with seconds");
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1, 7).map(Number);
  const part = match[7];
  if (part !== undefined && !fraction) throw invalid("a time has a fraction of a second");
  const fullYear = tag === TAG_UTC_TIME ? year + (year < 50 ? 2000 : 1900) : year;
  const iso = `${String(fullYear).padStart(4, "0")}-${[month, day].map(two).join("-")}T${[hour, minute, second].map(two).join(":")}.000Z`;
  const time = Date.parse(iso);
  // Date.parse takes the 31st of February for the 3rd of March on some hosts, and 24:00.
  if (Number.isNaN(time) || new Date(time).toISOString() !== iso) throw invalid("a time is none of the calendar");
  return time + (part === undefined ? 0 : Number(part.padEnd(3, "0").slice(0, 3)));
}

const PRINTABLE = /^[A-Za-z0-9 '()+,\-./:=?]*$/;
const NUMERIC = /^[0-9 ]*$/;

/**
 * Text of one of ASN.1's string types. Undefined for types whose characters are not certain (TeletexString). Control characters are
 * refused: a name with a NUL or a line break in it is there to be misread.
 */
export function stringValue(tag: number, contents: Uint8Array): string | undefined {
  const text = decodeString(tag, contents);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it is control characters that are looked for.
  if (text !== undefined && /[\u0000-\u001f\u007f-\u009f]/.test(text))
    throw invalid("a text holds a control character");
  return text;
}

function decodeString(tag: number, contents: Uint8Array): string | undefined {
  switch (tag) {
    case TAG_UTF8_STRING:
      return utf8Decode(contents);
    case TAG_PRINTABLE_STRING:
    case TAG_NUMERIC_STRING: {
      const text = asciiText(contents);
      // "*", "@", "_" and "&" are not printable by the standard, and are found in certificates nonetheless.
      if (tag === TAG_NUMERIC_STRING && !NUMERIC.test(text)) throw invalid("a numeric text holds something else");
      if (tag === TAG_PRINTABLE_STRING && !PRINTABLE.test(text.replaceAll(/[*@_&]/g, "")))
        throw invalid("a printable text holds something else");
      return text;
    }
    case TAG_IA5_STRING:
    case TAG_VISIBLE_STRING:
      return asciiText(contents);
    case TAG_BMP_STRING:
      return codeUnits(contents, 2);
    case TAG_UNIVERSAL_STRING:
      return codeUnits(contents, 4);
    case TAG_TELETEX_STRING:
      return undefined;
    default:
      throw invalid(`tag ${tag} is no text`);
  }
}

/** Text of bytes below 128. */
export function asciiText(contents: Uint8Array): string {
  if (contents.some((byte) => byte >= 0x80)) throw invalid("a text holds something other than ASCII");
  return utf8Decode(contents);
}

function codeUnits(contents: Uint8Array, width: 2 | 4): string {
  if (contents.length % width !== 0) throw invalid("a text ends within a character");
  let text = "";
  for (let at = 0; at < contents.length; at += width) {
    const code = Number.parseInt(toHex(contents.subarray(at, at + width)), 16);
    if (code > 0x10ffff) throw invalid("a text holds no character of Unicode");
    text += String.fromCodePoint(code);
  }
  if (!text.isWellFormed()) throw invalid("a text holds a lone surrogate");
  return text;
}

function two(number: number): string {
  return String(number).padStart(2, "0");
}

function invalid(what: string): EvidenceError {
  return new EvidenceError("der-invalid", `DER: ${what}.`);
}
