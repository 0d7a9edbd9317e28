import type { Finding } from "../record/finding.ts";
import type { DatedFinding, Moment, Pass } from "./memory.ts";

/** What tells one finding's thing from another's, whatever is said of it. */
export function thingOf(finding: Pick<Finding, "kind" | "where">): string {
  return `${finding.kind} ${finding.where}`;
}

/** Whether a pass looked at the thing a finding is about. What cannot be told counts as not looked at. */
export function covers(pass: Pass, finding: Finding): boolean {
  switch (finding.kind) {
    case "projection":
    case "schema":
      return pass.kind === "full";
    case "key":
      return pass.kind !== "scrub";
    case "blob":
      return pass.kind !== "incremental";
    case "event":
    case "leaf":
    case "chain":
    case "tile":
      return finding.entry === undefined
        ? pass.kind !== "incremental"
        : finding.entry >= pass.from && finding.entry < pass.size;
    case "log":
    case "checkpoint":
      return true;
  }
}

/**
 * Dates findings: what was found before keeps its date; what is new was whole when a pass last looked at it.
 *
 * A pass that lasted looked at a thing at some time between its start and its end: its start is what can be said for certain.
 */
export function datedFindings(
  findings: readonly Finding[],
  now: Moment,
  before: { readonly findings: readonly DatedFinding[]; readonly passes: readonly Pass[] },
): DatedFinding[] {
  const known = new Map(before.findings.map((finding) => [thingOf(finding), finding.since]));
  return findings.map((finding) => {
    const { kind, where, problem, action, entry } = finding;
    const since = known.get(thingOf(finding));
    if (since !== undefined) return { ...finding, since };
    const whole = before.passes
      .filter((pass) => covers(pass, finding))
      .map(({ started, size }) => ({ time: started, size }))
      .reduce<Moment | null>(
        (latest, moment) => (latest === null || moment.time > latest.time ? moment : latest),
        null,
      );
    return { kind, where, problem, action, ...(entry === undefined ? {} : { entry }), since: { found: now, whole } };
  });
}

/** A date as people read it, with the log's size then. */
export function momentText({ time, size }: Moment): string {
  return `${new Date(time).toISOString()} (${size} events)`;
}
