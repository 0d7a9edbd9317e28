import { parseDigest } from "@assay/evidence";
import type { Digest } from "@assay/evidence";
import { parseDuration } from "./duration.ts";
import { parseIdentity } from "./identity.ts";
import type { Identity } from "./identity.ts";
import { PREDICATE_TYPE } from "./predicate-types.ts";
import { parseRepositoryUrl } from "./repository-url.ts";
import type { RepositoryUrl } from "./repository-url.ts";
import type { PolicyFile } from "./schema.ts";
import { BUILD_LEVELS } from "./slsa-level.ts";

/** What every rule has, whatever it asks for. */
type RuleBase = {
  readonly id: string;
  readonly description?: string;
  /** Whose evidence counts. */
  readonly identities: readonly Identity[];
  /** Whose evidence never counts. */
  readonly except: readonly Identity[];
  /** How many different identities must have said it; 1 or more. */
  readonly atLeast: number;
  /** How old the evidence may be, in milliseconds; null for any age. */
  readonly maximumAge: number | null;
};

/** Somebody signed it, by whatever tool. */
export type SignatureRule = RuleBase & { readonly kind: "signature" };
/** Evidence of a type exists. */
export type EvidenceRule = RuleBase & { readonly kind: "evidence"; readonly predicateType: string };
/** Evidence of a type exists and is provably young enough: `maximumAge` is never null. */
export type AgeRule = RuleBase & { readonly kind: "age"; readonly predicateType: string; readonly maximumAge: number };
/** Tests passed. */
export type TestsRule = RuleBase & {
  readonly kind: "tests";
  readonly predicateType: string;
  readonly passed: readonly string[];
};
/** A builder made it, from a source. */
export type ProvenanceRule = RuleBase & {
  readonly kind: "provenance";
  /** Which builder and signer belong together, and which build level the pair can reach at most. */
  readonly builders: readonly {
    readonly id: string;
    readonly identities: readonly Identity[];
    /** 1 where the policy does not say: SLSA's default for a builder of which nothing is known. */
    readonly level: number;
  }[];
  /** The build level demanded; absent if none is. */
  readonly level?: number;
  /** The kind of machine the build must have run on, as the certificate or the provenance says it; absent for any. */
  readonly runner?: string;
  readonly source?: { readonly repository: RepositoryUrl; readonly refs?: readonly string[]; readonly path?: string };
  readonly buildTypes?: readonly string[];
  /** Names of allowed external parameters; absent if they are not looked at. */
  readonly externalParameters?: readonly string[];
};

/** Somebody else verified it, and says what. */
export type SummaryRule = RuleBase & {
  readonly kind: "summary";
  readonly predicateType: string;
  /** Which verifier and signer belong together. */
  readonly verifiers: readonly { readonly id: string; readonly identities: readonly Identity[] }[];
  /** What the summary may be about, with `{digest}` and `{repository}` standing for the artifact's. */
  readonly resources: readonly string[];
  /** What it must say was verified; a level is met by a higher one of its track. */
  readonly levels: readonly string[];
  /** By which policies, by digest; absent for any. */
  readonly policies?: readonly Digest[];
  /** On which branches or tags a source revision must have been; absent if they are not looked at. */
  readonly refs?: readonly string[];
};

export type Rule = SignatureRule | EvidenceRule | AgeRule | TestsRule | ProvenanceRule | SummaryRule;
export type RuleKind = Rule["kind"];

/** A policy as evaluated: plain data, made by `parsePolicy` only. */
export type Policy = {
  readonly version: 1;
  readonly name: string;
  readonly description?: string;
  readonly rules: readonly Rule[];
};

/** The meaning of a policy file that the schema has accepted. */
export function policyOf(file: PolicyFile): Policy {
  return {
    version: file.version,
    name: file.name,
    ...present("description", file.description),
    rules: file.rules.map(ruleOf),
  };
}

function ruleOf(file: PolicyFile["rules"][number]): Rule {
  const named = { id: file.id, ...present("description", file.description) };
  if (file.signature !== undefined) {
    return { ...named, ...who(file.signature), kind: "signature", atLeast: file.signature.atLeast ?? 1 };
  }
  if (file.evidence !== undefined) {
    const { predicateType, atLeast } = file.evidence;
    return { ...named, ...who(file.evidence), kind: "evidence", predicateType, atLeast: atLeast ?? 1 };
  }
  if (file.age !== undefined) {
    const { predicateType, maximum } = file.age;
    return { ...named, ...who(file.age), kind: "age", predicateType, maximumAge: milliseconds(maximum) };
  }
  if (file.tests !== undefined) {
    const { predicateType, passed } = file.tests;
    return {
      ...named,
      ...who(file.tests),
      kind: "tests",
      predicateType: predicateType ?? PREDICATE_TYPE.testResult,
      passed: passed ?? [],
    };
  }
  if (file.provenance !== undefined) {
    const { identities, builders, source, buildTypes, externalParameters, level, runner } = file.provenance;
    const anyone = identities.map(parseIdentity);
    return {
      ...named,
      ...who(file.provenance),
      kind: "provenance",
      builders: builders.map((builder) =>
        typeof builder === "string"
          ? { id: builder, identities: anyone, level: BUILD_LEVELS.lowest }
          : {
              id: builder.id,
              identities: builder.identities?.map(parseIdentity) ?? anyone,
              level: builder.level ?? BUILD_LEVELS.lowest,
            },
      ),
      ...present("level", level),
      ...present("runner", runner),
      ...(source === undefined ? {} : { source: sourceOf(source) }),
      ...present("buildTypes", buildTypes),
      ...present("externalParameters", externalParameters),
    };
  }
  if (file.summary !== undefined) {
    const { identities, verifiers, resource, levels, policies, ref } = file.summary;
    const anyone = identities.map(parseIdentity);
    return {
      ...named,
      ...who(file.summary),
      kind: "summary",
      predicateType: PREDICATE_TYPE.verificationSummary,
      verifiers: verifiers.map((verifier) =>
        typeof verifier === "string"
          ? { id: verifier, identities: anyone }
          : { id: verifier.id, identities: verifier.identities.map(parseIdentity) },
      ),
      resources: listed(resource),
      levels: levels ?? [],
      ...present("policies", policies?.map(parseDigest)),
      ...present("refs", ref === undefined ? undefined : listed(ref)),
    };
  }
  throw new TypeError(`Rule ${file.id} has no kind: the schema must not accept it.`);
}

type Source = NonNullable<NonNullable<PolicyFile["rules"][number]["provenance"]>["source"]>;

function sourceOf({ repository, ref, path }: Source): NonNullable<ProvenanceRule["source"]> {
  const address = parseRepositoryUrl(repository);
  if (address === undefined) throw new TypeError("The schema must not accept an address that is not comparable.");
  return {
    repository: address,
    ...present("refs", ref === undefined ? undefined : listed(ref)),
    ...present("path", path),
  };
}

function listed(value: string | string[]): readonly string[] {
  return typeof value === "string" ? [value] : value;
}

type Who = { identities: string[]; except?: string[] | undefined; maximumAge?: string | undefined };

function who(body: Who): Pick<RuleBase, "identities" | "except" | "atLeast" | "maximumAge"> {
  return {
    identities: body.identities.map(parseIdentity),
    except: (body.except ?? []).map(parseIdentity),
    atLeast: 1,
    maximumAge: body.maximumAge === undefined ? null : milliseconds(body.maximumAge),
  };
}

function milliseconds(duration: string): number {
  const length = parseDuration(duration);
  if (length === undefined) throw new TypeError("The schema must not accept a text that is no duration.");
  return length;
}

/** An object with `key` if there is a value, and without it if not: an absent key and `undefined` are not the same in JSON. */
function present<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return (value === undefined ? {} : { [key]: value }) as { [P in K]?: V };
}
