/** What verifiers say they found: SLSA verification summaries and in-toto's simple verification results. */
import { member } from "../json-member.ts";
import { PREDICATE_TYPE } from "../predicate-types.ts";
import type { PredicateKind } from "./kind.ts";

/**
 * https://slsa.dev/spec/v1.2/verification_summary ; `verifiedLevels` may be empty, `timeVerified` (since 1.1) and `dependencyLevels` may be
 * left out.
 */
const v1: PredicateKind = {
  types: [PREDICATE_TYPE.verificationSummary],
  title: "SLSA verification summary v1",
  check: (shape) =>
    shape
      .object("verifier", (verifier) => verifier.text("id"))
      .optional("timeVerified", (it) => it.time("timeVerified"))
      .text("resourceUri")
      .object("policy", (policy) => policy.text("uri").optional("digest", (it) => it.digests("digest")))
      .optional("inputAttestations", (it) => it.objects("inputAttestations", 0, (input) => input.digests("digest")))
      .text("verificationResult", ["PASSED", "FAILED"])
      .texts("verifiedLevels", 0)
      .optional("dependencyLevels", (it) => it.object("dependencyLevels")),
  fields: (fields, predicate) => {
    fields.add("verifier.id", member(predicate, "verifier", "id"));
    fields.add("resource.uri", member(predicate, "resourceUri"));
    fields.add("policy.uri", member(predicate, "policy", "uri"));
    fields.add("policy.digest", member(predicate, "policy", "digest", "sha256"));
    fields.add("result", member(predicate, "verificationResult"));
    fields.each("level", member(predicate, "verifiedLevels"));
    fields.time("verified.time", member(predicate, "timeVerified"));
  },
};

/** https://slsa.dev/verification_summary/v0.2 : snake case, and levels without tracks. */
const v02: PredicateKind = {
  types: ["https://slsa.dev/verification_summary/v0.2"],
  title: "SLSA verification summary v0.2",
  check: (shape) =>
    shape
      .object("verifier", (verifier) => verifier.text("id"))
      .time("time_verified")
      .text("resource_uri")
      .object("policy")
      .text("verification_result", ["PASSED", "FAILED"])
      .text("policy_level"),
  fields: (fields, predicate) => {
    fields.add("verifier.id", member(predicate, "verifier", "id"));
    fields.add("resource.uri", member(predicate, "resource_uri"));
    fields.add("policy.uri", member(predicate, "policy", "uri"));
    fields.add("policy.digest", member(predicate, "policy", "digest", "sha256"));
    fields.add("result", member(predicate, "verification_result"));
    fields.add("level", member(predicate, "policy_level"));
    fields.time("verified.time", member(predicate, "time_verified"));
  },
};

/** in-toto predicates/svr.md; 0.2 adds the policies. */
const result: PredicateKind = {
  types: ["https://in-toto.io/attestation/svr/v0.2", "https://in-toto.io/attestation/svr/v0.1"],
  title: "simple verification result",
  check: (shape) =>
    shape
      .object("verifier", (verifier) => verifier.text("id"))
      .time("timeCreated")
      .texts("properties", 0)
      .optional("policies", (it) => it.objects("policies", 0)),
  fields: (fields, predicate) => {
    fields.add("verifier.id", member(predicate, "verifier", "id"));
    fields.each("policy.uri", member(predicate, "policies"), "uri");
    fields.each("policy.digest", member(predicate, "policies"), "digest", "sha256");
    fields.each("level", member(predicate, "properties"));
    fields.time("verified.time", member(predicate, "timeCreated"));
  },
};

export const SUMMARY_KINDS: readonly PredicateKind[] = [v1, v02, result];
