import { usageError } from "../errors.ts";
import { type BytePath, displayPath } from "./bytepath.ts";

/**
 * File-name patterns with the meaning of Go's path/filepath.Match on Unix, over bytes:
 * `*` any run without "/", `?` one character but "/", `[a-c]` and `[^a-c]` a class, `\x` the character x itself.
 *
 * A pattern is a row of pieces: each may start with a star and then demands its items one after another.
 */
type Piece = { readonly star: boolean; readonly items: readonly Item[] | "malformed" };
type Item =
  | { readonly kind: "byte"; readonly byte: string }
  | { readonly kind: "any" }
  | { readonly kind: "class"; readonly negated: boolean; readonly ranges: readonly (readonly [number, number])[] };

/** Thrown by `matchName` when it reaches a malformed piece; Go reports it at the same moment and not before. */
export class MalformedPattern extends Error {}

const RUNE_ERROR = 0xfffd;
const cache = new Map<string, readonly Piece[]>();

/** Whether the whole `name` matches. Throws MalformedPattern. */
export function matchName(pattern: BytePath, name: BytePath): boolean {
  const pieces = compile(pattern);
  let rest = 0;
  for (const [at, piece] of pieces.entries()) {
    const last = at === pieces.length - 1;
    if (piece.star && piece.items !== "malformed" && piece.items.length === 0) return name.indexOf("/", rest) < 0;
    let end = matchItems(piece, name, rest);
    // The last piece must end where the name ends; an earlier one takes the first place where it fits.
    if (end === undefined || (last && end < name.length)) {
      const from = rest;
      end = undefined;
      for (let skipped = from; piece.star && skipped < name.length && name[skipped] !== "/"; skipped += 1) {
        const tried = matchItems(piece, name, skipped + 1);
        if (tried === undefined || (last && tried < name.length)) continue;
        end = tried;
        break;
      }
    }
    if (end === undefined) return false;
    rest = end;
  }
  return rest === name.length;
}

/** Whether the text has a character with a meaning in patterns. */
export function hasMeta(text: string): boolean {
  return /[*?[\\]/.test(text);
}

/** Refuses a pattern with a malformed piece anywhere, naming it. */
export function checkPattern(pattern: BytePath): void {
  if (compile(pattern).every((piece) => piece.items !== "malformed")) return;
  throw usageError(
    "pattern-malformed",
    `the exclusion "${displayPath(pattern)}" is not a valid pattern`,
    "Close every [ with ], put something between them, and write a literal [ or \\ as \\[ or \\\\.",
  );
}

function matchItems(piece: Piece, name: string, start: number): number | undefined {
  if (piece.items === "malformed") throw new MalformedPattern();
  let at = start;
  for (const item of piece.items) {
    if (at >= name.length) return undefined;
    if (item.kind === "byte") {
      if (name[at] !== item.byte) return undefined;
      at += 1;
      continue;
    }
    const [rune, width] = decodeRune(name, at);
    if (item.kind === "any" ? name[at] === "/" : inRanges(item.ranges, rune) === item.negated) return undefined;
    at += width;
  }
  return at;
}

function inRanges(ranges: readonly (readonly [number, number])[], rune: number): boolean {
  return ranges.some(([low, high]) => low <= rune && rune <= high);
}

function compile(pattern: string): readonly Piece[] {
  const known = cache.get(pattern);
  if (known !== undefined) return known;
  const pieces: Piece[] = [];
  let at = 0;
  while (at < pattern.length) {
    const stars = at;
    while (pattern[at] === "*") at += 1;
    const end = pieceEnd(pattern, at);
    pieces.push({ star: at > stars, items: parseItems(pattern.slice(at, end)) });
    at = end;
  }
  if (cache.size < 10_000) cache.set(pattern, pieces);
  return pieces;
}

/** Where the piece that starts at `start` ends: before the next star outside of brackets. */
function pieceEnd(pattern: string, start: number): number {
  let bracket = false;
  for (let at = start; at < pattern.length; at += 1) {
    const c = pattern[at];
    if (c === "\\") at += 1;
    else if (c === "[") bracket = true;
    else if (c === "]") bracket = false;
    else if (c === "*" && !bracket) return at;
  }
  return pattern.length;
}

function parseItems(text: string): readonly Item[] | "malformed" {
  const items: Item[] = [];
  let at = 0;
  while (at < text.length) {
    const c = text[at] ?? "";
    if (c === "?") {
      items.push({ kind: "any" });
      at += 1;
    } else if (c === "[") {
      const parsed = parseClass(text, at + 1);
      if (parsed === undefined) return "malformed";
      items.push(parsed.item);
      at = parsed.end;
    } else {
      if (c === "\\") at += 1;
      const byte = text[at];
      if (byte === undefined) return "malformed";
      items.push({ kind: "byte", byte });
      at += 1;
    }
  }
  return items;
}

function parseClass(text: string, start: number): { item: Item; end: number } | undefined {
  const negated = text[start] === "^";
  let at = negated ? start + 1 : start;
  const ranges: [number, number][] = [];
  while (ranges.length === 0 || text[at] !== "]") {
    const low = parseClassRune(text, at);
    if (low === undefined) return undefined;
    at = low.end;
    let high = low;
    if (text[at] === "-") {
      const parsed = parseClassRune(text, at + 1);
      if (parsed === undefined) return undefined;
      high = parsed;
      at = high.end;
    }
    ranges.push([low.rune, high.rune]);
  }
  return { item: { kind: "class", negated, ranges }, end: at + 1 };
}

/** One character of a class, which something must follow: the "]" at least. */
function parseClassRune(text: string, start: number): { rune: number; end: number } | undefined {
  const c = text[start];
  if (c === undefined || c === "-" || c === "]") return undefined;
  const at = c === "\\" ? start + 1 : start;
  if (at >= text.length) return undefined;
  const [rune, width] = decodeRune(text, at);
  if (rune === RUNE_ERROR && width === 1) return undefined;
  const end = at + width;
  return end < text.length ? { rune, end } : undefined;
}

/** The code point at `at` and how many bytes it takes; bytes that are not UTF-8 give U+FFFD and 1. */
function decodeRune(text: string, at: number): readonly [rune: number, width: number] {
  const first = text.charCodeAt(at);
  if (first < 0x80) return [first, 1];
  const width =
    first >= 0xc2 && first <= 0xdf ? 2 : first >= 0xe0 && first <= 0xef ? 3 : first >= 0xf0 && first <= 0xf4 ? 4 : 0;
  if (width === 0 || at + width > text.length) return [RUNE_ERROR, 1];
  let rune = first & (0xff >> (width + 1));
  for (let i = 1; i < width; i += 1) {
    const next = text.charCodeAt(at + i);
    if ((next & 0xc0) !== 0x80) return [RUNE_ERROR, 1];
    rune = (rune << 6) | (next & 0x3f);
  }
  const least = width === 3 ? 0x800 : width === 4 ? 0x10000 : 0x80;
  if (rune < least || rune > 0x10ffff || (rune >= 0xd800 && rune <= 0xdfff)) return [RUNE_ERROR, 1];
  return [rune, width];
}
