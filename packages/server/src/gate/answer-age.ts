import type { Policy } from "@assay/policy";
import type { DecisionShape } from "./decision-shape.ts";

/**
 * How long an answer is taken for the same, ms, while nothing it rests on changed: what ends by the clock and is not said in the decision (a
 * signature's own expiry) is noticed after that long at the latest.
 */
export const ANSWER_MS = 30_000;

/**
 * Until when a decision may be taken to hold, ms since 1970 (exclusive): evidence that counts under a maximum age counts until its proven
 * time plus that age, and the first such moment after `now` ends the answer.
 */
export function holdsUntil(policy: Policy, decision: DecisionShape, now: number): number {
  const ages = new Map(policy.rules.map((rule) => [rule.id, rule.maximumAge]));
  let until = now + ANSWER_MS;
  for (const { rule, satisfiedBy } of decision.rules) {
    const age = ages.get(rule);
    if (age === undefined || age === null) continue;
    for (const { time } of satisfiedBy) {
      if (time === null) continue;
      const tooOld = time.time + age + 1;
      if (tooOld > now && tooOld < until) until = tooOld;
    }
  }
  return until;
}
