import { z } from "zod";
import { DURATION_PATTERN, parseDuration } from "./duration.ts";
import { parseIdentity } from "./identity.ts";
import { LIMITS } from "./limits.ts";
import {
  PREDICATE_TYPE,
  SIMPLE_SIGNING_MEDIA_TYPE,
  TEST_RESULT_FAMILY,
  VERIFICATION_SUMMARY_FAMILY,
} from "./predicate-types.ts";
import { isPlainText } from "./quote.ts";
import { parseRepositoryUrl } from "./repository-url.ts";
import { BUILD_LEVELS, isLevelWord, repeatedTrack } from "./slsa-level.ts";

// The policy language. Every key, limit and explanation of it stands here once: the parser, the types and the published JSON Schema
// are all derived from these declarations.

const INVISIBLE = "has invisible or control characters: remove them";

const text = (maximum: number) => z.string().min(1).max(maximum).refine(isPlainText, { error: INVISIBLE });

const listOf = <T extends z.ZodType>(item: T) =>
  z
    .array(item)
    .min(1)
    .max(LIMITS.listed)
    .superRefine((items, context) => {
      const seen = new Set<unknown>();
      items.forEach((entry, index) => {
        if (seen.has(entry))
          context.addIssue({ code: "custom", path: [index], message: "stands in this list twice: keep one" });
        seen.add(entry);
      });
    })
    .meta({ uniqueItems: true });

const identity = text(LIMITS.nameLength)
  .refine((name) => name === name.trim(), { error: "begins or ends with a space: remove it" })
  .refine((name) => !name.toLowerCase().startsWith("sha256:") || /^sha256:[0-9a-f]{64}$/.test(name), {
    error: "is not a key id: write sha256: and 64 lower-case hexadecimal digits",
  })
  .refine((name) => !name.toLowerCase().startsWith("openpgp:") || parseIdentity(name).kind === "openpgp", {
    error: "is not a fingerprint: write openpgp: and all 40 or 64 lower-case hexadecimal digits of the primary key's",
  })
  .meta({
    id: "identity",
    description:
      "Who: the name or id of a trust entry, a key id as sha256:<64 lower-case hexadecimal digits>, or an OpenPGP certificate as openpgp:<fingerprint of its primary key, 40 or 64 of them>. Compared exactly. A name stands for whatever keys and certificates trust gives it now; a key id or fingerprint stands for one key for ever.",
    examples: ["release-key", `sha256:${"0123456789abcdef".repeat(4)}`, `openpgp:${"01234567".repeat(5)}`],
  });

const identities = listOf(identity).describe(
  "Whose evidence counts. Only evidence that verified under the trust version, signed by one of these, is looked at.",
);

const except = listOf(identity).describe(
  "Whose evidence never counts, even if `identities` would let it: a name excludes every key that the trust version holds under it, whatever else the key is called. To exclude a key whether or not trust names it, write its key id.",
);

const duration = z
  .string()
  .regex(DURATION_PATTERN, {
    error: "is not a duration: write a whole number and m, h, d or w, such as 30m (minutes), 12h, 90d, 4w",
  })
  .refine((value) => !DURATION_PATTERN.test(value) || parseDuration(value) !== undefined, {
    error: "is longer than 100 years",
  })
  .meta({
    id: "duration",
    description: "A length of time: a whole number and one of m (minutes), h (hours), d (days of 24 hours), w (weeks).",
    examples: ["30m", "12h", "90d", "4w"],
  });

const maximumAge = duration.describe(
  "How old the evidence may be: the time of the decision minus the evidence's proven time. Evidence whose time is not proven has no known age and does not count.",
);

const uri = z
  .string()
  .max(LIMITS.uriLength)
  .regex(/^[A-Za-z][A-Za-z0-9+.-]*:[!-~]+$/, {
    error: "is not a URI: write it whole, such as https://example.com/type/v1",
  });

const predicateType = z
  .string()
  .max(LIMITS.uriLength)
  .regex(/^(?:[A-Za-z][A-Za-z0-9+.-]*:[!-~]+|application\/[a-z0-9][a-z0-9.+-]*)$/, {
    error:
      "is neither a URI nor a media type: write it whole, such as https://example.com/type/v1 or application/vnd.cncf.notary.payload.v1+json",
  })
  .refine((type) => type !== SIMPLE_SIGNING_MEDIA_TYPE, {
    error: `is the media type of what cosign 2 signs; evidence of it has the type ${PREDICATE_TYPE.simpleSigning}`,
  })
  .refine((type) => !type.startsWith(TEST_RESULT_FAMILY), {
    error: "is read by a `tests` rule, which looks at the result; here a failed run would count",
  })
  .refine((type) => !type.startsWith(VERIFICATION_SUMMARY_FAMILY) || type === PREDICATE_TYPE.verificationSummary, {
    error: `is a verification summary of a version that is not read: use ${PREDICATE_TYPE.verificationSummary}`,
  })
  .meta({
    description:
      "What kind of statement: the in-toto predicate type, or the media type of a signature's own payload, compared exactly.",
    examples: ["https://sigstore.dev/cosign/sign/v1", "https://slsa.dev/provenance/v1", "https://cyclonedx.org/bom"],
  });

const atLeast = z.int().min(1).max(LIMITS.listed).meta({
  default: 1,
  description:
    "How many different identities must have said it (n of m). Counted as different names held by different signers: one key under two names counts once, and so does one name with two keys, or with a key and a certificate.",
});

const signatureRule = z
  .strictObject({
    identities,
    except: except.optional(),
    atLeast: atLeast.optional(),
    maximumAge: maximumAge.optional(),
  })
  .meta({
    description:
      "Enough of these identities signed the artifact, whatever the tool: cosign (of versions 2 and 3, images and files), OpenPGP, notation.",
    examples: [{ identities: ["release-key"] }],
  });

const evidenceRule = z
  .strictObject({
    predicateType,
    identities,
    except: except.optional(),
    atLeast: atLeast.optional(),
    maximumAge: maximumAge.optional(),
  })
  .meta({
    description: "There is evidence of this type, signed by enough of these identities.",
    examples: [{ predicateType: "https://sigstore.dev/cosign/sign/v1", identities: ["release-key"], atLeast: 1 }],
  });

const ageRule = z.strictObject({ predicateType, identities, except: except.optional(), maximum: maximumAge }).meta({
  description: "There is evidence of this type by one of these identities that is provably not older than `maximum`.",
  examples: [{ predicateType: "https://slsa.dev/provenance/v1", identities: ["ci"], maximum: "30d" }],
});

const testName = text(LIMITS.nameLength);

const testsRule = z
  .strictObject({
    identities,
    except: except.optional(),
    predicateType: z.literal(PREDICATE_TYPE.testResult).optional().meta({
      default: PREDICATE_TYPE.testResult,
      description: "The test result's predicate type. This is the only one that is read.",
    }),
    passed: listOf(testName).optional().describe("Names that must stand in the result's list of passed tests."),
    maximumAge: maximumAge.optional(),
  })
  .meta({
    description:
      "A test run of these identities passed: its result is PASSED (not WARNED), no test is listed as warned or failed, and its list of passed tests, if given, is not empty.",
    examples: [{ identities: ["ci"], maximumAge: "7d" }],
  });

const builderId = uri.describe("The builder's id, compared exactly, including any @version or @ref in it.");

const level = z.int().min(BUILD_LEVELS.lowest).max(BUILD_LEVELS.highest);

const builder = z.union([
  builderId,
  z.strictObject({
    id: builderId,
    identities: listOf(identity)
      .optional()
      .describe(
        "Who may sign for this builder. Each must also stand in the rule's `identities`; without this key all of them may.",
      ),
    level: level.optional().meta({
      default: BUILD_LEVELS.lowest,
      description:
        "The highest SLSA build level that the builder reaches when one of these signs: what you found when you looked at it. A builder without it reaches level 1.",
    }),
  }),
]);

const builders = z
  .array(builder)
  .min(1)
  .max(LIMITS.listed)
  .superRefine((items, context) => {
    onceById(items, "a builder", context);
  })
  .meta({
    description:
      "Which builders are accepted. A plain id may be signed for by any of the rule's identities; {id, identities, level} narrows that to some, and says which build level the pair reaches.",
    examples: [["https://ci.example.com/builder/v1"]],
  });

/** Objects to an id that a list has twice: which row counts would be a matter of order. */
function onceById(items: readonly (string | { id: string })[], what: string, context: z.core.$RefinementCtx): void {
  const seen = new Set<string>();
  items.forEach((item, index) => {
    const id = typeof item === "string" ? item : item.id;
    if (seen.has(id))
      context.addIssue({
        code: "custom",
        path: [index],
        message: `names ${what} that this list already has: keep one`,
      });
    seen.add(id);
  });
}

const repository = z
  .string()
  .max(LIMITS.uriLength)
  .refine((address) => parseRepositoryUrl(address) !== undefined, {
    error:
      "is not a repository address: write https://host/path without user, query, fragment, trailing slash or @ref (or ssh://git@host/path)",
  })
  .meta({
    description:
      "The repository the artifact was built from. Compared whole; only a leading git+, a trailing .git, the host's case and port 443 are ignored.",
    examples: ["https://github.com/example/app"],
  });

const reference = z
  .string()
  .max(LIMITS.nameLength)
  .regex(/^refs\/[!-~]+$/, { error: "is not a full reference: write refs/heads/<branch> or refs/tags/<tag>" })
  .meta({ description: "A full git reference, compared exactly.", examples: ["refs/heads/main", "refs/tags/v1.2.3"] });

const source = z
  .strictObject({
    repository,
    ref: z
      .union([reference, listOf(reference)])
      .optional()
      .describe("The branch or tag it was built from, or a list of those accepted."),
    path: text(LIMITS.nameLength)
      .optional()
      .describe(
        "The file in the repository that defined the build, compared exactly, such as .github/workflows/release.yml.",
      ),
  })
  .meta({
    description:
      "What the builder asserts it was built from. Provenance that names no source, several, or contradicting ones leaves this unknown, which does not count.",
    examples: [{ repository: "https://github.com/example/app", ref: "refs/heads/main" }],
  });

const provenanceRule = z
  .strictObject({
    identities,
    except: except.optional(),
    builders,
    source: source.optional(),
    buildTypes: listOf(uri).optional().describe("Which build types are accepted, compared exactly."),
    externalParameters: z
      .array(text(LIMITS.nameLength))
      .max(LIMITS.listed)
      .optional()
      .describe(
        "The names of the external parameters a build may have had. One that is not listed makes the provenance not count; [] allows none. Without this key parameters are not looked at.",
      ),
    level: level
      .optional()
      .describe(
        "The SLSA build level demanded: the builder and its signer must reach it by the table in `builders`. A level is only as good as what is expected of the build, so `source`, `buildTypes` and `externalParameters` must be given too.",
      ),
    runner: text(LIMITS.nameLength)
      .optional()
      .meta({
        description:
          "The kind of machine the build must have run on, compared exactly with what the signer's certificate says, or else with what GitHub's provenance says.",
        examples: ["github-hosted"],
      }),
    maximumAge: maximumAge.optional(),
  })
  .superRefine((rule, context) => {
    if (rule.level === undefined) return;
    for (const key of ["source", "buildTypes", "externalParameters"] as const) {
      if (rule[key] === undefined)
        context.addIssue({ code: "custom", path: ["level"], message: `is demanded without \`${key}\`: add it` });
    }
    const best = Math.max(...rule.builders.map((one) => (typeof one === "string" ? undefined : one.level) ?? 1));
    if (best < rule.level) {
      context.addIssue({
        code: "custom",
        path: ["level"],
        message: `is demanded, but the best of \`builders\` reaches level ${best}: it could never be satisfied`,
      });
    }
  })
  .meta({
    description: "SLSA provenance (v1 or v0.2) says that one of these builders made the artifact, from this source.",
    examples: [
      {
        identities: ["ci"],
        builders: ["https://ci.example.com/builder/v1"],
        source: { repository: "https://github.com/example/app", ref: "refs/heads/main" },
      },
    ],
  });

const verifierId = uri.describe("The verifier's id, compared exactly.");

const verifier = z.union([
  verifierId,
  z.strictObject({
    id: verifierId,
    identities: listOf(identity).describe(
      "Who may sign for this verifier. Each must also stand in the rule's `identities`.",
    ),
  }),
]);

const resource = z
  .string()
  .max(LIMITS.uriLength)
  .regex(/^[A-Za-z][A-Za-z0-9+.-]*:(?:[!-z|~]|\{digest\}|\{repository\})+$/, {
    error: "is not a URI: write it whole; {digest} and {repository} stand for the artifact's",
  });

const levelWord = z.string().max(LIMITS.nameLength).refine(isLevelWord, {
  error:
    "is no level that can be asked for: write SLSA_BUILD_LEVEL_<0-4>, SLSA_SOURCE_LEVEL_<0-4>, SLSA_SOURCE_TWO_PARTY_REVIEWED, SLSA_BUILD_REPRODUCED, or a word of your own in capitals that does not begin with SLSA_",
});

const policyDigest = z.string().regex(/^sha256:[0-9a-f]{64}$/, {
  error: "is not a policy's digest: write sha256: and 64 lower-case hexadecimal digits",
});

const summaryRule = z
  .strictObject({
    identities,
    except: except.optional(),
    verifiers: z
      .array(verifier)
      .min(1)
      .max(LIMITS.listed)
      .superRefine((items, context) => {
        onceById(items, "a verifier", context);
      })
      .describe(
        "Which verifiers are accepted, each with who may sign for it. A plain id may be signed for by any of the rule's identities.",
      ),
    resource: z
      .union([resource, listOf(resource)])
      .describe(
        "What the summary must be about: its `resourceUri`, compared exactly. {digest} stands for the artifact's digest (sha256:…), {repository} for the repository it is to be used from.",
      ),
    levels: listOf(levelWord)
      .optional()
      .describe("What the summary must say was verified. A level is met by a higher one of the same track."),
    policies: listOf(policyDigest)
      .optional()
      .describe("By which policies the verifier may have verified, by digest. Another one's summaries do not count."),
    ref: z
      .union([reference, listOf(reference)])
      .optional()
      .describe("For summaries about source: a branch or tag that must have pointed to the revision, or several."),
    maximumAge: maximumAge.optional(),
  })
  .superRefine((rule, context) => {
    if (rule.levels === undefined && rule.policies === undefined) {
      context.addIssue({
        code: "custom",
        path: [],
        message: "asks for nothing that was verified: give it `levels`, `policies` or both",
      });
    }
    const track = repeatedTrack(rule.levels ?? []);
    if (track !== undefined)
      context.addIssue({ code: "custom", path: ["levels"], message: `has two levels of the track ${track}: keep one` });
    if (rule.identities.length < 2 || rule.verifiers.length < 2) return;
    rule.verifiers.forEach((one, index) => {
      if (typeof one !== "string") return;
      context.addIssue({
        code: "custom",
        path: ["verifiers", index],
        message: "does not say who signs for it: write {id, identities}, so that one verifier cannot sign for another",
      });
    });
  })
  .meta({
    description: "A verifier says, in a SLSA verification summary, that the artifact passed its policy.",
    examples: [
      {
        identities: ["release-verifier"],
        verifiers: ["https://verifier.example.com/v1"],
        resource: "oci://registry.example.com/{repository}@{digest}",
        levels: ["SLSA_BUILD_LEVEL_3"],
      },
    ],
  });

/** What a rule can ask for: the key that names it and its content. A rule has exactly one of these. */
export const RULE_KINDS = {
  signature: signatureRule,
  evidence: evidenceRule,
  age: ageRule,
  tests: testsRule,
  provenance: provenanceRule,
  summary: summaryRule,
} as const;

const rule = z
  .strictObject({
    id: z
      .string()
      .max(64)
      .regex(/^[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?$/, {
        error: "is not a rule's name: use lower-case letters, digits, dots, dashes and underscores",
      })
      .describe("The rule's name in this policy, shown in every decision."),
    description: text(LIMITS.textLength).optional().describe("Why the rule is there, for people."),
    signature: signatureRule.optional(),
    evidence: evidenceRule.optional(),
    age: ageRule.optional(),
    tests: testsRule.optional(),
    provenance: provenanceRule.optional(),
    summary: summaryRule.optional(),
  })
  .superRefine((value, context) => {
    const kinds = Object.keys(RULE_KINDS).filter((kind) => Object.hasOwn(value, kind));
    if (kinds.length === 0) {
      context.addIssue({
        code: "custom",
        path: [],
        message: `asks for nothing: give it one of ${Object.keys(RULE_KINDS).join(", ")}`,
      });
    } else if (kinds.length > 1) {
      context.addIssue({
        code: "custom",
        path: [kinds[1] ?? ""],
        message: `is a second thing beside ${kinds[0]}: make it a rule of its own`,
      });
    }
    for (const kind of ["signature", "evidence", "age", "tests", "provenance", "summary"] as const)
      checkIdentities(value[kind], kind, context);
  })
  .meta({
    description: "One thing that must be so. A policy allows an artifact only if every rule is satisfied.",
    oneOf: Object.keys(RULE_KINDS).map((kind) => ({ required: [kind] })),
  });

type Named = {
  identities: string[];
  except?: string[] | undefined;
  atLeast?: number | undefined;
  builders?: readonly (string | { identities?: string[] | undefined })[];
  verifiers?: readonly (string | { identities: string[] })[];
};

function checkIdentities(body: Named | undefined, kind: string, context: z.core.$RefinementCtx): void {
  if (body === undefined) return;
  const wrong = (path: (string | number)[], message: string): void =>
    context.addIssue({ code: "custom", path: [kind, ...path], message });
  if (body.atLeast !== undefined && body.atLeast > body.identities.length) {
    wrong(
      ["atLeast"],
      `asks for ${body.atLeast} identities but only ${body.identities.length} are listed: it could never be satisfied`,
    );
  }
  body.except?.forEach((name, index) => {
    if (body.identities.includes(name)) wrong(["except", index], "stands in `identities` too: decide for one");
  });
  for (const key of ["builders", "verifiers"] as const) {
    body[key]?.forEach((item, index) => {
      if (typeof item === "string") return;
      item.identities?.forEach((name, at) => {
        if (!body.identities.includes(name))
          wrong([key, index, "identities", at], "does not stand in the rule's `identities`: add it there");
      });
    });
  }
}

/** The whole policy file as written. {@link Policy} (policy.ts) is what it means. */
export const policyFile = z
  .strictObject({
    version: z.literal(1).describe("The version of the policy language."),
    name: text(LIMITS.nameLength).describe("The policy's name, shown in every decision."),
    description: text(LIMITS.textLength).optional().describe("What the policy is for, for people."),
    rules: z
      .array(rule)
      .min(1)
      .max(LIMITS.rules)
      .superRefine((rules, context) => {
        const seen = new Set<string>();
        rules.forEach(({ id }, index) => {
          if (seen.has(id))
            context.addIssue({ code: "custom", path: [index, "id"], message: "names two rules: give each its own" });
          seen.add(id);
        });
      })
      .describe("What must be so. All of them must be satisfied; a policy without rules is refused."),
  })
  .meta({
    title: "Assay policy",
    description: "What evidence, by whom, is enough for an artifact to be used. See docs/policy.md.",
    examples: [
      {
        version: 1,
        name: "production",
        rules: [
          {
            id: "signed",
            evidence: { predicateType: "https://sigstore.dev/cosign/sign/v1", identities: ["release-key"] },
          },
        ],
      },
    ],
  });

export type PolicyFile = z.infer<typeof policyFile>;

/** The policy language as JSON Schema 2020-12, for editors; the committed copy is docs/policy.schema.json. */
export function policySchema(): { [key: string]: unknown } {
  const { $schema, title, description, ...rest } = z.toJSONSchema(policyFile, { target: "draft-2020-12", io: "input" });
  return { $schema, $id: "https://assay.dev/schemas/policy/v1.json", title, description, ...rest };
}
