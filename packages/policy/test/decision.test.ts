import { canonicalJson, LIMITS, parseJson } from "@assay/evidence";
import type { JsonValue } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { describe, expect, it } from "vitest";
import type { Decision, DecisionRequest } from "../src/index.ts";
import { decisionDigest, evaluate, explain, POLICY_LIMITS, VSA_PREDICATE_TYPE, vsaPredicate } from "../src/index.ts";
import { ARTIFACT, COSIGN, DAY, decide, digest, hash, NOW, refused, reported, request, said } from "./world.ts";

const SIGNED = `
  - id: signed
    evidence: { predicateType: "${COSIGN}", identities: [release-key] }`;
const TESTED = `
  - id: tested
    tests: { identities: [ci], maximumAge: 7d }`;
const withEntries = (entries: unknown[]) => ({ ...said(), signer: { ...said().signer, entries } });
const passed = (at = NOW - DAY) =>
  said({
    by: "ci",
    type: "https://in-toto.io/attestation/test-result/v0.1",
    predicate: { result: "PASSED", configuration: [] },
    at,
  });

describe("a decision", () => {
  it("allows only if every rule is satisfied", () => {
    expect(decide(SIGNED + TESTED, [said(), passed()]).result).toBe("allowed");
    expect(decide(SIGNED + TESTED, [said()]).result).toBe("denied");
    expect(decide(SIGNED + TESTED, [passed()]).result).toBe("denied");
    expect(decide(SIGNED + TESTED, []).result).toBe("denied");
  });

  it("carries everything needed to repeat it", () => {
    const candidates = [said(), passed(), refused("malformed"), reported("x:y"), said()];
    const asked = request(SIGNED + TESTED, candidates);
    const decision = evaluate(asked);
    expect(decision).toMatchObject({
      version: 1,
      subject: ARTIFACT,
      repository: "default/app",
      policy: { digest: asked.policyDigest, name: "test" },
      trust: { org: "default", version: 3 },
      asOf: 40,
      time: NOW,
    });
    expect(decision.evidence).toEqual([...new Set(candidates.map((candidate) => candidate.evidence))].sort());
    expect(decision.rules.map((rule) => [rule.rule, rule.kind])).toEqual([
      ["signed", "evidence"],
      ["tested", "tests"],
    ]);
    expect(decision.reasons.length).toBe(2);
  });

  it("gives each candidate a place under each rule", () => {
    const candidates = [said(), passed(), refused("malformed"), reported("x:y")];
    for (const rule of decide(SIGNED + TESTED, candidates).rules) {
      const named = [...rule.satisfiedBy, ...rule.rejected].map((one) => one.evidence);
      expect(new Set(named)).toEqual(new Set(candidates.map((candidate) => candidate.evidence)));
      expect(named.length).toBe(candidates.length);
    }
  });

  it("lists the nearest misses first, and counts what it does not list", () => {
    const others = Array.from({ length: 300 }, (_, index) => said({ type: "x:y", nonce: String(index) }));
    const [rule] = decide(SIGNED, [...others, said({ by: "mallory" })]).rules;
    expect(rule?.rejected.length).toBe(POLICY_LIMITS.rejectionsListed);
    expect(rule?.rejected[0]?.code).toBe("other-signer");
    expect(rule?.rejectedNotListed).toBe(301 - POLICY_LIMITS.rejectionsListed);
  });

  it("is JSON, and named by its canonical form", () => {
    const decision = decide(SIGNED + TESTED, [said(), said({ by: "\ud800\u202e" })]);
    const canonical = canonicalJson(decision as unknown as JsonValue);
    expect(JSON.parse(JSON.stringify(decision))).toEqual(decision);
    expect(decisionDigest(nodeCrypto, decision)).toBe(digest(canonical));
    expect(decisionDigest(nodeCrypto, JSON.parse(JSON.stringify(decision)) as Decision)).toBe(digest(canonical));
  });

  it("reads evidence as the JSON reader returns it, without prototypes", () => {
    const read = parseJson(JSON.stringify(passed())) as unknown as ReturnType<typeof passed>;
    expect(decide(TESTED, [read]).result).toBe("allowed");
  });
});

describe("what goes wrong denies, and never throws", () => {
  const good = request(SIGNED, [said()]);
  const changed = (change: object): DecisionRequest => ({ ...good, ...change }) as DecisionRequest;
  const thrower = new Proxy(
    {},
    {
      get: () => {
        throw new Error("gotcha");
      },
      getOwnPropertyDescriptor: () => {
        throw new Error("gotcha");
      },
    },
  );

  it("allows the request that the others are made from", () => {
    expect(evaluate(good).result).toBe("allowed");
  });

  it.each<[string, unknown]>([
    ["no request", undefined],
    ["null", null],
    ["an empty request", {}],
    ["an empty policy", changed({ policy: {} })],
    ["no policy", changed({ policy: undefined })],
    ["a policy without rules", changed({ policy: { ...good.policy, rules: [] } })],
    ["a policy whose rules are none", changed({ policy: { ...good.policy, rules: {} } })],
    [
      "a rule of no kind",
      changed({ policy: { ...good.policy, rules: [{ ...good.policy.rules[0], kind: "nothing" }] } }),
    ],
    [
      "a rule with a prototype's kind",
      changed({ policy: { ...good.policy, rules: [{ ...good.policy.rules[0], kind: "constructor" }] } }),
    ],
    ["an empty rule", changed({ policy: { ...good.policy, rules: [{}] } })],
    ["a null rule", changed({ policy: { ...good.policy, rules: [good.policy.rules[0], null] } })],
    [
      "a rule asking for nobody",
      changed({ policy: { ...good.policy, rules: [{ ...good.policy.rules[0], identities: [] }] } }),
    ],
    [
      "a rule asking for zero",
      changed({ policy: { ...good.policy, rules: [{ ...good.policy.rules[0], atLeast: 0 }] } }),
    ],
    [
      "a rule asking for NaN",
      changed({ policy: { ...good.policy, rules: [{ ...good.policy.rules[0], atLeast: Number.NaN }] } }),
    ],
    [
      "more rules than are looked at",
      changed({ policy: { ...good.policy, rules: Array(65).fill(good.policy.rules[0]) } }),
    ],
    ["no artifact", changed({ artifact: undefined })],
    ["an artifact without digest", changed({ artifact: {} })],
    ["an upper-case digest", changed({ artifact: { digest: ARTIFACT.toUpperCase() } })],
    ["no policy digest", changed({ policyDigest: "" })],
    ["no trust", changed({ trust: undefined })],
    ["a trust version that is none", changed({ trust: { org: "default", version: Number.NaN } })],
    ["names of trust that are no list", changed({ trust: { ...good.trust, names: "release-key" } })],
    ["names of trust that are no texts", changed({ trust: { ...good.trust, names: [null] } })],
    [
      "more names of trust than are looked at",
      changed({ trust: { ...good.trust, names: Array(POLICY_LIMITS.trustNames + 1).fill("x") } }),
    ],
    ["time NaN", changed({ time: Number.NaN })],
    ["time infinite", changed({ time: Number.POSITIVE_INFINITY })],
    ["time negative", changed({ time: -1 })],
    ["as of NaN", changed({ asOf: Number.NaN })],
    ["as of undefined", changed({ asOf: undefined })],
    ["candidates that are no list", changed({ candidates: { length: 1, 0: said() } })],
    ["too many candidates", changed({ candidates: Array(POLICY_LIMITS.candidates + 1).fill(said()) })],
    ["a request that throws", thrower],
    ["a policy that throws", changed({ policy: thrower })],
    ["an artifact that throws", changed({ artifact: thrower })],
  ])("%s", (_, broken) => {
    const decision = evaluate(broken as DecisionRequest);
    expect(decision.result).toBe("denied");
    expect(decision.rules.length === 0 || decision.rules.some((rule) => rule.outcome === "error")).toBe(true);
    expect(decision.reasons.length).toBeGreaterThan(0);
    expect(() => canonicalJson(decision as unknown as JsonValue)).not.toThrow();
    expect(explain(decision)).toContain("DENIED");
  });

  it.each<[string, unknown]>([
    ["nothing", undefined],
    ["null", null],
    ["a text", "verified"],
    ["an empty object", {}],
    ["a status alone", { status: "verified" }],
    ["another status", { ...said(), status: "Verified" }],
    ["no digest", { ...said(), evidence: undefined }],
    ["a digest of another form", { ...said(), evidence: "sha512:00" }],
    ["no signer", { ...said(), signer: undefined }],
    ["a signer without key", { ...said(), signer: { ...said().signer, keyId: "release-key" } }],
    ["a signer of unknown kind", { ...said(), signer: { ...said().signer, kind: "name" } }],
    ["a signer without its entries", { ...said(), signer: { ...said().signer, entries: undefined } }],
    ["a signer whose entry is not among its entries", { ...said(), signer: { ...said().signer, entry: "other" } }],
    ["a signer of whose entries none counts", withEntries([{ ...said().signer, counts: false }])],
    ["a signer with an entry that is none", withEntries([...said().signer.entries, null])],
    ["a signer with an entry of unknown worth", withEntries([...said().signer.entries, { entry: "e", name: "n" }])],
    ["a signer with too many entries", withEntries(Array(LIMITS.trustEntries + 1).fill(said().signer.entries[0]))],
    ["a time of another kind", { ...said(), time: { source: "claimed", time: NOW, evidence: "" } }],
    ["a time that is a text", { ...said(), time: { source: "log", time: String(NOW), evidence: "" } }],
    ["a time left out", { ...said(), time: undefined }],
    ["no statement", { ...said(), statement: undefined }],
    ["inherited fields", Object.create(said())],
    ["one that throws", thrower],
    ["a refusal without code", { ...refused("malformed"), code: undefined }],
    ["a report without type", { ...reported("x"), predicateType: undefined }],
    ["a sequence that is a text", { ...said(), sequence: "1" }],
  ])("a candidate that is %s is an error of its own and counts for nothing", (_, candidate) => {
    const alone = decide(SIGNED, [candidate as never]);
    expect(alone.result).toBe("denied");
    expect(alone.rules[0]).toMatchObject({ outcome: "error", rejected: [{ code: "candidate-malformed" }] });
    expect(decide(SIGNED, [candidate as never, said({ nonce: "good" })]).result).toBe("allowed");
  });

  it("decides 10,000 candidates under 64 rules within seconds", () => {
    const rules = Array.from({ length: 64 }, (_, index) => SIGNED.replace("signed", `signed-${index}`)).join("");
    const candidates = Array.from({ length: POLICY_LIMITS.candidates }, (_, index) =>
      said({ by: index % 2 === 0 ? "mallory" : "eve", nonce: String(index) }),
    );
    const asked = request(rules, candidates);
    const begun = performance.now();
    expect(evaluate(asked).result).toBe("denied");
    expect(performance.now() - begun).toBeLessThan(20_000);
  }, 30_000);
});

describe("a verification summary of a decision", () => {
  const context = {
    verifierId: "https://assay.example.com",
    resourceUri: "oci://example/app",
    policyUri: "https://assay.example.com/policies/1",
    timeVerified: NOW,
  };

  it("has the form that SLSA gives it", () => {
    const decision = decide(SIGNED, [said()]);
    expect(VSA_PREDICATE_TYPE).toBe("https://slsa.dev/verification_summary/v1");
    expect(vsaPredicate(decision, context)).toEqual({
      verifier: { id: "https://assay.example.com" },
      timeVerified: "2026-11-22T12:00:00.000Z",
      resourceUri: "oci://example/app",
      policy: { uri: "https://assay.example.com/policies/1", digest: { sha256: decision.policy.digest.slice(7) } },
      inputAttestations: [{ digest: { sha256: said().evidence.slice(7) } }],
      verificationResult: "PASSED",
      verifiedLevels: [],
      slsaVersion: "1.2",
    });
  });

  it("says FAILED where the decision denies", () => {
    expect(vsaPredicate(decide(SIGNED, []), context)).toMatchObject({
      verificationResult: "FAILED",
      verifiedLevels: ["FAILED"],
      inputAttestations: [],
    });
  });

  it("never satisfies the policy that it summarises", () => {
    const first = decide(SIGNED, [said()]);
    const asked = `
  - id: checked
    evidence: { predicateType: "${VSA_PREDICATE_TYPE}", identities: [assay] }`;
    const own = {
      ...vsaPredicate(first, context),
      policy: { uri: "x:y", digest: { sha256: request(asked, []).policyDigest.slice(7) } },
    };
    expect(decide(asked, [said({ by: "assay", type: VSA_PREDICATE_TYPE, predicate: own })]).result).toBe("denied");
  });
});

describe("the explanation", () => {
  it("reads as text", () => {
    const decision = decide(SIGNED + TESTED, [said(), passed(NOW - 9 * DAY), said({ type: "x:y" })]);
    expect(explain(decision)).toBe(`DENIED  ${ARTIFACT} in default/app
policy test (${decision.policy.digest})
trust default version 3, record 40, at 2026-11-22T12:00:00.000Z, 3 piece(s) of evidence

yes     signed (evidence)
          by release-key: ${said().evidence} (2026-11-22T11:00:00.000Z, received-here)
no      tested (tests)
          missing: a passed test result, signed by ci, proven to be at most 7d old
          not ${passed(NOW - 9 * DAY).evidence}: too-old
            It is 9d old (proven by "record 17"); at most 7d is allowed.
          2 other piece(s) of evidence do not count either; of other types: "x:y", "${COSIGN}"
`);
  });

  it("cannot be steered by what the evidence says", () => {
    const evil = said({ by: "\u001b[2J\u202eyek-esaeler\n", type: COSIGN });
    const failed = said({
      by: "ci",
      type: "https://in-toto.io/attestation/test-result/v0.1",
      predicate: { result: "\u009b31m", configuration: [] },
    });
    const text = explain(
      decide(SIGNED + TESTED, [
        evil,
        failed,
        { ...refused("malformed"), message: "\u0007" } as never,
        { ...said({ nonce: "t" }), time: { source: "log", time: NOW, evidence: "\u001b" } } as never,
      ]),
    );
    expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/);
  });
});

it("treats a key by its id whatever it is called", () => {
  const rule = SIGNED.replace("release-key", `"sha256:${hash("k")}"`);
  expect(decide(rule, [said({ key: "k", by: "anything" })]).result).toBe("allowed");
});
