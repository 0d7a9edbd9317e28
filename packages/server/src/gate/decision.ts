import type { Digest, TrustVersion } from "@assay/evidence";
import { type Decision, evaluate, type Policy, trustNames } from "@assay/policy";
import type { JudgingContext } from "../attestations/artifact-bytes.ts";
import { gatherCandidates } from "./candidates.ts";
import type { GateContext } from "./context.ts";

/** Everything that a decision follows from. */
export interface DecisionInputs {
  readonly org: string;
  readonly artifact: Digest;
  /** Whole name, "org/path", or none. */
  readonly repository: string | undefined;
  readonly policy: Policy;
  /** Of the policy's text. */
  readonly policyDigest: Digest;
  readonly trust: TrustVersion;
  /** The record's sequence as of which evidence is read. */
  readonly asOf: number;
  /** The moment it is decided for, ms since 1970. */
  readonly now: number;
}

/**
 * What a policy says of an artifact, from the evidence as of one sequence: the one way to a decision, be it recorded or only foreseen. Throws
 * as `gatherCandidates`.
 */
export async function decisionFrom(
  context: JudgingContext & Pick<GateContext, "reader">,
  inputs: DecisionInputs,
): Promise<Decision> {
  const { org, artifact, repository, policy, policyDigest, trust, asOf, now } = inputs;
  return evaluate({
    policy,
    policyDigest,
    artifact: repository === undefined ? { digest: artifact } : { digest: artifact, repository },
    candidates: await gatherCandidates(context, { org, artifact, repository, trust, asOf, now }),
    trust: { org, version: trust.version, names: trustNames(trust) },
    asOf,
    time: now,
  });
}
