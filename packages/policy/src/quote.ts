import { LIMITS } from "./limits.ts";

/**
 * Characters that can change how a line looks without being seen, as ranges of code points. A list of our own, not a Unicode property, so
 * that every engine gives the same answer whatever its Unicode version.
 */
// biome-ignore format: a table
const INVISIBLE_RANGES = [
  [0x00, 0x1f], [0x7f, 0x9f],                                                       // controls
  [0x61c, 0x61c], [0x200e, 0x200f], [0x202a, 0x202e], [0x2066, 0x2069],             // direction marks
  [0x2028, 0x2029],                                                                 // line and paragraph separators
  [0xad, 0xad], [0x34f, 0x34f], [0x115f, 0x1160], [0x17b4, 0x17b5], [0x180b, 0x180f], [0x200b, 0x200d], [0x2060, 0x2065],
  [0x206a, 0x206f], [0x3164, 0x3164], [0xfeff, 0xfeff], [0xffa0, 0xffa0], [0xfff0, 0xfffb], // without width
  [0xfe00, 0xfe0f], [0xe0000, 0xe0fff],                                             // variation selectors, tags
] as const;

const INVISIBLE_CLASS = INVISIBLE_RANGES.map(([from, to]) => `\\u{${from.toString(16)}}-\\u{${to.toString(16)}}`).join(
  "",
);
const INVISIBLE = new RegExp(`[${INVISIBLE_CLASS}]`, "u");
const INVISIBLE_ALL = new RegExp(`[${INVISIBLE_CLASS}]`, "gu");

/**
 * What a policy file must not hold even in comments: controls except tab, line feed and carriage return; direction marks; a byte order mark
 * that is not at the start.
 */
export const INVISIBLE_IN_FILE =
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]|(?!^)\ufeff/u;

/** Whether `text` is well-formed Unicode without control, invisible or direction-changing characters. */
export function isPlainText(text: string): boolean {
  return text.isWellFormed() && !INVISIBLE.test(text);
}

/** `text` with everything that is not plain written as escapes, so that it can neither hide nor steer a terminal. */
export function showText(text: string): string {
  return text.toWellFormed().replace(INVISIBLE_ALL, (mark) => `\\u{${(mark.codePointAt(0) ?? 0).toString(16)}}`);
}

/**
 * A value from evidence as a short text for people: JSON in form, escaped as {@link showText}, cut at `LIMITS.shownLength`.
 * It is total: whatever it gets, it returns a string.
 */
export function quote(value: unknown): string {
  return cut(showText(describe(value)));
}

function describe(value: unknown): string {
  if (value === undefined) return "nothing";
  if (typeof value === "string") return JSON.stringify(value.slice(0, LIMITS.shownLength * 2).toWellFormed());
  if (typeof value === "number" || typeof value === "boolean" || value === null) return String(value);
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : `a list of ${value.length}`;
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}

function cut(text: string): string {
  const points = [...text];
  return points.length <= LIMITS.shownLength ? text : `${points.slice(0, LIMITS.shownLength).join("")}…`;
}
