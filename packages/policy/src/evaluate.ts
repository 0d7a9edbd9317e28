import { isDigest } from "@assay/evidence";
import type { Digest } from "@assay/evidence";
import { consider } from "./candidate.ts";
import type { Considered } from "./candidate.ts";
import { describeMissing, objectionTo } from "./check.ts";
import type { CheckContext } from "./check.ts";
import type { Decision, DecisionRequest, Rejection, RuleOutcome, Satisfaction } from "./decision.ts";
import { countDistinct, isIdentity, showIdentity } from "./identity.ts";
import type { KnownSigner, Signer } from "./identity.ts";
import { member, textList } from "./json-member.ts";
import { LIMITS } from "./limits.ts";
import type { Rule, RuleKind } from "./policy.ts";
import { quote, showText } from "./quote.ts";
import { REJECTIONS } from "./rejection.ts";
import type { Objection } from "./rejection.ts";
import { RULE_KINDS } from "./schema.ts";
import { buildLevel } from "./slsa-level.ts";
import { knownTrust } from "./trust-names.ts";

/**
 * Decides whether an artifact may be used: allowed only if the policy has rules and every one of them is satisfied.
 *
 * Pure, synchronous, bounded, and total: it never throws, and whatever goes wrong denies. The same request gives the same decision,
 * byte for byte in canonical JSON, whatever the candidates' order or repetition.
 *
 * Monotonic: leaving candidates out can never turn denied into allowed, because each candidate is judged by itself and more signatures
 * never lower the count of distinct identities. The one exception denies too: more than `LIMITS.candidates` are not looked at.
 */
export function evaluate(request: DecisionRequest): Decision {
  try {
    return evaluateOrThrow(request);
  } catch (error) {
    // Only a request whose very reading throws (a getter, a proxy) comes here: nothing of it can be repeated, so nothing of it is.
    return decide(undefined, [], [], `The request cannot be read: ${quote(message(error))}.`);
  }
}

function evaluateOrThrow(request: DecisionRequest): Decision {
  const broken = defectOf(request);
  const rules = readRules(request);
  if (broken !== undefined || rules.length === 0) {
    return decide(
      request,
      [],
      rules.map((rule) => failed(rule, broken ?? "")),
      broken ?? "The policy has no rules: nothing is allowed by nothing.",
    );
  }
  const { policyDigest, asOf, time } = request;
  const { digest, repository } = request.artifact;
  const artifact = { digest, repository };
  const context: CheckContext = { policyDigest, artifact, asOf, time, trust: knownTrust(request.trust) };
  const candidates = request.candidates.map((candidate) => consider(candidate, digest));
  return decide(
    request,
    candidates,
    rules.map((rule) => judge(rule, candidates, context)),
  );
}

/** What makes the request itself unanswerable, if anything. Its types exclude all of it; its callers may be wrong all the same. */
function defectOf(request: DecisionRequest): string | undefined {
  const { policyDigest, artifact, candidates, asOf, time, trust, policy } = request;
  if (!isDigest(artifact.digest)) return "The artifact is not named by a sha256 digest.";
  if (!isDigest(policyDigest)) return "The policy is not named by a sha256 digest.";
  if (!Number.isSafeInteger(time) || time < 0) return "The decision's time is not one.";
  if (asOf !== null && !Number.isSafeInteger(asOf)) return "The sequence as of which to decide is not one.";
  if (typeof trust.org !== "string" || !Number.isSafeInteger(trust.version)) return "The trust version is not named.";
  if (trust.names !== undefined && textList(trust.names, LIMITS.trustNames) === undefined)
    return "The names in the trust version are not a list of texts that can be read.";
  if (artifact.repository !== undefined && typeof artifact.repository !== "string")
    return "The repository's name is not a text.";
  if (typeof policy.name !== "string") return "The policy has no name.";
  if (Array.isArray(policy.rules) && policy.rules.length > LIMITS.rules)
    return `The policy has more than ${LIMITS.rules} rules.`;
  if (!Array.isArray(candidates)) return "The candidates are not a list.";
  if (candidates.length > LIMITS.candidates) {
    return `There are ${candidates.length} candidates; at most ${LIMITS.candidates} are looked at. Leave out those that no trusted identity signed.`;
  }
  return undefined;
}

function readRules({ policy }: DecisionRequest): readonly Rule[] {
  // What the types exclude a caller may have given all the same.
  const given: unknown = policy.rules;
  return Array.isArray(given) ? policy.rules.slice(0, LIMITS.rules) : [];
}

function judge(rule: Rule, candidates: readonly Considered[], context: CheckContext): RuleOutcome {
  try {
    return judgeOrThrow(rule, candidates, context);
  } catch (error) {
    return failed(rule, `The rule could not be evaluated: ${quote(message(error))}.`);
  }
}

function judgeOrThrow(rule: Rule, candidates: readonly Considered[], context: CheckContext): RuleOutcome {
  if (!isRuleKind(rule.kind)) throw new TypeError("a rule of no known kind");
  if (!(rule.atLeast >= 1) || rule.identities.length === 0) throw new TypeError("a rule that asks for nobody");
  const counted: { evidence: Digest; signer: KnownSigner; satisfaction: Satisfaction }[] = [];
  const open: KnownSigner[] = [];
  const rejected: Rejection[] = [];
  let failures = 0;
  for (const candidate of candidates) {
    const objection = check(candidate, rule, context);
    const signer = candidate.form === "verified" ? showSigner(candidate.signer) : undefined;
    if (objection === undefined && candidate.form === "verified") {
      counted.push({
        evidence: candidate.evidence,
        signer: candidate.signer,
        satisfaction: satisfaction(candidate, rule),
      });
      continue;
    }
    const reason = objection ?? { code: "check-failed" as const, reason: "Only a verified candidate can count." };
    const { kind } = REJECTIONS[reason.code];
    if (kind === "error") failures++;
    if (kind === "unknown" && candidate.form === "verified") open.push(candidate.signer);
    rejected.push({ evidence: candidate.evidence, ...(signer === undefined ? {} : { signer }), ...reason });
  }
  const signers = counted.map(({ signer }) => signer);
  const distinct = countDistinct(rule.identities, signers);
  const outcome =
    distinct >= rule.atLeast
      ? "satisfied"
      : failures > 0
        ? "error"
        : countDistinct(rule.identities, [...signers, ...open]) >= rule.atLeast
          ? "unknown"
          : "unsatisfied";
  const satisfiedBy = unique(counted.map((one) => one.satisfaction)).sort(bySatisfaction);
  const rejections = unique(rejected).sort(byNearness);
  return {
    rule: showText(rule.id),
    kind: rule.kind,
    outcome,
    ...establishes(rule, outcome),
    satisfiedBy: satisfiedBy.slice(0, LIMITS.satisfiedListed),
    ...beyond("satisfiedNotListed", satisfiedBy.length - LIMITS.satisfiedListed),
    ...(outcome === "satisfied" ? {} : { missing: showText(describeMissing(rule, distinct, context)) }),
    rejected: rejections.slice(0, LIMITS.rejectionsListed),
    ...beyond("rejectedNotListed", rejections.length - LIMITS.rejectionsListed),
  };
}

/** The levels that a satisfied rule establishes: those it demands, which is what was checked. */
function establishes(rule: Rule, outcome: RuleOutcome["outcome"]): Pick<RuleOutcome, "levels"> {
  if (outcome !== "satisfied") return {};
  const levels =
    rule.kind === "summary"
      ? rule.levels
      : rule.kind === "provenance" && rule.level !== undefined
        ? [buildLevel(rule.level)]
        : [];
  return levels.length === 0 ? {} : { levels: [...levels].sort(byCodeUnit) };
}

/** A failure in one candidate's check is that candidate's: it must not hide another that counts, or dropping it would allow. */
function check(candidate: Considered, rule: Rule, context: CheckContext): Objection | undefined {
  try {
    return objectionTo(candidate, rule, context);
  } catch (error) {
    return { code: "check-failed", reason: `The check of this candidate failed: ${quote(message(error))}.` };
  }
}

function satisfaction(candidate: Extract<Considered, { form: "verified" }>, rule: Rule): Satisfaction {
  const { evidence, signer, time } = candidate;
  return {
    evidence,
    signer: showSigner(signer),
    identities: rule.identities
      .filter((identity) => isIdentity(signer, identity))
      .map((identity) => showText(showIdentity(identity))),
    time: time === null ? null : { source: time.source, time: time.time, evidence: showText(time.evidence) },
  };
}

function isRuleKind(kind: unknown): kind is RuleKind {
  return typeof kind === "string" && Object.hasOwn(RULE_KINDS, kind);
}

function failed(rule: unknown, why: string): RuleOutcome {
  const [id, kind] = [member(rule, "id"), member(rule, "kind")];
  return {
    rule: typeof id === "string" ? showText(id) : "?",
    kind: isRuleKind(kind) ? kind : "invalid",
    outcome: "error",
    satisfiedBy: [],
    missing: why,
    rejected: [],
  };
}

function decide(
  request: unknown,
  candidates: readonly Considered[],
  rules: readonly RuleOutcome[],
  broken?: string,
): Decision {
  const allowed = broken === undefined && rules.length > 0 && rules.every((rule) => rule.outcome === "satisfied");
  const repository = member(request, "artifact", "repository");
  const evidence = candidates.map((candidate) => candidate.evidence).filter((digest) => digest !== null);
  return {
    version: 1,
    result: allowed ? "allowed" : "denied",
    subject: text(member(request, "artifact", "digest")) as Digest,
    ...(typeof repository === "string" ? { repository: showText(repository) } : {}),
    policy: { digest: text(member(request, "policyDigest")) as Digest, name: text(member(request, "policy", "name")) },
    trust: { org: text(member(request, "trust", "org")), version: integer(member(request, "trust", "version")) ?? -1 },
    asOf: integer(member(request, "asOf")),
    time: integer(member(request, "time")) ?? -1,
    evidence: [...new Set(evidence)].sort(byCodeUnit),
    rules,
    reasons: rules.length === 0 ? [broken ?? ""] : rules.map(reasonOf),
  };
}

function reasonOf(rule: RuleOutcome): string {
  switch (rule.outcome) {
    case "satisfied": {
      const names = [...new Set(rule.satisfiedBy.flatMap((one) => one.identities))].sort(byCodeUnit);
      return `${rule.rule}: satisfied by ${names.join(", ")}.`;
    }
    case "unsatisfied":
      return `${rule.rule}: not satisfied; missing: ${rule.missing ?? ""}.${nearestMiss(rule)}`;
    case "unknown":
      return `${rule.rule}: unknown, which is not enough; missing: ${rule.missing ?? ""}.${nearestMiss(rule)}`;
    case "error":
      return `${rule.rule}: an error, which denies; ${(rule.missing ?? "").replace(/\.$/, "")}.${nearestMiss(rule)}`;
  }
}

function nearestMiss(rule: RuleOutcome): string {
  const [nearest] = rule.rejected;
  if (nearest === undefined) return " There is no evidence at all.";
  return nearest.code === "other-predicate-type"
    ? " There is only evidence of other types."
    : ` Nearest: ${nearest.reason}`;
}

function showSigner({ keyId, principal, entry, name }: KnownSigner): Signer {
  // The principal only where it says something: decisions about keys stay, byte for byte, what they were.
  return { keyId, ...(principal === keyId ? {} : { principal }), entry: showText(entry), name: showText(name) };
}

function text(value: unknown): string {
  return typeof value === "string" ? showText(value) : quote(value);
}

function integer(value: unknown): number | null {
  return typeof value === "number" && Number.isSafeInteger(value) ? value : null;
}

function message(error: unknown): unknown {
  return error instanceof Error ? error.message : error;
}

function beyond<K extends string>(key: K, count: number): { [P in K]?: number } {
  return (count > 0 ? { [key]: count } : {}) as { [P in K]?: number };
}

/** The items without repetitions; two are the same if their JSON is, which holds because they are all built by the same code. */
function unique<T>(items: readonly T[]): T[] {
  return [...new Map(items.map((item) => [JSON.stringify(item), item])).values()];
}

function bySatisfaction(a: Satisfaction, b: Satisfaction): number {
  return byCodeUnit(a.evidence, b.evidence) || byCodeUnit(JSON.stringify(a), JSON.stringify(b));
}

function byNearness(a: Rejection, b: Rejection): number {
  const near = REJECTIONS[b.code].nearness - REJECTIONS[a.code].nearness;
  return near || byCodeUnit(a.evidence ?? "", b.evidence ?? "") || byCodeUnit(JSON.stringify(a), JSON.stringify(b));
}

/** Order that depends on no locale. */
function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
