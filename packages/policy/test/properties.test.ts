import { canonicalJson } from "@assay/evidence";
import type { JsonValue } from "@assay/evidence";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { evaluate, explain, parsePolicy } from "../src/index.ts";
import type { Candidate } from "../src/index.ts";
import { countDistinct } from "../src/identity.ts";
import { ARTIFACT, COSIGN, DAY, digest, hash, NOW, refused, reported, request, said } from "./world.ts";

const TESTS = "https://in-toto.io/attestation/test-result/v0.1";
const V1 = "https://slsa.dev/provenance/v1";
const VSA = "https://slsa.dev/verification_summary/v1";

// Few names, keys and types, so that random policies and random evidence meet often.
const NAMES = ["alice", "bob", "carol"];
const name = fc.constantFrom(...NAMES);
const identity = fc.oneof(
  name,
  name.map((word) => `sha256:${hash(word)}`),
);
const someone = fc.uniqueArray(identity, { minLength: 1, maxLength: 4 });
const age = fc.option(fc.constantFrom("1h", "1d", "30d"), { nil: undefined });

const body = fc.oneof(
  fc.record({
    kind: fc.constant("evidence"),
    predicateType: fc.constantFrom(COSIGN, V1, VSA),
    identities: someone,
    atLeast: fc.integer({ min: 1, max: 3 }),
    maximumAge: age,
  }),
  fc.record({
    kind: fc.constant("age"),
    predicateType: fc.constantFrom(COSIGN, V1),
    identities: someone,
    maximum: fc.constantFrom("1h", "1d", "30d"),
  }),
  fc.record({ kind: fc.constant("tests"), identities: someone, maximumAge: age }),
  fc.record({
    kind: fc.constant("provenance"),
    identities: someone,
    builders: fc.constant(["x:builder"]),
    source: fc.option(fc.constant({ repository: "https://example.com/app", ref: "refs/heads/main" }), {
      nil: undefined,
    }),
    maximumAge: age,
  }),
  fc.record({
    kind: fc.constant("provenance"),
    identities: someone,
    builders: fc.constantFrom([{ id: "x:builder", level: 3 }], ["x:other", { id: "x:builder", level: 2 }]),
    source: fc.constant({ repository: "https://example.com/app", ref: "refs/heads/main" }),
    buildTypes: fc.constant(["x:build"]),
    externalParameters: fc.constantFrom(["source"], ["source", "more"]),
    level: fc.constantFrom(1, 2),
  }),
  fc.record({
    kind: fc.constant("summary"),
    identities: someone,
    verifiers: fc.constant(["x:verifier"]),
    resource: fc.constant("x:{digest}"),
    levels: fc.constantFrom(["SLSA_BUILD_LEVEL_2"], ["SLSA_BUILD_LEVEL_1"]),
    maximumAge: age,
  }),
);

/** Rules as YAML: JSON is YAML. */
const rules = fc
  .array(fc.tuple(body, fc.option(name, { nil: undefined })), { minLength: 1, maxLength: 2 })
  .map((bodies) =>
    bodies
      .map(([{ kind, ...rest }, except], index) => {
        const fields = {
          ...rest,
          ...("atLeast" in rest ? { atLeast: Math.min(rest.atLeast, rest.identities.length) } : {}),
        };
        const excepted = except === undefined || rest.identities.includes(except) ? {} : { except: [except] };
        return `\n  - ${JSON.stringify({ id: `r${index}`, [kind]: { ...fields, ...excepted } })}`;
      })
      .join(""),
  );

const builtFrom = (source: string): JsonValue => ({
  runDetails: { builder: { id: "x:builder" } },
  buildDefinition: { buildType: "x:build", externalParameters: { source } },
});
const summary = (change: { [key: string]: JsonValue } = {}): JsonValue => ({
  verifier: { id: "x:verifier" },
  timeVerified: "2026-11-22T10:00:00Z",
  resourceUri: `x:${ARTIFACT}`,
  policy: { uri: "x:policy" },
  verificationResult: "PASSED",
  verifiedLevels: ["SLSA_BUILD_LEVEL_2"],
  ...change,
});
/** Types with predicates that satisfy, that do not, and that leave it open. */
const content = fc.constantFrom<[string, JsonValue]>(
  [COSIGN, {}],
  [COSIGN, {}],
  [TESTS, { result: "PASSED", configuration: [] }],
  [TESTS, { result: "PASSED", configuration: [] }],
  [TESTS, { result: "FAILED", configuration: [] }],
  [TESTS, {}],
  [V1, builtFrom("git+https://example.com/app@refs/heads/main")],
  [V1, builtFrom("git+https://example.com/app@refs/heads/main")],
  [V1, builtFrom("git+https://example.com/app@refs/heads/main")],
  [V1, builtFrom("git+https://example.com/other@refs/heads/main")],
  [V1, { runDetails: { builder: { id: "x:builder" } }, buildDefinition: {} }],
  [VSA, { verificationResult: "PASSED" }],
  [VSA, summary()],
  [VSA, summary()],
  [VSA, summary({ verificationResult: "FAILED" })],
  [VSA, summary({ verifiedLevels: ["SLSA_BUILD_LEVEL_1"] })],
);

/** Further entries of the key, that cover the evidence or do not. */
const also = fc.oneof(
  { weight: 2, arbitrary: fc.constant({}) },
  { weight: 1, arbitrary: fc.dictionary(name, fc.boolean(), { maxKeys: 2 }) },
);

const verified = fc
  .record({
    who: fc.oneof(
      { weight: 3, arbitrary: name.map((word) => [word, word]) },
      { weight: 1, arbitrary: fc.tuple(name, name) },
    ),
    also,
    content,
    at: fc.constantFrom(NOW, NOW - 1_000, NOW - DAY / 2, NOW - 10 * DAY, null, NOW - 100 * DAY, NOW + DAY),
    about: fc.oneof(
      { weight: 7, arbitrary: fc.constant(ARTIFACT) },
      { weight: 1, arbitrary: fc.constant(digest("other")) },
    ),
    nonce: fc.constantFrom("1", "2"),
    sequence: fc.constantFrom(1, 2, 3, 4, 5, 100),
  })
  .map(({ who: [by = "", key = ""], content: [type, predicate], ...rest }) =>
    said({ by, key, type, predicate, ...rest }),
  );

const candidate: fc.Arbitrary<Candidate> = fc.oneof(
  { weight: 8, arbitrary: verified },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      refused("malformed"),
      refused("signature-invalid", COSIGN),
      reported(COSIGN),
      reported(TESTS),
    ),
  },
  { weight: 1, arbitrary: fc.constantFrom({} as never, { ...said(), signer: null } as never) },
);
const candidates = fc.array(candidate, { maxLength: 24, size: "max" });

/** Enough runs that allowed decisions are common among them; the last test counts. */
const RUNS = { numRuns: 1_500 };

describe("whatever the policy and the evidence", () => {
  it("leaving evidence out never turns denied into allowed", () => {
    fc.assert(
      fc.property(rules, candidates, fc.infiniteStream(fc.boolean()), (policy, all, keep) => {
        const some = all.filter(() => keep.next().value === true);
        const [subset, whole] = [evaluate(request(policy, some)).result, evaluate(request(policy, all)).result];
        expect([subset, whole]).not.toEqual(["allowed", "denied"]);
      }),
      RUNS,
    );
  });

  it("each single piece left out can only lose satisfied rules", () => {
    fc.assert(
      fc.property(rules, candidates, (policy, all) => {
        const satisfied = (of: readonly Candidate[]): string[] =>
          evaluate(request(policy, of)).rules.flatMap((rule) => (rule.outcome === "satisfied" ? [rule.rule] : []));
        const whole = satisfied(all);
        for (const index of all.keys())
          expect(whole).toEqual(expect.arrayContaining(satisfied(all.toSpliced(index, 1))));
      }),
      { numRuns: 300 },
    );
  });

  it("order and repetition of the evidence change no byte of the decision", () => {
    fc.assert(
      fc.property(
        rules,
        candidates.chain((all) =>
          fc.tuple(
            fc.constant(all),
            fc.shuffledSubarray([...all, ...all.slice(0, 3)], { minLength: all.length + Math.min(3, all.length) }),
          ),
        ),
        (policy, [all, shuffled]) => {
          const bytes = (of: readonly Candidate[]): string =>
            canonicalJson(evaluate(request(policy, of)) as unknown as JsonValue);
          expect(bytes(shuffled)).toBe(bytes(all));
        },
      ),
      RUNS,
    );
  });

  it("the order of the key's trust entries, and which of them is called the signer's, decide nothing", () => {
    fc.assert(
      fc.property(rules, candidates, (policy, all) => {
        const turned = all.map((one) => {
          if (one.status !== "verified" || one.signer === null) return one;
          const entries = one.signer.entries.toReversed();
          const first = entries.find((held) => held.counts) ?? one.signer;
          return { ...one, signer: { ...one.signer, entries, entry: first.entry, name: first.name } };
        });
        const outcomes = (of: readonly Candidate[]) =>
          evaluate(request(policy, of)).rules.map(({ outcome, satisfiedBy }) => [
            outcome,
            satisfiedBy.map(({ evidence, identities }) => [evidence, identities]),
          ]);
        expect(outcomes(turned)).toEqual(outcomes(all));
      }),
      RUNS,
    );
  });

  it("nobody whom a rule excepts satisfies it under another name", () => {
    fc.assert(
      fc.property(rules, candidates, (policy, all) => {
        const asked = request(policy, all);
        for (const [index, rule] of evaluate(asked).rules.entries()) {
          const excepted = asked.policy.rules[index]?.except.map((one) => (one.kind === "entry" ? one.name : "")) ?? [];
          const counted = new Set(rule.satisfiedBy.map(({ evidence, signer }) => `${evidence} ${signer.entry}`));
          const names = all.flatMap((one) =>
            one.status === "verified" && one.signer !== null && counted.has(`${one.evidence} ${one.signer.entry}`)
              ? one.signer.entries.map((held) => held.name)
              : [],
          );
          expect(names.filter((one) => excepted.includes(one))).toEqual([]);
        }
      }),
      RUNS,
    );
  });

  it("trust's names change no outcome", () => {
    fc.assert(
      fc.property(rules, candidates, fc.subarray(NAMES), (policy, all, names) => {
        const outcomes = (change: object) => {
          const { result, rules: judged } = evaluate(request(policy, all, change));
          return [result, judged.map((rule) => ({ ...rule, missing: rule.missing !== undefined }))];
        };
        expect(outcomes({ trust: { org: "default", version: 3, names } })).toEqual(outcomes({}));
      }),
      { numRuns: 300 },
    );
  });

  it("evidence that is not verified, and about this artifact, never satisfies", () => {
    fc.assert(
      fc.property(rules, candidates, (policy, all) => {
        const worthless = all.filter(
          (one) =>
            one.status !== "verified" ||
            one.signer === null ||
            !one.statement.subjects.some((subject) => `sha256:${subject.digest["sha256"]}` === ARTIFACT),
        );
        const decision = evaluate(request(policy, worthless));
        expect(decision.rules.every((rule) => rule.outcome !== "satisfied" && rule.satisfiedBy.length === 0)).toBe(
          true,
        );
      }),
      RUNS,
    );
  });

  it("allowed means that every rule lists what satisfied it, and denied that one says what is missing", () => {
    let allowed = 0;
    fc.assert(
      fc.property(rules, candidates, (policy, all) => {
        const decision = evaluate(request(policy, all));
        const explained = decision.rules.map((rule) =>
          rule.outcome === "satisfied"
            ? rule.satisfiedBy.length > 0 && rule.missing === undefined
            : (rule.missing ?? "") !== "",
        );
        expect(explained).not.toContain(false);
        expect(decision.result === "allowed").toBe(decision.rules.every((rule) => rule.outcome === "satisfied"));
        if (decision.result === "allowed") allowed++;
        expect(explain(decision)).toContain(decision.result.toUpperCase());
      }),
      RUNS,
    );
    // The properties above would hold of a function that always denies: this one shows that random evidence does satisfy.
    expect(allowed).toBeGreaterThan(RUNS.numRuns / 10);
  });

  it("evaluation answers any JSON at all put where candidates and predicates belong", () => {
    fc.assert(
      fc.property(
        rules,
        fc.array(
          fc.oneof(
            fc.jsonValue(),
            fc
              .tuple(fc.constantFrom(COSIGN, TESTS, V1, VSA), fc.jsonValue())
              .map(([type, value]) => said({ by: "alice", type, predicate: value as JsonValue })),
          ),
        ),
        (policy, any) => {
          const decision = evaluate(request(policy, any as unknown as Candidate[]));
          expect(["allowed", "denied"]).toContain(decision.result);
          canonicalJson(decision as unknown as JsonValue);
        },
      ),
      RUNS,
    );
  });
});

describe("counting different identities", () => {
  const signer = fc
    .record({ keyId: name.map(hash), name, others: fc.subarray(NAMES) })
    .map(({ keyId, name, others }) => {
      const signedAs = new Set([name, ...others]);
      const names = [...signedAs].sort();
      // The key ids here say nothing: one signer is one principal.
      return {
        kind: "key" as const,
        keyId: hash("k"),
        principal: keyId,
        entry: "e",
        name,
        names,
        signedAs,
        knownAs: signedAs,
      };
    });
  const entry = name.map((word) => ({ kind: "entry" as const, name: word }));

  it("never exceeds names or keys, never falls with more signatures, and finds the best pairing", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(entry, { selector: (one) => one.name }),
        fc.array(signer, { maxLength: 8 }),
        signer,
        (identities, signers, more) => {
          const count = countDistinct(identities, signers);
          expect(count).toBeLessThanOrEqual(
            Math.min(identities.length, new Set(signers.map((one) => one.principal)).size),
          );
          expect(countDistinct(identities, [...signers, more])).toBeGreaterThanOrEqual(count);
          expect(count).toBe(
            bruteForce(
              identities.map((one) => one.name),
              signers,
            ),
          );
        },
      ),
      RUNS,
    );
  });

  function bruteForce(
    [first, ...rest]: readonly string[],
    signers: readonly { principal: string; names: readonly string[] }[],
  ): number {
    if (first === undefined) return 0;
    const keys = new Set(signers.filter((one) => one.names.includes(first)).map((one) => one.principal));
    const taken = [...keys].map(
      (key) =>
        1 +
        bruteForce(
          rest,
          signers.filter((one) => one.principal !== key),
        ),
    );
    return Math.max(bruteForce(rest, signers), ...taken);
  }
});

describe("whatever the text", () => {
  it("parsing answers with a policy or with errors that lie in the file", () => {
    const line = fc.oneof(
      fc.string({ maxLength: 30 }),
      fc.constantFrom(
        "version: 1",
        "name: x",
        "rules:",
        "  - id: a",
        "    tests:",
        "      identities: [ci]",
        "      identities:",
        "- &a",
        "*a",
        "? [",
        "!!x",
        "---",
        "\t",
        "'",
        '"',
        "|",
        "{",
        "}",
        "%YAML 1.1",
      ),
    );
    fc.assert(
      fc.property(
        fc.array(line, { maxLength: 12 }).map((lines) => lines.join("\n")),
        (text) => {
          const parsed = parsePolicy(text);
          if (parsed.ok) return;
          expect(parsed.errors.length).toBeGreaterThan(0);
          const count = text.split("\n").length;
          for (const error of parsed.errors) {
            expect(error.line).toBeGreaterThanOrEqual(1);
            expect(error.line).toBeLessThanOrEqual(count);
            expect(error.column).toBeGreaterThanOrEqual(1);
            expect(error.message).toMatch(/\.$/);
          }
        },
      ),
      RUNS,
    );
  });
});
