/** Is that enough? See README.md; the language is described in docs/policy.md. */
export type { Candidate } from "./candidate.ts";
export {
  type Decision,
  type DecisionRequest,
  decisionDigest,
  type Rejection,
  type RuleOutcome,
  type Satisfaction,
} from "./decision.ts";
export { parseDuration, showDuration } from "./duration.ts";
export { evaluate } from "./evaluate.ts";
export { explain } from "./explain.ts";
export { type Identity, type Signer, showIdentity } from "./identity.ts";
export { LIMITS as POLICY_LIMITS } from "./limits.ts";
export { type ParsedPolicy, type PolicyError, parsePolicy } from "./parse.ts";
export type {
  AgeRule,
  EvidenceRule,
  SignatureRule,
  Policy,
  ProvenanceRule,
  Rule,
  RuleKind,
  SummaryRule,
  TestsRule,
} from "./policy.ts";
export { PREDICATE_TYPE, SIGNATURE_TYPES } from "./predicate-types.ts";
export { type Objection, REJECTIONS, type RejectionCode } from "./rejection.ts";
export { policySchema } from "./schema.ts";
export { trustNames } from "./trust-names.ts";
export { VSA_PREDICATE_TYPE, type VsaContext, vsaPredicate } from "./verification-summary.ts";
export { type PredicateField, usefulFields } from "./predicates/predicate-fields.ts";
export type { ShapeFault, ShapeProblem } from "./predicates/shape.ts";
export {
  describeProblem,
  type PredicateReading,
  predicateTitle,
  readPredicate,
  recognisedPredicateTypes,
} from "./predicates/table.ts";
export { parseSourceUri, parseRepositoryUrl, type RepositoryUrl, type SourceUri } from "./repository-url.ts";
