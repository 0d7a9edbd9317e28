import { digestHex } from "@assay/evidence";
import type { Digest } from "@assay/evidence";
import { isIdentity, showIdentity } from "./identity.ts";
import type { KnownSigner } from "./identity.ts";
import { member, textList } from "./json-member.ts";
import { LIMITS } from "./limits.ts";
import type { SummaryRule } from "./policy.ts";
import { quote, showText } from "./quote.ts";
import type { Objection } from "./rejection.ts";
import { includesLevel, repeatedTrack } from "./slsa-level.ts";
import { objectionToSummary } from "./verification-summary.ts";

/** What a summary is held against, besides the rule. */
export type SummaryContext = {
  readonly policyDigest: Digest;
  readonly artifact: { readonly digest: Digest; readonly repository: string | undefined };
  /** The statement's subjects that name the artifact. */
  readonly subjects: readonly unknown[];
};

/**
 * What stands against a verification summary for the rule; `undefined` if nothing does.
 *
 * https://slsa.dev/spec/v1.2/verification_summary#how-to-verify asks for seven things. Signature, subject and predicate type have been
 * checked for every rule; here are the other four, in its order: verifier with its signer, resource, result, levels; then what a policy
 * may ask beyond: by which policy, and about which branch (https://slsa.dev/spec/v1.2/verifying-source).
 */
export function objectionToSummaryFor(
  rule: SummaryRule,
  predicate: unknown,
  signer: KnownSigner,
  context: SummaryContext,
): Objection | undefined {
  return (
    objectionToVerifier(rule, predicate, signer) ??
    objectionToResource(rule, predicate, context) ??
    objectionToSummary(predicate, context.policyDigest) ??
    objectionToLevels(rule, predicate) ??
    objectionToPolicy(rule, predicate) ??
    objectionToRefs(rule, context)
  );
}

function objectionToVerifier(rule: SummaryRule, predicate: unknown, signer: KnownSigner): Objection | undefined {
  const id = member(predicate, "verifier", "id");
  const found = { path: "$.predicate.verifier.id", observed: quote(id) };
  if (typeof id !== "string" || id === "")
    return { code: "verifier-unknown", reason: "The summary does not name its verifier.", ...found };
  const accepted = rule.verifiers.find((verifier) => verifier.id === id);
  if (accepted === undefined) {
    return {
      code: "verifier-mismatch",
      reason: `The verifier is ${quote(id)}, which the rule does not accept.`,
      ...found,
    };
  }
  if (accepted.identities.some((identity) => isIdentity(signer, identity))) return undefined;
  const who = accepted.identities.map((identity) => showText(showIdentity(identity))).join(", ");
  return { code: "verifier-signer-mismatch", reason: `For this verifier only ${who} may sign.`, ...found };
}

function objectionToResource(
  rule: SummaryRule,
  predicate: unknown,
  { artifact }: SummaryContext,
): Objection | undefined {
  const uri = member(predicate, "resourceUri");
  const found = { path: "$.predicate.resourceUri", observed: quote(uri) };
  if (typeof uri !== "string" || uri === "")
    return { code: "resource-unknown", reason: "The summary does not say what it is about.", ...found };
  const expected = rule.resources.map((resource) => expectedResource(resource, artifact));
  if (expected.includes(uri)) return undefined;
  const wanted = expected.map((one) =>
    one === undefined ? "a resource in a repository, and none was given" : quote(one),
  );
  return {
    code: "resource-mismatch",
    reason: `The summary is about ${quote(uri)}, not about ${wanted.join(" or ")}.`,
    ...found,
  };
}

/** A policy's resource for this artifact. Braces stand in no URI, so nothing an artifact is called can be taken for a placeholder. */
function expectedResource(resource: string, { digest, repository }: SummaryContext["artifact"]): string | undefined {
  if (resource.includes("{repository}") && repository === undefined) return undefined;
  return resource.replaceAll("{digest}", () => digest).replaceAll("{repository}", () => repository ?? "");
}

function objectionToLevels(rule: SummaryRule, predicate: unknown): Objection | undefined {
  const path = "$.predicate.verifiedLevels";
  const value = member(predicate, "verifiedLevels");
  const levels = textList(value, LIMITS.predicateItems);
  const unknown = (reason: string): Objection => ({ code: "levels-unknown", reason, path, observed: quote(value) });
  if (levels === undefined) return unknown("The summary's verified levels are not a list of texts.");
  const track = repeatedTrack(levels);
  if (track !== undefined) return unknown(`The summary names two levels of the track ${track}.`);
  if (levels.includes("FAILED")) return unknown("The summary's result is PASSED, but its levels say FAILED.");
  const missing = rule.levels.find((needed) => !includesLevel(levels, needed));
  if (missing === undefined) return undefined;
  const shown = levels.slice(0, LIMITS.listed).map(quote).join(", ");
  return {
    code: "level-missing",
    reason: `The summary does not say ${missing}; it says ${shown === "" ? "nothing of levels" : shown}.`,
    path,
    observed: quote(value),
  };
}

function objectionToPolicy(rule: SummaryRule, predicate: unknown): Objection | undefined {
  if (rule.policies === undefined) return undefined;
  const digest = member(predicate, "policy", "digest", "sha256");
  const found = { path: "$.predicate.policy.digest.sha256", observed: quote(digest) };
  if (typeof digest !== "string")
    return { code: "summary-policy-unknown", reason: "The summary does not say by which policy.", ...found };
  if (rule.policies.some((policy) => digestHex(policy) === digest)) return undefined;
  return {
    code: "summary-policy-mismatch",
    reason: `The summary was made by the policy sha256:${showText(digest.slice(0, 64))}, which the rule does not accept.`,
    ...found,
  };
}

function objectionToRefs(rule: SummaryRule, { subjects }: SummaryContext): Objection | undefined {
  if (rule.refs === undefined) return undefined;
  const path = "$.subject[*].annotations.sourceRefs";
  const lists = subjects.map((subject) =>
    textList(member(subject, "annotations", "sourceRefs"), LIMITS.predicateItems),
  );
  const refs = lists.flatMap((list) => list ?? []);
  if (refs.length === 0) {
    return {
      code: "ref-unknown",
      reason: "The summary does not say which branches or tags pointed to the revision.",
      path,
      observed: quote(undefined),
    };
  }
  if (rule.refs.some((ref) => refs.includes(ref))) return undefined;
  return {
    code: "ref-mismatch",
    reason: `The revision was on ${refs.slice(0, LIMITS.listed).map(quote).join(", ")}, not on ${rule.refs.map(quote).join(" or ")}.`,
    path,
    observed: quote(refs[0]),
  };
}
