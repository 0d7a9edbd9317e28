import { Cron } from "croner";
import { ServerError } from "../errors.ts";

/** When something occurs: at a fixed distance, or by a cron pattern in UTC. */
export type Rhythm = { readonly everyMs: number } | { readonly cron: string };

/** The shortest distance between occurrences, ms. */
const SHORTEST_MS = 1_000;

/**
 * The first occurrence after `now`, ms. Those between `before` and `now` were missed and are left out.
 *
 * @param before the occurrence before it; undefined when there was none, and the rhythm begins now.
 */
export function occurrenceAfter(rhythm: Rhythm, before: number | undefined, now: number): number {
  if ("cron" in rhythm) {
    const next = new Cron(rhythm.cron, { timezone: "UTC" }).nextRun(new Date(now));
    if (next === null) throw new ServerError("internal", `${rhythm.cron} never occurs`);
    return next.getTime();
  }
  const start = before ?? now;
  return start + (Math.floor(Math.max(now - start, 0) / rhythm.everyMs) + 1) * rhythm.everyMs;
}

/** @throws ServerError `internal` for a rhythm that is none: schedules are written in the program. */
export function checkRhythm(rhythm: Rhythm): void {
  if ("cron" in rhythm) {
    try {
      occurrenceAfter(rhythm, undefined, 0);
    } catch (cause) {
      throw new ServerError("internal", `${JSON.stringify(rhythm.cron)} is no cron pattern`, { cause });
    }
  } else if (!Number.isSafeInteger(rhythm.everyMs) || rhythm.everyMs < SHORTEST_MS) {
    throw new ServerError("internal", `nothing can occur every ${rhythm.everyMs} ms`);
  }
}
