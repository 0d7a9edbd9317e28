/** Whether somebody who truly said something was entitled to say it: the scope and window of its trust entries. */
import { EvidenceError } from "./errors.ts";
import { LIMITS } from "./limits.ts";
import { isInScope } from "./scope.ts";
import type { TrustEntry, TrustVersion } from "./trust.ts";
import type { ProvenTime, SignerEntry } from "./verdict.ts";

/** What was said and when, as far as entitlement depends on it. */
export type Saying = {
  /** Whether an entry means the signer. */
  readonly isMeant: (entry: TrustEntry) => boolean;
  readonly repository: string | undefined;
  readonly predicateType: string;
  /** What proves, for an entry, when it was said: earliest first. */
  readonly timesFor: (entry: TrustEntry) => readonly ProvenTime[];
};

export type Judgement =
  | {
      readonly outcome: "match";
      /** The closest match: the first, but a `primary` one before others. */
      readonly entry: TrustEntry;
      /** The earliest time of all matches: the age of evidence must not hang on which of its signer's names is asked for. */
      readonly time: ProvenTime | null;
      /** All entries of the signer, in trust's order. */
      readonly entries: readonly SignerEntry[];
    }
  | Miss;

type Match = { readonly outcome: "match"; readonly entry: TrustEntry; readonly time: ProvenTime | null };
type Miss = { readonly outcome: "out-of-scope" | "time-unproven" | "outside-validity"; readonly message: string };

/** From the furthest miss to the match: of several entries of one signer, the closest outcome is the one to report. */
const CLOSENESS = { "out-of-scope": 0, "outside-validity": 1, "time-unproven": 2, match: 3 } as const;

/**
 * Judges each entry of the signer as a whole: never the scope of one with the window of another. One whole match suffices, and
 * a `primary` one goes first; otherwise the closest miss says what is wrong.
 */
export function judge(trust: TrustVersion, saying: Saying): Judgement {
  let best: Match | Miss | undefined;
  let earliest: ProvenTime | null = null;
  const entries: SignerEntry[] = [];
  for (const entry of trust.entries) {
    if (!saying.isMeant(entry)) continue;
    const judgement = judgeEntry(entry, saying);
    entries.push({ entry: entry.id, name: entry.name, counts: judgement.outcome === "match" });
    if (judgement.outcome === "match") earliest = earlier(earliest, judgement.time);
    if (best === undefined || isCloser(judgement, best)) best = judgement;
  }
  if (best === undefined) return { outcome: "out-of-scope", message: "The signer has no trust entry." };
  return best.outcome === "match" ? { ...best, time: earliest, entries } : best;
}

function earlier(a: ProvenTime | null, b: ProvenTime | null): ProvenTime | null {
  if (a === null || b === null) return a ?? b;
  return b.time < a.time ? b : a;
}

/** The times of a request, checked. Throws `time-invalid`, `too-large`: a faulty time is the caller's error, not the signer's. */
export function checkedTimes(times: readonly ProvenTime[]): readonly ProvenTime[] {
  if (times.length > LIMITS.provenTimes) {
    throw new EvidenceError("too-large", `More than ${LIMITS.provenTimes} proven times were given.`);
  }
  const wrong = times.find(({ time }) => !Number.isSafeInteger(time) || time < 0);
  if (wrong !== undefined) throw new EvidenceError("time-invalid", `${wrong.time} is not a proven time.`);
  return times.toSorted((a, b) => a.time - b.time);
}

function isCloser(a: Match | Miss, b: Match | Miss): boolean {
  if (a.outcome === "match" && b.outcome === "match") return a.entry.primary && !b.entry.primary;
  return CLOSENESS[a.outcome] > CLOSENESS[b.outcome];
}

function judgeEntry(entry: TrustEntry, { repository, predicateType, timesFor }: Saying): Match | Miss {
  const times = timesFor(entry);
  const entryName = JSON.stringify(entry.name);
  if (!isInScope(entry.scope, repository, predicateType)) {
    const place = repository === undefined ? "an artifact without repository" : repository;
    return {
      outcome: "out-of-scope",
      message: `${entryName} is not trusted for ${predicateType} about ${place}.`,
    };
  }
  const [earliest] = times;
  if (entry.validFrom === null && entry.validUntil === null) return { outcome: "match", entry, time: earliest ?? null };
  const from = entry.validFrom ?? 0;
  const until = entry.validUntil ?? Number.MAX_SAFE_INTEGER;
  // Both ends inclusive: Sigstore's client specification, and what people mean by "until".
  const time = times.find((proven) => proven.time >= from && proven.time <= until);
  if (time !== undefined) return { outcome: "match", entry, time };
  if (earliest === undefined) {
    return {
      outcome: "time-unproven",
      message: `${entryName} is trusted for a time only, and nothing proves when the signature was made.`,
    };
  }
  return {
    outcome: "outside-validity",
    message: `${entryName} is trusted ${windowText(entry)}; the earliest proven time is ${timeText(earliest.time)}.`,
  };
}

function windowText({ validFrom, validUntil }: TrustEntry): string {
  const from = validFrom === null ? "" : ` from ${timeText(validFrom)}`;
  const until = validUntil === null ? "" : ` until ${timeText(validUntil)}`;
  return `${from}${until}`.trim();
}

/** ISO 8601 where the calendar reaches; times far beyond it are legal numbers and must not throw. */
function timeText(time: number): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? `${time} ms` : date.toISOString();
}
