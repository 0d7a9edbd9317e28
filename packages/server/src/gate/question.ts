import { canonicalJson, type Digest, digestOf, type JsonValue, utf8Encode } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import type { DecisionShape } from "./decision-shape.ts";

function digest(value: JsonValue): Digest {
  return digestOf(nodeCrypto, utf8Encode(canonicalJson(value)));
}

/** The name of a decision: the digest of its canonical JSON (`decisionDigest` of `@assay/policy`). */
export function decisionId(decision: DecisionShape): Digest {
  return digest(decision as unknown as JsonValue);
}

/**
 * What was asked, as a digest: which artifact, where, by which policy (and whether it is a stored one), and under which trust version if one was named. Two decisions on
 * one question differ only because something changed.
 */
export function questionOf(
  decision: DecisionShape,
  pinnedTrust: number | null,
  storedPolicy: { readonly name: string } | null,
): Digest {
  return digest({
    subject: decision.subject,
    repository: decision.repository ?? null,
    policy: decision.policy.digest,
    // The summaries of a stored policy and of the same text given with a request are signed under different verifier ids.
    policyName: storedPolicy?.name ?? null,
    trustVersion: pinnedTrust,
  });
}

/**
 * What it was answered from and with, as a digest: trust version, evidence, and the outcome of each rule. Not the time, nor what is only
 * wording: a decision is recorded anew when its inputs or its outcome change, and asking again is no change.
 */
export function answerOf(decision: DecisionShape): Digest {
  return digest({
    trust: decision.trust.version,
    evidence: [...decision.evidence],
    result: decision.result,
    rules: decision.rules.map((rule) => ({ rule: rule.rule, kind: rule.kind, outcome: rule.outcome })),
  });
}
