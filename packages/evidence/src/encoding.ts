import { EvidenceError } from "./errors.ts";

const HEX_DIGITS = "0123456789abcdef";
const BASE64_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const PAD = 0x3d;

const BASE64_CODES = Uint8Array.from(BASE64_ALPHABET, (character) => character.charCodeAt(0));
/** Character code → 6-bit value; 255 marks characters outside the alphabet. */
const BASE64_VALUES = new Uint8Array(128).fill(255);
BASE64_CODES.forEach((code, value) => {
  BASE64_VALUES[code] = value;
});
const HEX_VALUES = new Uint8Array(128).fill(255);
for (let value = 0; value < 16; value++) HEX_VALUES[HEX_DIGITS.charCodeAt(value)] = value;
const HEX_PAIRS = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

const encoder = new TextEncoder();
const asciiDecoder = new TextDecoder("latin1");
// ignoreBOM: a byte order mark is data to us, never silently dropped, so that decoding is one-to-one.
const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Lower-case hexadecimal of `bytes`. */
export function toHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += HEX_PAIRS[byte];
  return text;
}

/** Bytes of a **lower-case** hexadecimal text of even length. Throws `encoding-invalid` for anything else. */
export function fromHex(text: string): Uint8Array {
  if (text.length % 2 !== 0)
    throw new EvidenceError("encoding-invalid", "Hexadecimal text has an odd number of digits.");
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) {
    const high = HEX_VALUES[text.charCodeAt(2 * i)] ?? 255;
    const low = HEX_VALUES[text.charCodeAt(2 * i + 1)] ?? 255;
    if (high === 255 || low === 255) {
      throw new EvidenceError("encoding-invalid", "Hexadecimal text holds something other than 0-9 and a-f.");
    }
    bytes[i] = high * 16 + low;
  }
  return bytes;
}

/** Standard base64 (RFC 4648 §4) with padding. */
export function toBase64(bytes: Uint8Array): string {
  const codes = new Uint8Array(Math.ceil(bytes.length / 3) * 4);
  let out = 0;
  for (let i = 0; i < bytes.length; i += 3) {
    const group = ((bytes[i] ?? 0) << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    codes[out++] = BASE64_CODES[group >>> 18] ?? 0;
    codes[out++] = BASE64_CODES[(group >>> 12) & 63] ?? 0;
    codes[out++] = i + 1 < bytes.length ? (BASE64_CODES[(group >>> 6) & 63] ?? 0) : PAD;
    codes[out++] = i + 2 < bytes.length ? (BASE64_CODES[group & 63] ?? 0) : PAD;
  }
  return asciiDecoder.decode(codes);
}

/**
 * Bytes of standard base64 with padding (RFC 4648 §4), in its one canonical spelling: no whitespace, no missing padding,
 * no non-zero trailing bits (§3.5). Exactly one text decodes to given bytes, so a text cannot be altered unnoticed.
 * Throws `encoding-invalid`.
 */
export function fromBase64(text: string): Uint8Array {
  if (text.length % 4 !== 0)
    throw new EvidenceError("encoding-invalid", "Base64 text is not padded to a multiple of four.");
  if (text.length === 0) return new Uint8Array(0);
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  const bytes = new Uint8Array((text.length / 4) * 3 - padding);
  const digits = text.length - padding;
  let out = 0;
  let bits = 0;
  let held = 0;
  for (let i = 0; i < digits; i++) {
    const value = BASE64_VALUES[text.charCodeAt(i)] ?? 255;
    if (value === 255) {
      throw new EvidenceError("encoding-invalid", "Base64 text holds a character outside the standard alphabet.");
    }
    bits = (bits << 6) | value;
    held += 6;
    if (held >= 8) {
      held -= 8;
      bytes[out++] = bits >>> held;
      bits &= (1 << held) - 1;
    }
  }
  if (bits !== 0) throw new EvidenceError("encoding-invalid", "Base64 text has non-zero trailing bits.");
  return bytes;
}

/** UTF-8 of a well-formed string. Throws `encoding-invalid` for lone surrogates, which UTF-8 cannot carry. */
export function utf8Encode(text: string): Uint8Array {
  if (!text.isWellFormed()) throw new EvidenceError("encoding-invalid", "Text holds a lone surrogate.");
  return encoder.encode(text);
}

/** Text of valid UTF-8, keeping a byte order mark. Throws `encoding-invalid`. */
export function utf8Decode(bytes: Uint8Array): string {
  try {
    return strictDecoder.decode(bytes);
  } catch (cause) {
    throw new EvidenceError("encoding-invalid", "Bytes are not valid UTF-8.", { cause });
  }
}

/** Joins byte strings. */
export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const joined = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}

/** Whether two byte strings are the same. Not constant-time: for public values only. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
