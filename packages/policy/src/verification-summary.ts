import { digestHex } from "@assay/evidence";
import type { Digest, JsonObject } from "@assay/evidence";
import type { Decision } from "./decision.ts";
import { member } from "./json-member.ts";
import { PREDICATE_TYPE } from "./predicate-types.ts";
import { quote } from "./quote.ts";
import type { Objection } from "./rejection.ts";
import { highestPerTrack } from "./slsa-level.ts";

/** The predicate type of {@link vsaPredicate}. */
export const VSA_PREDICATE_TYPE = PREDICATE_TYPE.verificationSummary;

/** What a summary needs beyond the decision. */
export type VsaContext = {
  /** Who verified: a URI that names this server and belongs to the key that will sign. */
  readonly verifierId: string;
  /** What was asked about: the URI of the artifact or of the use it was asked for. */
  readonly resourceUri: string;
  /** Where the policy is to be had. */
  readonly policyUri: string;
  /** When the decision was made, in milliseconds; usually the decision's own time. */
  readonly timeVerified: number;
};

/**
 * The decision as the predicate of a SLSA verification summary (https://slsa.dev/spec/v1.2/verification_summary).
 *
 * `inputAttestations` names every candidate, as the specification asks for all or none. `verifiedLevels` are those that the policy's
 * satisfied rules demand, one per track, or FAILED: a level that no rule asks for is not claimed. `dependencyLevels` is left out, which
 * makes no claim about dependencies; an empty one would say that there are none. Throws RangeError if `timeVerified` is not a time.
 */
export function vsaPredicate(decision: Decision, context: VsaContext): JsonObject {
  const allowed = decision.result === "allowed";
  return {
    verifier: { id: context.verifierId },
    timeVerified: new Date(context.timeVerified).toISOString(),
    resourceUri: context.resourceUri,
    policy: { uri: context.policyUri, digest: { sha256: digestHex(decision.policy.digest) } },
    inputAttestations: decision.evidence.map((digest) => ({ digest: { sha256: digestHex(digest) } })),
    verificationResult: allowed ? "PASSED" : "FAILED",
    verifiedLevels: allowed ? [...highestPerTrack(decision.rules.flatMap(({ levels }) => levels ?? []))] : ["FAILED"],
    slsaVersion: "1.2",
  };
}

/**
 * What stands against a verification summary as evidence: that it did not pass, or that it is one of decisions by this very policy, which
 * must never feed the decision that makes them.
 */
export function objectionToSummary(predicate: unknown, policyDigest: Digest): Objection | undefined {
  const result = member(predicate, "verificationResult");
  if (result !== "PASSED") {
    return {
      code: "summary-not-passed",
      reason: `The verification summary's result is ${quote(result)}, not PASSED.`,
      path: "$.predicate.verificationResult",
      observed: quote(result),
    };
  }
  const policy = member(predicate, "policy", "digest", "sha256");
  if (policy === digestHex(policyDigest)) {
    return {
      code: "summary-of-this-policy",
      reason: "The verification summary comes from this same policy: a decision is never evidence for itself.",
      path: "$.predicate.policy.digest.sha256",
      observed: quote(policy),
    };
  }
  return undefined;
}
