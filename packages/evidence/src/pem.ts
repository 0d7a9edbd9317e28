/** PEM (RFC 7468): one block, its label, its DER. */
import { fromBase64, toBase64 } from "./encoding.ts";
import { EvidenceError, type EvidenceErrorCode } from "./errors.ts";
import { LIMITS } from "./limits.ts";

const BLOCK = /^-----BEGIN ([A-Z0-9 ]{1,64})-----\r?\n([A-Za-z0-9+/=\r\n]*)-----END ([A-Z0-9 ]{1,64})-----$/;

/**
 * The one block of a PEM text; white space around it is allowed, anything else is not. Throws `code`, so that the caller's
 * reader is told what kind of file was expected.
 */
export function parsePem(text: string, labels: readonly string[], code: EvidenceErrorCode): Uint8Array {
  if (text.length > LIMITS.pemLength)
    throw new EvidenceError("too-large", `A PEM text has at most ${LIMITS.pemLength} characters.`);
  const [, begin, body, end] = BLOCK.exec(text.trim()) ?? [];
  if (begin === undefined || body === undefined || begin !== end) {
    throw new EvidenceError(code, "Not a PEM text with exactly one block.");
  }
  if (!labels.includes(begin))
    throw new EvidenceError(code, `PEM label "${begin}" found, "${labels.join('" or "')}" expected.`);
  try {
    return fromBase64(body.replaceAll(/[\r\n]/g, ""));
  } catch (cause) {
    throw new EvidenceError(code, "The PEM block does not hold base64.", { cause });
  }
}

/**
 * The blocks of a PEM text one after another, in order, at most `most` of them; white space between them is allowed, anything else is not.
 * Throws as {@link parsePem} does.
 */
export function parsePemBlocks(
  text: string,
  labels: readonly string[],
  most: number,
  code: EvidenceErrorCode,
): Uint8Array[] {
  if (text.length > most * LIMITS.pemLength)
    throw new EvidenceError(
      "too-large",
      `A PEM text of ${most} blocks has at most ${most * LIMITS.pemLength} characters.`,
    );
  // Whatever is before a block's first line belongs to the block before, which then cannot be read.
  const [before, ...blocks] = text.split(/(?=-----BEGIN )/);
  const all = before !== undefined && before.trim() === "" ? blocks : [before ?? "", ...blocks];
  if (all.length > most) throw new EvidenceError("too-large", `A PEM text has at most ${most} blocks.`);
  return all.map((block) => parsePem(block, labels, code));
}

/** A PEM text with 64 characters a line and a final newline. */
export function formatPem(label: string, der: Uint8Array): string {
  const lines = toBase64(der).match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}
