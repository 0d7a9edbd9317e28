import { isIdentity, showIdentity } from "./identity.ts";
import type { KnownSigner } from "./identity.ts";
import { member, ownMembers } from "./json-member.ts";
import { LIMITS } from "./limits.ts";
import type { ProvenanceRule } from "./policy.ts";
import { PREDICATE_TYPE } from "./predicate-types.ts";
import { readSource } from "./provenance-source.ts";
import type { AssertedSource, SourceFields } from "./provenance-source.ts";
import { quote, showText } from "./quote.ts";
import type { Objection } from "./rejection.ts";
import { BUILD_LEVELS } from "./slsa-level.ts";

/** A value in a statement, and where. */
type Field = { readonly value: unknown; readonly at: string };

/** What the rule reads of provenance, wherever its version keeps it. */
type Provenance = {
  readonly builder: Field;
  readonly buildType: Field;
  /** The parameters under outside control; `value` undefined means that there are none. */
  readonly parameters: Field;
  readonly parametersRequired: boolean;
  readonly source: SourceFields;
  /** On what kind of machine it ran, as GitHub writes it. */
  readonly runner: Field;
};

/** SLSA v1: https://slsa.dev/spec/v1.2/provenance ; v0.2: https://slsa.dev/provenance/v0.2 . */
function readProvenance(predicateType: string, predicate: unknown): Provenance {
  const field = (...keys: string[]): Field => ({
    value: member(predicate, ...keys),
    at: `$.predicate.${keys.join(".")}`,
  });
  if (predicateType === PREDICATE_TYPE.provenanceV1) {
    return {
      builder: field("runDetails", "builder", "id"),
      buildType: field("buildDefinition", "buildType"),
      parameters: field("buildDefinition", "externalParameters"),
      parametersRequired: true,
      source: {
        named: [
          field("buildDefinition", "externalParameters", "workflow"),
          field("buildDefinition", "externalParameters", "source"),
        ],
        resolved: field("buildDefinition", "resolvedDependencies"),
      },
      runner: field("buildDefinition", "internalParameters", "github", "runner_environment"),
    };
  }
  return {
    builder: field("builder", "id"),
    buildType: field("buildType"),
    parameters: field("invocation", "parameters"),
    parametersRequired: false,
    source: { named: [field("invocation", "configSource")], resolved: field("materials") },
    runner: field("invocation", "environment", "github_runner_environment"),
  };
}

/**
 * What stands against this provenance for the rule; `undefined` if nothing does. The steps are those of SLSA "verifying artifacts"
 * (https://slsa.dev/spec/v1.2/verifying-artifacts): of step 1 the builder with its signer, where it ran, and the level the two reach; of
 * step 2 build type, external parameters, source. Step 3, the dependencies, is not taken: see docs/policy.md.
 */
export function objectionToProvenance(
  predicateType: string,
  predicate: unknown,
  { signer, claims }: { readonly signer: KnownSigner; readonly claims: ReadonlyMap<string, string> },
  rule: ProvenanceRule,
): Objection | undefined {
  const provenance = readProvenance(predicateType, predicate);
  return (
    objectionToBuilder(provenance, signer, rule) ??
    objectionToRunner(provenance, claims, rule) ??
    objectionToLevel(provenance, signer, rule) ??
    objectionToBuildType(provenance, rule) ??
    objectionToParameters(provenance, rule) ??
    objectionToSource(provenance, rule)
  );
}

function objectionToBuilder({ builder }: Provenance, signer: KnownSigner, rule: ProvenanceRule): Objection | undefined {
  const id = builder.value;
  const found = { path: builder.at, observed: quote(id) };
  if (typeof id !== "string" || id === "")
    return { code: "builder-unknown", reason: "The provenance does not name its builder.", ...found };
  const accepted = rule.builders.find((candidate) => candidate.id === id);
  if (accepted === undefined)
    return {
      code: "builder-mismatch",
      reason: `The builder is ${quote(id)}, which the rule does not accept.`,
      ...found,
    };
  if (accepted.identities.some((identity) => isIdentity(signer, identity))) return undefined;
  const who = accepted.identities.map((identity) => showText(showIdentity(identity))).join(", ");
  return { code: "builder-signer-mismatch", reason: `For this builder only ${who} may sign.`, ...found };
}

/** The claim of a certificate that says on what kind of machine a workflow ran (Fulcio, extension 1.3.6.1.4.1.57264.1.11). */
const RUNNER_CLAIM = "runnerEnvironment";
const SELF_HOSTED = "self-hosted";

/**
 * Where the build ran. A build platform's levels are those of its own machines: whoever hosts a runner can reach into the build, so such a
 * build reaches level 1 whatever the table says of the builder. What the certificate says goes before what the provenance says, and
 * either of them suffices to say "self-hosted".
 */
function objectionToRunner(
  { runner }: Provenance,
  claims: ReadonlyMap<string, string>,
  rule: ProvenanceRule,
): Objection | undefined {
  const claimed = claims.get(RUNNER_CLAIM);
  const certified: Field = { value: claimed, at: "signer.certificate.claims" };
  const said = [certified, runner].filter(({ value }) => value !== undefined);
  const mismatch_ = (found: Field, reason: string): Objection => ({
    code: "runner-mismatch",
    reason,
    path: found.at,
    observed: quote(found.value),
  });
  const selfHosted = said.find(({ value }) => value === SELF_HOSTED);
  if (selfHosted !== undefined && rule.level !== undefined && rule.level > BUILD_LEVELS.lowest) {
    return mismatch_(
      selfHosted,
      `It was built on a self-hosted machine, which reaches level ${BUILD_LEVELS.lowest}; level ${rule.level} is asked for.`,
    );
  }
  if (rule.runner === undefined) return undefined;
  const other = said.find(({ value }) => value !== rule.runner);
  if (other !== undefined)
    return mismatch_(other, `It was built on a machine of kind ${quote(other.value)}, not ${quote(rule.runner)}.`);
  if (said.length > 0) return undefined;
  return {
    code: "runner-unknown",
    reason: "Neither certificate nor provenance says on what kind of machine it was built.",
    path: runner.at,
    observed: quote(undefined),
  };
}

function objectionToLevel({ builder }: Provenance, signer: KnownSigner, rule: ProvenanceRule): Objection | undefined {
  if (rule.level === undefined) return undefined;
  const reached = rule.builders
    .filter(({ id, identities }) => id === builder.value && identities.some((identity) => isIdentity(signer, identity)))
    .reduce((best, { level }) => Math.max(best, level), 0);
  if (reached >= rule.level) return undefined;
  return {
    code: "level-too-low",
    reason: `By the rule's table this builder reaches build level ${reached}; level ${rule.level} is asked for.`,
    path: builder.at,
    observed: quote(builder.value),
  };
}

function objectionToBuildType({ buildType }: Provenance, rule: ProvenanceRule): Objection | undefined {
  if (rule.buildTypes === undefined) return undefined;
  const type = buildType.value;
  const found = { path: buildType.at, observed: quote(type) };
  if (typeof type !== "string" || type === "")
    return { code: "build-type-unknown", reason: "The provenance does not name its build type.", ...found };
  if (rule.buildTypes.includes(type)) return undefined;
  return {
    code: "build-type-mismatch",
    reason: `The build type is ${quote(type)}, which the rule does not accept.`,
    ...found,
  };
}

function objectionToParameters(
  { parameters, parametersRequired }: Provenance,
  rule: ProvenanceRule,
): Objection | undefined {
  if (rule.externalParameters === undefined) return undefined;
  if (parameters.value === undefined && !parametersRequired) return undefined;
  const object = ownMembers(parameters.value);
  const names = object === undefined ? [] : Object.keys(object);
  if (object === undefined || names.length > LIMITS.predicateItems) {
    return {
      code: "parameters-unknown",
      reason: "The build's external parameters cannot be read.",
      path: parameters.at,
      observed: quote(parameters.value),
    };
  }
  const allowed = new Set(rule.externalParameters);
  const [extra] = names.filter((name) => !allowed.has(name)).sort();
  if (extra === undefined) return undefined;
  return {
    code: "parameter-unexpected",
    reason: `The build had the external parameter ${quote(extra)}, which the rule does not allow.`,
    path: parameters.at,
    observed: quote(extra),
  };
}

function objectionToSource(provenance: Provenance, rule: ProvenanceRule): Objection | undefined {
  const expected = rule.source;
  if (expected === undefined) return undefined;
  const source = readSource(provenance.source);
  if ("code" in source) return source;
  if (source.repository !== expected.repository) {
    return mismatch(
      "source-mismatch",
      `It was built from ${quote(source.repository)}, not from ${quote(expected.repository)}.`,
      source.at,
      source.repository,
    );
  }
  return objectionToRef(source, expected.refs) ?? objectionToPath(source, expected.path);
}

function objectionToRef(
  { ref, refAt }: AssertedSource,
  expected: readonly string[] | undefined,
): Objection | undefined {
  if (expected === undefined) return undefined;
  if (ref === undefined) {
    return mismatch("ref-unknown", "The provenance does not say from which branch or tag it was built.", refAt, ref);
  }
  if (expected.includes(ref)) return undefined;
  return mismatch(
    "ref-mismatch",
    `It was built from ${quote(ref)}, not from ${expected.map(quote).join(" or ")}.`,
    refAt,
    ref,
  );
}

function objectionToPath({ path, pathAt }: AssertedSource, expected: string | undefined): Objection | undefined {
  if (expected === undefined || path === expected) return undefined;
  if (path === undefined) {
    return mismatch("path-unknown", "The provenance does not say which file defined the build.", pathAt, path);
  }
  return mismatch("path-mismatch", `The build was defined by ${quote(path)}, not by ${quote(expected)}.`, pathAt, path);
}

function mismatch(code: Objection["code"], reason: string, path: string, observed: unknown): Objection {
  return { code, reason, path, observed: quote(observed) };
}
