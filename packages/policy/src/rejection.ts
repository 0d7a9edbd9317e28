/**
 * Why a piece of evidence does not count for a rule, by stable code. A code is never reused for another meaning.
 *
 * `nearness` orders what people see: the higher, the nearer the evidence came. `kind` decides the rule's outcome if it is not satisfied:
 * `no` (it is known not to count), `unknown` (what would decide is not known), `error` (the check itself went wrong).
 */
export const REJECTIONS = {
  "other-predicate-type": { kind: "no", nearness: 0 },
  refused: { kind: "no", nearness: 1 },
  reported: { kind: "no", nearness: 2 },
  "other-signer": { kind: "no", nearness: 3 },
  "excepted-signer": { kind: "no", nearness: 4 },
  "after-as-of": { kind: "no", nearness: 5 },
  "time-in-future": { kind: "no", nearness: 5 },
  "time-unproven": { kind: "unknown", nearness: 5 },
  "too-old": { kind: "no", nearness: 5 },
  "predicate-malformed": { kind: "unknown", nearness: 6 },
  "result-unknown": { kind: "unknown", nearness: 6 },
  "tests-failed": { kind: "no", nearness: 7 },
  "tests-warned": { kind: "no", nearness: 7 },
  "tests-contradictory": { kind: "no", nearness: 7 },
  "tests-empty": { kind: "no", nearness: 7 },
  "test-not-passed": { kind: "no", nearness: 8 },
  "builder-unknown": { kind: "unknown", nearness: 6 },
  "builder-mismatch": { kind: "no", nearness: 6 },
  "builder-signer-mismatch": { kind: "no", nearness: 7 },
  "runner-unknown": { kind: "unknown", nearness: 7 },
  "runner-mismatch": { kind: "no", nearness: 7 },
  "level-too-low": { kind: "no", nearness: 8 },
  "build-type-unknown": { kind: "unknown", nearness: 8 },
  "build-type-mismatch": { kind: "no", nearness: 8 },
  "parameters-unknown": { kind: "unknown", nearness: 9 },
  "parameter-unexpected": { kind: "no", nearness: 9 },
  "source-unknown": { kind: "unknown", nearness: 10 },
  "source-ambiguous": { kind: "unknown", nearness: 10 },
  "source-mismatch": { kind: "no", nearness: 10 },
  "ref-unknown": { kind: "unknown", nearness: 11 },
  "ref-mismatch": { kind: "no", nearness: 11 },
  "path-unknown": { kind: "unknown", nearness: 12 },
  "path-mismatch": { kind: "no", nearness: 12 },
  "verifier-unknown": { kind: "unknown", nearness: 6 },
  "verifier-mismatch": { kind: "no", nearness: 6 },
  "verifier-signer-mismatch": { kind: "no", nearness: 7 },
  "resource-unknown": { kind: "unknown", nearness: 8 },
  "resource-mismatch": { kind: "no", nearness: 8 },
  "summary-not-passed": { kind: "no", nearness: 9 },
  "summary-of-this-policy": { kind: "no", nearness: 9 },
  "levels-unknown": { kind: "unknown", nearness: 10 },
  "level-missing": { kind: "no", nearness: 10 },
  "summary-policy-unknown": { kind: "unknown", nearness: 11 },
  "summary-policy-mismatch": { kind: "no", nearness: 11 },
  "subject-mismatch": { kind: "error", nearness: 20 },
  "candidate-malformed": { kind: "error", nearness: 20 },
  "check-failed": { kind: "error", nearness: 20 },
} as const satisfies { [code: string]: { kind: "no" | "unknown" | "error"; nearness: number } };

export type RejectionCode = keyof typeof REJECTIONS;

/** Why a check does not accept something: a code, a sentence, and if a field decided, which and what it said. */
export type Objection = {
  readonly code: RejectionCode;
  /** One sentence for people; free of control and invisible characters. */
  readonly reason: string;
  /** The field that decided, as a JSON path in the statement: `$.predicate.result`. */
  readonly path?: string;
  /** What the field says, shortened and escaped for showing. */
  readonly observed?: string;
};
