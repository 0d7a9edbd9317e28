/**
 * The cleartext signature framework: RFC 9580 §7, RFC 4880 §7. A clear-signed file looks as if all of it were signed. What is not is
 * refused: text around the signed part, headers other than "Hash", lines that should be dash-escaped and are not.
 */
import { endOfText, type Line, lineAt, lineText, nextLine, readArmorBlock } from "./openpgp-armor.ts";
import { EvidenceError } from "./errors.ts";
import { LIMITS } from "./limits.ts";

export type ClearSigned = {
  /**
   * The text as written: dash-escapes undone, every line with its own ending. The ending of its last line is in it, though no signature
   * covers it: that is the text that gpg writes out. Signatures do not cover blanks at the ends of lines, nor the kind of line endings.
   */
  readonly text: Uint8Array;
  /** Names in "Hash" headers, such as "SHA512"; empty if there are none. */
  readonly hashes: readonly string[];
  /** The signature packets. */
  readonly signature: Uint8Array;
};

export const CLEAR_SIGNED_HEAD = "-----BEGIN PGP SIGNED MESSAGE-----";

const HASH_HEADER = /^Hash: ?([A-Za-z0-9-]+(?:, ?[A-Za-z0-9-]+)*)$/;
const DASH = 0x2d;
const SPACE = 0x20;

/** Reads a clear-signed text. Throws `openpgp-invalid`, `too-large`. */
export function parseClearSigned(bytes: Uint8Array): ClearSigned {
  if (bytes.length > LIMITS.clearSignedBytes)
    throw new EvidenceError("too-large", `The clear-signed text is larger than ${LIMITS.clearSignedBytes} bytes.`);
  const head = nextLine(bytes, 0);
  if (head === undefined || lineText(bytes, head) !== CLEAR_SIGNED_HEAD) {
    throw new EvidenceError(
      "openpgp-invalid",
      "Something stands before the clear-signed text, which no signature covers.",
    );
  }
  const { hashes, next } = readHashHeaders(bytes, head.next);
  const { text, signatureAt } = readText(bytes, next);
  const { data: signature, next: rest } = readArmorBlock(bytes, signatureAt, "SIGNATURE");
  if (nextLine(bytes, rest) !== undefined) {
    throw new EvidenceError(
      "openpgp-invalid",
      "Something stands behind the clear-signed text, which no signature covers.",
    );
  }
  return { text, hashes, signature };
}

/** "Hash" headers up to the one empty line. Any other header would be read as part of the text by people, and be covered by nothing. */
function readHashHeaders(bytes: Uint8Array, from: number): { hashes: string[]; next: number } {
  const hashes: string[] = [];
  let at = from;
  for (let headers = 0; ; headers++) {
    const line = lineAt(bytes, at);
    const text = lineText(bytes, line);
    if (line.next === line.start) throw new EvidenceError("openpgp-invalid", "The clear-signed text does not begin.");
    at = line.next;
    if (text === "") return { hashes, next: at };
    const match = HASH_HEADER.exec(text);
    if (match === null || headers >= LIMITS.armorHeaders) {
      throw new EvidenceError("openpgp-invalid", 'A clear-signed text may have only "Hash" headers.');
    }
    hashes.push(...(match[1] ?? "").split(/, ?/));
  }
}

/** The dash-escaped text (§7.1) up to the line where its signature begins. */
function readText(bytes: Uint8Array, from: number): { text: Uint8Array; signatureAt: number } {
  const text = new Uint8Array(bytes.length - from);
  let length = 0;
  for (let at = from; at < bytes.length; ) {
    const line = lineAt(bytes, at);
    if (bytes[line.start] === DASH && line.end > line.start) {
      if (lineText(bytes, line) === "-----BEGIN PGP SIGNATURE-----") {
        return { text: text.slice(0, length), signatureAt: line.start };
      }
      if (bytes[line.start + 1] !== SPACE) {
        throw new EvidenceError(
          "openpgp-invalid",
          "A line of the clear-signed text begins with a dash that is not escaped.",
        );
      }
      length = append(text, length, bytes, { ...line, start: line.start + 2 });
    } else {
      length = append(text, length, bytes, line);
    }
    at = line.next;
  }
  throw new EvidenceError("openpgp-invalid", "The clear-signed text has no signature.");
}

function append(target: Uint8Array, length: number, bytes: Uint8Array, line: Line): number {
  target.set(bytes.subarray(line.start, line.next), length);
  return length + line.next - line.start;
}

/**
 * What is signed of a clear-signed text (§7.1): lines without the blanks at their ends, joined by CR LF, without the last line's ending.
 * Throws `openpgp-invalid` for a carriage return inside a line: readers differ on whether it ends one.
 */
export function canonicalClearText(text: Uint8Array): Uint8Array {
  // At most one byte more for every line.
  let lines = 0;
  for (let at = 0; at < text.length; at = lineAt(text, at).next) lines++;
  const canonical = new Uint8Array(text.length + lines);
  let length = 0;
  for (let at = 0; at < text.length; ) {
    const line = lineAt(text, at);
    const content = text.subarray(line.start, endOfText(text, line));
    if (content.includes(0x0d)) {
      throw new EvidenceError("openpgp-invalid", "The clear-signed text has a carriage return inside a line.");
    }
    canonical.set(content, length);
    length += content.length;
    if (line.next < text.length) {
      canonical.set([0x0d, 0x0a], length);
      length += 2;
    }
    at = line.next;
  }
  return canonical.slice(0, length);
}
