import { canonicalJson, digestOf, utf8Encode } from "@assay/evidence";
import type { Crypto, Digest, JsonValue, ProvenTime } from "@assay/evidence";
import type { Candidate } from "./candidate.ts";
import type { Signer } from "./identity.ts";
import type { Policy, RuleKind } from "./policy.ts";
import type { Objection } from "./rejection.ts";

/** A question: may this artifact be used, by this policy, on this evidence, under this trust, at this time? */
export type DecisionRequest = {
  readonly policy: Policy;
  /** The digest of the policy's file, as `parsePolicy` returned it. */
  readonly policyDigest: Digest;
  readonly artifact: { readonly digest: Digest; readonly repository?: string };
  /** Everything known about the artifact, in any order. */
  readonly candidates: readonly Candidate[];
  /** The trust version under which the candidates were verified. */
  readonly trust: {
    readonly org: string;
    readonly version: number;
    /**
     * What `trustNames` says of that version, in any order. No outcome depends on it; with it, `missing` says which identities of a rule
     * nobody in the version bears, so who repeats a decision byte for byte gives it as well.
     */
    readonly names?: readonly string[];
  };
  /** The record's sequence as of which is decided; null outside a record. Candidates with a later sequence do not count. */
  readonly asOf: number | null;
  /** The time of the decision in milliseconds. The only clock there is. */
  readonly time: number;
};

/** Evidence that counts for a rule, and through which of the rule's identities. */
export type Satisfaction = {
  readonly evidence: Digest;
  readonly signer: Signer;
  readonly identities: readonly string[];
  readonly time: ProvenTime | null;
};

/** Evidence that does not count for a rule, and why. `evidence` is null if the candidate did not even have a digest. */
export type Rejection = { readonly evidence: Digest | null; readonly signer?: Signer } & Objection;

export type RuleOutcome = {
  readonly rule: string;
  /** `invalid` if the policy was not one that `parsePolicy` made. */
  readonly kind: RuleKind | "invalid";
  /**
   * `satisfied`: enough evidence counts. `unknown`: it would, if what is not known about some evidence turned out well. `error`: a
   * check went wrong. `unsatisfied`: none of these. Only `satisfied` lets an artifact pass.
   */
  readonly outcome: "satisfied" | "unsatisfied" | "unknown" | "error";
  /**
   * What a satisfied rule establishes, in the words of a SLSA verification summary (`SLSA_BUILD_LEVEL_3`), sorted; absent if it demands
   * no level or is not satisfied.
   */
  readonly levels?: readonly string[];
  /** What counts, sorted by evidence; at most `LIMITS.satisfiedListed`. */
  readonly satisfiedBy: readonly Satisfaction[];
  /** How many more count than `satisfiedBy` lists; absent for none. */
  readonly satisfiedNotListed?: number;
  /** What is missing, in plain words; absent if the rule is satisfied. */
  readonly missing?: string;
  /** What does not count, the nearest misses first; at most `LIMITS.rejectionsListed`. */
  readonly rejected: readonly Rejection[];
  /** How many more do not count than `rejected` lists; absent for none. */
  readonly rejectedNotListed?: number;
};

/** The answer, with everything that repeats it: policy, trust, evidence, time; and every reason. Plain JSON. */
export type Decision = {
  readonly version: 1;
  readonly result: "allowed" | "denied";
  readonly subject: Digest;
  readonly repository?: string;
  readonly policy: { readonly digest: Digest; readonly name: string };
  readonly trust: { readonly org: string; readonly version: number };
  readonly asOf: number | null;
  readonly time: number;
  /** Every candidate, once each, sorted. */
  readonly evidence: readonly Digest[];
  /** One per rule, in the policy's order. */
  readonly rules: readonly RuleOutcome[];
  /** One sentence per rule, in the policy's order. */
  readonly reasons: readonly string[];
};

/** The name of a decision: the digest of its canonical JSON (RFC 8785). */
export function decisionDigest(crypto: Crypto, decision: Decision): Digest {
  return digestOf(crypto, utf8Encode(canonicalJson(decision as unknown as JsonValue)));
}
