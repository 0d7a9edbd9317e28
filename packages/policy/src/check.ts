import type { Digest } from "@assay/evidence";
import type { Considered } from "./candidate.ts";
import { showDuration } from "./duration.ts";
import { holdsKeyOf, isIdentity, showIdentity } from "./identity.ts";
import type { Identity, KnownSigner } from "./identity.ts";
import { LIMITS } from "./limits.ts";
import type { Rule } from "./policy.ts";
import { PREDICATE_TYPE, SIGNATURE_TYPES } from "./predicate-types.ts";
import { objectionToProvenance } from "./provenance.ts";
import { quote, showText } from "./quote.ts";
import type { Objection } from "./rejection.ts";
import { objectionToTests } from "./test-result.ts";
import { describeStrangers } from "./trust-names.ts";
import type { KnownTrust } from "./trust-names.ts";
import { objectionToSummaryFor } from "./summary-rule.ts";
import { describeProblem, readPredicate } from "./predicates/table.ts";
import { objectionToSummary } from "./verification-summary.ts";

/** What a check may know besides rule and candidate. */
export type CheckContext = {
  readonly policyDigest: Digest;
  readonly artifact: { readonly digest: Digest; readonly repository: string | undefined };
  readonly asOf: number | null;
  readonly time: number;
  /** Undefined if the request does not tell whom trust lists. */
  readonly trust: KnownTrust | undefined;
};

type Verified = Extract<Considered, { form: "verified" }>;

/** The predicate types that a rule reads. */
export function predicateTypesOf(rule: Rule): readonly string[] {
  switch (rule.kind) {
    case "signature":
      return SIGNATURE_TYPES;
    case "provenance":
      return [PREDICATE_TYPE.provenanceV1, PREDICATE_TYPE.provenanceV02];
    default:
      return [rule.predicateType];
  }
}

/**
 * What stands against `candidate` counting for `rule`; `undefined` if nothing does.
 *
 * The answer depends on this one candidate alone, never on the others: that is the other half of what keeps a decision monotonic (the
 * first is `countDistinct`).
 */
export function objectionTo(candidate: Considered, rule: Rule, context: CheckContext): Objection | undefined {
  const otherType = objectionToType(candidate, rule);
  if (otherType !== undefined) return otherType;
  switch (candidate.form) {
    case "malformed":
      return { code: "candidate-malformed", reason: `The candidate is not one: ${candidate.why}.` };
    case "refused":
      return {
        code: "refused",
        reason: `Its verification refused it (${quote(candidate.code)}): ${quote(candidate.message)}.`,
        observed: quote(candidate.code),
      };
    case "reported":
      return { code: "reported", reason: "It is an unsigned report: shown, but never counted as verified." };
    case "verified":
      return (
        objectionToSubject(candidate) ??
        objectionToSigner(candidate, rule) ??
        objectionToTime(candidate, rule, context) ??
        objectionToContent(candidate, rule, context) ??
        objectionToForm(candidate)
      );
  }
}

function objectionToType(candidate: Considered, rule: Rule): Objection | undefined {
  const type = candidate.form === "malformed" ? undefined : candidate.predicateType;
  // A refused bundle may be too damaged to have a type: then it is shown as refused at every rule.
  if (type === undefined || predicateTypesOf(rule).includes(type)) return undefined;
  return {
    code: "other-predicate-type",
    reason: `It is of type ${quote(type)}.`,
    path: "$.predicateType",
    observed: quote(type),
  };
}

function objectionToSubject(candidate: Verified): Objection | undefined {
  if (candidate.subjects.length > 0) return undefined;
  return {
    code: "subject-mismatch",
    reason: "Its statement does not name the artifact's sha256 digest, though it was given as evidence about it.",
    path: "$.subject",
  };
}

function objectionToSigner({ signer }: Verified, rule: Rule): Objection | undefined {
  const excepted = rule.except.find((identity) => holdsKeyOf(signer, identity));
  if (excepted !== undefined) {
    const who = showText(showIdentity(excepted));
    const signed = excepted.kind === "key" ? "which signed it" : "whose key signed it";
    return { code: "excepted-signer", reason: `The rule excepts ${who}, ${signed}.` };
  }
  if (rule.identities.some((identity) => isIdentity(signer, identity))) return undefined;
  const named = rule.identities.find((identity) => holdsKeyOf(signer, identity));
  const but =
    named === undefined
      ? "whom the rule does not name"
      : `whose key is also that of ${showText(showIdentity(named))}, but trusted as such for another scope or time`;
  return { code: "other-signer", reason: `It is signed by ${describeSigner(signer)}, ${but}.` };
}

/** Other names of a signer written out; the rest are counted. */
const OTHER_NAMES = 3;

/** The signer, and under what else the same key is trusted to say this. Ids of entries are left out: people know the names. */
function describeSigner(signer: KnownSigner): string {
  const others = signer.names.filter((name) => name !== signer.name);
  const more = others.length > OTHER_NAMES ? ` and ${others.length - OTHER_NAMES} more` : "";
  const also =
    others.length === 0 ? "" : `, also trusted as ${others.slice(0, OTHER_NAMES).map(quote).join(", ")}${more}`;
  return `${quote(signer.name)} (${describeKey(signer)}${also})`;
}

function describeKey({ kind, keyId, principal }: KnownSigner): string {
  switch (kind) {
    case "key":
      return `key sha256:${keyId}`;
    case "openpgp":
      return `openpgp:${keyId}`;
    case "certificate":
      return `certificate identity ${principal}`;
  }
}

function objectionToTime({ time, sequence }: Verified, rule: Rule, context: CheckContext): Objection | undefined {
  if (context.asOf !== null && sequence !== undefined && sequence > context.asOf) {
    return {
      code: "after-as-of",
      reason: `It was recorded at ${sequence}, after ${context.asOf}, as of which is decided.`,
      observed: String(sequence),
    };
  }
  if (time !== null && time.time > context.time + LIMITS.clockSkew) {
    return {
      code: "time-in-future",
      reason: `Its proven time lies ${showDuration(time.time - context.time)} after the decision's time.`,
      observed: String(time.time),
    };
  }
  if (rule.maximumAge === null) return undefined;
  if (time === null)
    return { code: "time-unproven", reason: "Nothing proves when it was signed, so its age is unknown." };
  const age = context.time - time.time;
  if (age <= rule.maximumAge) return undefined;
  return {
    code: "too-old",
    reason: `It is ${showDuration(age)} old (proven by ${quote(time.evidence)}); at most ${showDuration(rule.maximumAge)} is allowed.`,
    observed: String(time.time),
  };
}

function objectionToContent(candidate: Verified, rule: Rule, context: CheckContext): Objection | undefined {
  switch (rule.kind) {
    case "signature":
      return undefined;
    case "evidence":
    case "age":
      // A summary is the only type whose mere existence may say the opposite of what the rule's author means.
      return candidate.predicateType === PREDICATE_TYPE.verificationSummary
        ? objectionToSummary(candidate.predicate, context.policyDigest)
        : undefined;
    case "tests":
      return objectionToTests(candidate.predicate, rule);
    case "provenance":
      return objectionToProvenance(candidate.predicateType, candidate.predicate, candidate, rule);
    case "summary":
      return objectionToSummaryFor(rule, candidate.predicate, candidate.signer, {
        policyDigest: context.policyDigest,
        artifact: context.artifact,
        subjects: candidate.subjects,
      });
  }
}

/**
 * A predicate of a type that is known must have that type's form, whatever the rule asks of it: half a statement is none. Of a type that is
 * not known nothing can be said but that a rule asks for it by name.
 */
function objectionToForm({ predicateType, predicate }: Verified): Objection | undefined {
  const reading = readPredicate(predicateType, predicate);
  if (!reading.recognised) return undefined;
  const [problem] = reading.problems;
  if (problem === undefined) return undefined;
  const { path, observed } = problem;
  return { code: "predicate-malformed", reason: describeProblem(reading, problem), path, observed };
}

/** What the rule asks for and was not met, as the words that follow "missing: "; and whom it names that trust does not know. */
export function describeMissing(rule: Rule, distinct: number, { trust }: CheckContext): string {
  const found = distinct === 0 ? "" : `; ${distinct} of ${rule.atLeast} found`;
  const strangers = trust === undefined ? undefined : describeStrangers(rule.identities, trust);
  return `${describeNeed(rule)}${found}${strangers === undefined ? "" : `; ${strangers}`}`;
}

function describeNeed(rule: Rule): string {
  const age = rule.maximumAge === null ? "" : `, proven to be at most ${showDuration(rule.maximumAge)} old`;
  switch (rule.kind) {
    case "signature":
      return `a signature by ${describeSigners(rule)}${age}`;
    case "evidence":
      return `evidence of type ${rule.predicateType} signed by ${describeSigners(rule)}${age}`;
    case "age":
      return `evidence of type ${rule.predicateType} signed by ${describeSigners(rule)}${age}`;
    case "tests": {
      const named = rule.passed.length === 0 ? "" : ` that names ${rule.passed.map(quote).join(", ")}`;
      return `a passed test result${named}, signed by ${describeSigners(rule)}${age}`;
    }
    case "provenance": {
      const { source } = rule;
      const refs = source?.refs === undefined ? "" : ` at ${source.refs.map(showText).join(" or ")}`;
      const from = source === undefined ? "" : `, from ${source.repository}${refs}`;
      const path = source?.path === undefined ? "" : `, defined by ${showText(source.path)}`;
      const level = rule.level === undefined ? "" : ` of build level ${rule.level}`;
      return `provenance${level} by builder ${rule.builders.map(({ id }) => id).join(" or ")}${from}${path}, signed by ${describeSigners(rule)}${age}`;
    }
    case "summary": {
      const levels = rule.levels.length === 0 ? "" : ` with ${rule.levels.join(" and ")}`;
      const about = rule.resources.map(showText).join(" or ");
      return `a passed verification summary${levels} about ${about} by verifier ${rule.verifiers.map(({ id }) => id).join(" or ")}, signed by ${describeSigners(rule)}${age}`;
    }
  }
}

function describeSigners({ identities, atLeast }: { identities: readonly Identity[]; atLeast: number }): string {
  const names = identities.map((identity) => showText(showIdentity(identity)));
  if (names.length === 1) return names[0] ?? "";
  return atLeast === 1 ? `one of ${names.join(", ")}` : `${atLeast} different identities of ${names.join(", ")}`;
}
