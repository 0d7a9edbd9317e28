/**
 * ASCII armour: RFC 9580 §6, RFC 4880 §6. Readers differ most in what they skip, so nothing is skipped here: around and between blocks
 * only blank lines may stand, headers are the known ones, base64 is canonical and a checksum that is there must be right.
 */
import { fromBase64 } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { LIMITS } from "./limits.ts";

/** A line of a text: its bytes without the line ending, and where it lies. */
export type Line = {
  /** Offset of its first byte. */
  readonly start: number;
  /** Offset after its last byte, before any line ending (LF or CR LF). */
  readonly end: number;
  /** Offset of the next line. */
  readonly next: number;
};

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const TAB = 0x09;
const DASH = 0x2d;
const EQUALS = 0x3d;

/** The line that starts at `start`. */
export function lineAt(bytes: Uint8Array, start: number): Line {
  const found = bytes.indexOf(LF, start);
  if (found < 0) return { start, end: bytes.length, next: bytes.length };
  const end = found > start && bytes[found - 1] === CR ? found - 1 : found;
  return { start, end, next: found + 1 };
}

const ascii = new TextDecoder("latin1");

/** A line's text without trailing blanks. Only for comparing with ASCII and for lines that must be ASCII. */
export function lineText(bytes: Uint8Array, line: Line): string {
  if (line.end - line.start > LIMITS.armorLineLength) return OVERLONG;
  return ascii.decode(bytes.subarray(line.start, endOfText(bytes, line)));
}

/** Stands for a line that is longer than any line of armour: it is like none of them, and not blank. */
const OVERLONG = "\u0000";

/** Where a line's trailing spaces and tabs begin. */
export function endOfText(bytes: Uint8Array, { start, end }: Line): number {
  let at = end;
  while (at > start && (bytes[at - 1] === SPACE || bytes[at - 1] === TAB)) at--;
  return at;
}

/** The first line at or after `from` that is not blank; undefined if there is none. */
export function nextLine(bytes: Uint8Array, from: number): Line | undefined {
  for (let at = from; at < bytes.length; ) {
    const line = lineAt(bytes, at);
    if (endOfText(bytes, line) > line.start) return line;
    at = line.next;
  }
  return undefined;
}

/** What a header line of armour may be: RFC 9580 §6.2.2; "Hash" belongs to clear-signed texts. */
const HEADER = /^(?:Version|Comment|MessageID|Charset|Hash): ?[^\u0000-\u001f]*$/;

export type ArmorBlock = {
  /** The bytes that the block carries. */
  readonly data: Uint8Array;
  /** Offset of the line after the block. */
  readonly next: number;
};

/**
 * Reads the armoured block whose first line, `-----BEGIN PGP <label>-----`, is the line at `start`. Throws `openpgp-invalid`, `too-large`.
 */
export function readArmorBlock(bytes: Uint8Array, start: number, label: string): ArmorBlock {
  const head = lineAt(bytes, start);
  if (lineText(bytes, head) !== `-----BEGIN PGP ${label}-----`) {
    throw new EvidenceError("openpgp-invalid", `No armoured PGP ${label.toLowerCase()} begins where one should.`);
  }
  let at = head.next;
  for (let headers = 0; ; headers++) {
    if (at >= bytes.length) throw unfinished(label);
    const line = lineAt(bytes, at);
    const text = lineText(bytes, line);
    at = line.next;
    if (text === "") break;
    if (headers >= LIMITS.armorHeaders) throw new EvidenceError("too-large", "The armour has too many headers.");
    if (!HEADER.test(text)) throw new EvidenceError("openpgp-invalid", "The armour has a header that is not known.");
  }
  const end = `-----END PGP ${label}-----`;
  // Only lines that may be something else are looked at as texts; there can be millions of the others.
  const base64 = new Uint8Array(Math.min(bytes.length - at, 2 * LIMITS.openPgpBytes));
  let size = 0;
  let checksum: string | undefined;
  for (;;) {
    if (at >= bytes.length) throw unfinished(label);
    const line = lineAt(bytes, at);
    const content = bytes.subarray(line.start, endOfText(bytes, line));
    at = line.next;
    if (content[0] === DASH && lineText(bytes, line) === end) break;
    if (checksum !== undefined) throw new EvidenceError("openpgp-invalid", "The armour goes on behind its checksum.");
    if (content[0] === EQUALS && content.length === 5) {
      checksum = ascii.decode(content.subarray(1));
      continue;
    }
    if (content.length > LIMITS.armorLineLength) throw new EvidenceError("too-large", "A line of armour is too long.");
    if (size + content.length > base64.length) throw new EvidenceError("too-large", "The armoured block is too large.");
    base64.set(content, size);
    size += content.length;
  }
  const data = fromArmorBase64(ascii.decode(base64.subarray(0, size)));
  if (data.length > LIMITS.openPgpBytes) throw new EvidenceError("too-large", "The armoured block is too large.");
  if (checksum !== undefined) {
    const sum = crc24(data);
    const written = fromArmorBase64(checksum);
    if (written.length !== 3 || (((written[0] ?? 0) << 16) | ((written[1] ?? 0) << 8) | (written[2] ?? 0)) !== sum) {
      throw new EvidenceError("openpgp-invalid", "The armour's checksum does not match its content.");
    }
  }
  return { data, next: at };
}

/**
 * All armoured blocks of a text that holds nothing else but blank lines: Debian's `Release.gpg` is several, one behind the other. Throws
 * `openpgp-invalid`, `too-large`.
 */
export function readArmorBlocks(bytes: Uint8Array, label: string): Uint8Array[] {
  if (bytes.length > 2 * LIMITS.openPgpBytes) throw new EvidenceError("too-large", "The armoured text is too large.");
  const blocks: Uint8Array[] = [];
  for (let line = nextLine(bytes, 0); line !== undefined; ) {
    if (blocks.length >= LIMITS.openPgpSignatures)
      throw new EvidenceError("too-large", "The text holds too many armoured blocks.");
    const block = readArmorBlock(bytes, line.start, label);
    blocks.push(block.data);
    line = nextLine(bytes, block.next);
  }
  if (blocks.length === 0) throw new EvidenceError("openpgp-invalid", "The text holds no armoured block.");
  return blocks;
}

function unfinished(label: string): EvidenceError {
  return new EvidenceError("openpgp-invalid", `The armoured PGP ${label.toLowerCase()} does not end.`);
}

function fromArmorBase64(text: string): Uint8Array {
  try {
    return fromBase64(text);
  } catch (cause) {
    throw new EvidenceError("openpgp-invalid", "The armour holds something other than standard base64.", { cause });
  }
}

/** RFC 9580 §6.1.1: generator 0x864CFB, initial value 0xB704CE. */
function crc24(bytes: Uint8Array): number {
  let crc = 0xb704ce;
  for (const byte of bytes) {
    crc ^= byte << 16;
    for (let bit = 0; bit < 8; bit++) {
      crc <<= 1;
      if ((crc & 0x1000000) !== 0) crc ^= 0x1864cfb;
    }
  }
  return crc & 0xffffff;
}
