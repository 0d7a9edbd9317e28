import type { Decision, Rejection, RuleOutcome } from "./decision.ts";

/** Rejections shown per rule; the decision itself holds more. */
const SHOWN = 5;

/**
 * The decision as lines of plain text for a terminal: no colours, no control or invisible characters, a final line feed.
 */
export function explain(decision: Decision): string {
  const where = decision.repository === undefined ? "" : ` in ${decision.repository}`;
  const asOf = decision.asOf === null ? "" : `, record ${decision.asOf}`;
  const lines = [
    `${decision.result.toUpperCase()}  ${decision.subject}${where}`,
    `policy ${decision.policy.name} (${decision.policy.digest})`,
    `trust ${decision.trust.org} version ${decision.trust.version}${asOf}, at ${showTime(decision.time)}, ${decision.evidence.length} piece(s) of evidence`,
    "",
    ...(decision.rules.length === 0 ? decision.reasons : decision.rules.flatMap(explainRule)),
  ];
  return `${lines.join("\n")}\n`;
}

const MARK = { satisfied: "yes", unsatisfied: "no", unknown: "unknown", error: "error" } as const;

function explainRule(rule: RuleOutcome): string[] {
  const lines = [`${MARK[rule.outcome].padEnd(8)}${rule.rule} (${rule.kind})`];
  for (const one of rule.satisfiedBy.slice(0, SHOWN)) {
    const when = one.time === null ? "time not proven" : `${showTime(one.time.time)}, ${one.time.source}`;
    lines.push(`          by ${one.identities.join(", ")}: ${one.evidence} (${when})`);
  }
  const moreCount = rule.satisfiedBy.length - SHOWN + (rule.satisfiedNotListed ?? 0);
  if (moreCount > 0) lines.push(`          and ${moreCount} more`);
  if (rule.levels !== undefined) lines.push(`          establishes ${rule.levels.join(", ")}`);
  if (rule.outcome === "satisfied") return lines;

  lines.push(`          missing: ${rule.missing ?? ""}`);
  const relevant = rule.rejected.filter((one) => one.code !== "other-predicate-type");
  for (const one of relevant.slice(0, SHOWN)) lines.push(...explainRejection(one));
  const hidden = rule.rejected.length - Math.min(relevant.length, SHOWN) + (rule.rejectedNotListed ?? 0);
  if (hidden > 0) {
    const types = rule.rejected.flatMap((one) => (one.code === "other-predicate-type" ? [one.observed ?? ""] : []));
    const shown = [...new Set(types)].slice(0, SHOWN).join(", ");
    const of = shown === "" ? "" : `; of other types: ${shown}`;
    lines.push(`          ${hidden} other piece(s) of evidence do not count either${of}`);
  }
  return lines;
}

function explainRejection({ evidence, code, reason, path, observed }: Rejection): string[] {
  const field = path === undefined ? "" : ` [${path}${observed === undefined ? "" : ` is ${observed}`}]`;
  return [`          not ${evidence ?? "a candidate without digest"}: ${code}`, `            ${reason}${field}`];
}

function showTime(time: number): string {
  // The years that ISO 8601 can write; a decision's time is checked, that of a broken request may be anything.
  return Math.abs(time) <= 8.64e15 ? new Date(time).toISOString() : `${time} ms`;
}
