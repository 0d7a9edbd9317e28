import type { ByteRange } from "../storage/blobs.ts";

/** What a Range header asks of `size` bytes. */
export type RangeRequest =
  | { readonly kind: "whole" }
  | { readonly kind: "part"; readonly range: ByteRange }
  | { readonly kind: "unsatisfiable" };

const SINGLE = /^(\d*)-(\d*)$/;

/** A decimal within the safe integers, or undefined. Leading zeros are allowed, as RFC 9110 does. */
function decimal(text: string): number | undefined {
  const value = Number(text);
  return text.length > 0 && Number.isSafeInteger(value) ? value : undefined;
}

/**
 * Reads a Range header (RFC 9110 §14.1.2) for a blob of `size` bytes. One range is served; a request for several, or in another
 * unit, is answered with the whole, as the RFC allows. A range in bytes that is malformed or lies outside is unsatisfiable: the
 * OCI conformance suite counts a 200 to `bytes=500-0` as a failure.
 */
export function parseRange(header: string | undefined, size: number): RangeRequest {
  if (header === undefined) return { kind: "whole" };
  const equals = header.indexOf("=");
  if (equals === -1 || header.slice(0, equals).trim().toLowerCase() !== "bytes") return { kind: "whole" };
  const set = header.slice(equals + 1).trim();
  if (set.includes(",")) return { kind: "whole" };
  const match = SINGLE.exec(set);
  if (match === null) return { kind: "unsatisfiable" };
  const [, first = "", last = ""] = match;
  if (first === "") {
    // The last n bytes.
    const count = last.length > 15 ? Number.MAX_SAFE_INTEGER : decimal(last);
    if (count === undefined || count === 0 || size === 0) return { kind: "unsatisfiable" };
    return { kind: "part", range: { start: Math.max(0, size - count), end: size } };
  }
  const start = decimal(first);
  if (start === undefined || start >= size) return { kind: "unsatisfiable" };
  if (last === "") return { kind: "part", range: { start, end: size } };
  const inclusive = last.length > 15 ? Number.MAX_SAFE_INTEGER : decimal(last);
  if (inclusive === undefined || inclusive < start) return { kind: "unsatisfiable" };
  return { kind: "part", range: { start, end: Math.min(size, inclusive + 1) } };
}

const CHUNK = /^(\d{1,15})-(\d{1,15})$/;

/**
 * Reads the Content-Range of a chunk: `<start>-<end>`, inclusive, without a unit (OCI distribution 1.1, "Pushing a blob in chunks").
 *
 * @returns the half-open range; "malformed" for anything else.
 */
export function parseContentRange(header: string): ByteRange | "malformed" {
  const match = CHUNK.exec(header.trim());
  if (match === null) return "malformed";
  const start = Number(match[1]);
  const end = Number(match[2]) + 1;
  return end > start ? { start, end } : "malformed";
}

/** The Range header that tells how much of an upload is here. Nothing and one byte look alike: the form has no way to say "none". */
export function uploadRange(offset: number): string {
  return `0-${Math.max(0, offset - 1)}`;
}
