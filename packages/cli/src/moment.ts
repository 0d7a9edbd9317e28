import { usageError } from "./errors.ts";

const FORM = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d))?$/;

/** A moment as people read it: RFC 3339 in UTC. `time` is ms since 1970. */
export function showMoment(time: number): string {
  return Math.abs(time) <= 8.64e15 ? new Date(time).toISOString() : `${time} ms`;
}

/**
 * A moment from the command line in ms since 1970: RFC 3339, or a date, which is its first moment in UTC, or with `end` its
 * last. A time without a zone is refused: it would mean something else on another machine. Errors: `time-invalid`.
 */
export function parseMoment(option: string, text: string, end = false): number {
  const time = FORM.test(text) ? Date.parse(text) : Number.NaN;
  const isDate = text.length === 10;
  // Date.parse takes 30 February for 1 March.
  const exists = !Number.isNaN(time) && (!isDate || new Date(time).toISOString().startsWith(text));
  if (!exists || time < 0) {
    throw usageError(
      "time-invalid",
      `${option}: ${JSON.stringify(text)} is not a time`,
      "Write it like 2026-11-22, or 2026-11-22T13:17:00Z.",
    );
  }
  return isDate && end ? time + 86_400_000 - 1 : time;
}
