/**
 * Attacks on decisions, by the numbers of a list that was drawn up from what has gone wrong in other verifiers. Each is carried out from
 * a real signature through `verify` to `evaluate`, beside the good material that it differs from in one thing. The numbers that are
 * missing here are attacks on the binding of evidence: packages/evidence/test/adversarial.test.ts has them.
 */
import {
  buildStatement,
  canonicalJson,
  type Digest,
  digestOf,
  formatPublicKeyPem,
  type JsonObject,
  type JsonValue,
  type ProvenTime,
  signStatement,
  type TrustEntry,
  type TrustVersion,
  utf8Decode,
  utf8Encode,
  verify,
} from "@assay/evidence";
import { generateKeyPair, nodeCrypto, type PrivateKey } from "@assay/evidence/node";
import { describe, expect, it } from "vitest";
import type { Candidate, Decision, Policy } from "../src/index.ts";
import { evaluate, parsePolicy } from "../src/index.ts";
import { ARTIFACT, COSIGN, DAY, hash, NOW, outcome, said } from "./world.ts";

const TESTS = "https://in-toto.io/attestation/test-result/v0.1";
const VULNS = "https://in-toto.io/attestation/vulns/v0.2";
const V1 = "https://slsa.dev/provenance/v1";
const VSA = "https://slsa.dev/verification_summary/v1";

const keys = new Map<string, PrivateKey>();
function keyOf(name: string): PrivateKey {
  const key = keys.get(name) ?? generateKeyPair("ed25519");
  keys.set(name, key);
  return key;
}

const artifact = digestOf(nodeCrypto, utf8Encode("the artifact"));
const older = digestOf(nodeCrypto, utf8Encode("the artifact of last year"));

/** An entry that trusts a key for everything, under a name. */
function trusted(name: string, key = name, changes: Partial<TrustEntry> = {}): TrustEntry {
  const { publicKey } = keyOf(key);
  return {
    kind: "key",
    id: `${name} ${key}`,
    name,
    publicKeyPem: formatPublicKeyPem(publicKey),
    keyId: publicKey.keyId,
    scope: { repositories: ["**"], predicateTypes: ["*"] },
    validFrom: null,
    validUntil: null,
    primary: false,
    ...changes,
  } as TrustEntry;
}
const trust = (...entries: TrustEntry[]): TrustVersion => ({
  org: "default",
  version: 1,
  entries,
  logs: [],
  roots: [],
});

type Attested = {
  readonly key: string;
  readonly type: string;
  readonly predicate?: JsonValue;
  readonly about?: Digest;
};

/** A signed statement; its predicate may be any JSON, as a signer's may. */
async function attest({ key, type, predicate = {}, about = artifact }: Attested): Promise<Uint8Array> {
  const signer = keyOf(key);
  const good = buildStatement({
    subjects: [{ name: "app", digest: { sha256: about.slice(7) } }],
    predicateType: type,
    predicate: {},
  });
  const payloadBytes = utf8Encode(JSON.stringify({ ...(JSON.parse(utf8Decode(good)) as object), predicate }));
  return signStatement({ payloadBytes, sign: (bytes) => signer.sign(bytes), publicKey: signer.publicKey });
}

function policy(rules: string): { policy: Policy; policyDigest: Digest } {
  const parsed = parsePolicy(`version: 1\nname: production\nrules:${rules}`);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors));
  return { policy: parsed.policy, policyDigest: parsed.digest };
}

type Question = {
  readonly rules: string;
  readonly trust: TrustVersion;
  readonly evidence: readonly Uint8Array[];
  readonly about?: Digest;
  readonly receivedAt?: number;
};

async function decide({
  rules,
  trust: by,
  evidence,
  about = artifact,
  receivedAt = NOW - 1000,
}: Question): Promise<Decision> {
  const times: ProvenTime[] = [{ source: "received-here", time: receivedAt, evidence: "record 17" }];
  const candidates: Candidate[] = [];
  for (const bundle of evidence)
    candidates.push(await verify(nodeCrypto, { bundle, artifact: about, repository: "default/app", trust: by, times }));
  const subject = { digest: about, repository: "default/app" };
  return evaluate({ ...policy(rules), artifact: subject, candidates, trust: by, asOf: null, time: NOW });
}

/** What a decision on the evidence of world.ts asks, besides policy and candidates. */
const QUESTION = {
  artifact: { digest: ARTIFACT },
  trust: { org: "default", version: 1 },
  asOf: null,
  time: NOW,
} as const;

const signedBy = (identities: string, more = ""): string => `
  - id: signed
    evidence: { predicateType: "${COSIGN}", identities: [${identities}]${more} }`;
const passed = { result: "PASSED", configuration: [{ name: "ci.yml" }] };

describe("evidence binding", () => {
  it("case 4: attestations of other types, however many, do not make up for the one that is absent", async () => {
    const question = { rules: "\n  - id: tests\n    tests: { identities: [ci] }", trust: trust(trusted("ci")) };
    const others = await Promise.all(
      [COSIGN, V1, VSA, VULNS, `${TESTS}/`, TESTS.toUpperCase(), "https://example.com/x"].map((type) =>
        attest({ key: "ci", type, predicate: passed }),
      ),
    );
    const decision = await decide({ ...question, evidence: others });
    expect(decision.result).toBe("denied");
    expect(new Set(outcome(decision).slice(1))).toEqual(new Set(["other-predicate-type"]));
    const tested = await attest({ key: "ci", type: TESTS, predicate: passed });
    expect((await decide({ ...question, evidence: [...others, tested] })).result).toBe("allowed");
  });

  it("case 5: the right type with a malformed payload is a failure, and is not passed over", async () => {
    const rules: Record<string, string> = {
      [TESTS]: "\n  - id: r\n    tests: { identities: [ci] }",
      [V1]: "\n  - id: r\n    provenance: { identities: [ci], builders: [x:builder] }",
      [VSA]:
        "\n  - id: r\n    summary: { identities: [ci], verifiers: [x:verifier], resource: x:app, levels: [ORG_A] }",
      [VULNS]: `\n  - id: r\n    evidence: { predicateType: "${VULNS}", identities: [ci] }`,
    };
    for (const [type, rule] of Object.entries(rules)) {
      for (const predicate of [{}, { result: null }, { scanner: "trivy" }, { runDetails: [] }, { verifier: 7 }]) {
        const decision = await decide({
          rules: rule,
          trust: trust(trusted("ci")),
          evidence: [await attest({ key: "ci", type, predicate })],
        });
        expect(decision.result).toBe("denied");
        // It is shown, under its own reason, as an unknown or a refusal: never as if there were nothing.
        const [, code] = outcome(decision);
        expect(code, `${type} ${JSON.stringify(predicate)}`).toMatch(/^(predicate-malformed|.*-unknown|refused)$/);
      }
    }
  });

  it("case 7: the same attestation N times is not N approvals", async () => {
    const question = { rules: signedBy("alice, bob", ", atLeast: 2"), trust: trust(trusted("alice"), trusted("bob")) };
    const once = await attest({ key: "alice", type: COSIGN });
    const again = await attest({ key: "alice", type: COSIGN, predicate: { note: "again" } });
    for (const evidence of [[once, once], [once, again], Array.from({ length: 50 }, () => once)])
      expect((await decide({ ...question, evidence })).result).toBe("denied");
    const bob = await attest({ key: "bob", type: COSIGN });
    expect((await decide({ ...question, evidence: [once, bob] })).result).toBe("allowed");
  });

  it("case 9: one key under two names is one of n", async () => {
    const rules = signedBy("alice, bob", ", atLeast: 2");
    const both = trust(trusted("alice", "shared"), trusted("bob", "shared"));
    const evidence = [
      await attest({ key: "shared", type: COSIGN }),
      await attest({ key: "shared", type: COSIGN, predicate: { note: "as bob" } }),
    ];
    const decision = await decide({ rules, trust: both, evidence });
    expect(outcome(decision)).toEqual(["unsatisfied"]);
    expect(decision.rules[0]?.missing).toContain("1 of 2 found");
    // Nor by its key id beside one of its names.
    const keyId = keyOf("shared").publicKey.keyId;
    expect(
      (await decide({ rules: signedBy(`alice, "sha256:${keyId}"`, ", atLeast: 2"), trust: both, evidence })).result,
    ).toBe("denied");
  });

  it("case 10: one person with two identities is one of two, where trust gives both the person's name", async () => {
    const rules = signedBy("alice, bob", ", atLeast: 2");
    const two = trust(trusted("alice", "laptop"), trusted("alice", "phone"), trusted("bob"));
    const alice = [await attest({ key: "laptop", type: COSIGN }), await attest({ key: "phone", type: COSIGN })];
    expect((await decide({ rules, trust: two, evidence: alice })).result).toBe("denied");
    const bob = await attest({ key: "bob", type: COSIGN });
    expect((await decide({ rules, trust: two, evidence: [...alice, bob] })).result).toBe("allowed");
    // A key and a certificate of one name are one, and so are two entries that mean one certificate identity.
    const keyAndCertificate = [
      said({ by: "alice" }),
      said({ by: "alice", kind: "certificate", principal: "alice@issuer" }),
    ];
    const oneIdentity = ["alice", "bob"].map((by) =>
      said({ by, kind: "certificate", key: `entry ${by}`, principal: "alice@issuer" }),
    );
    for (const candidates of [keyAndCertificate, oneIdentity]) {
      const decision = evaluate({ ...policy(rules), ...QUESTION, candidates });
      expect(outcome(decision)).toEqual(["unsatisfied"]);
      expect(decision.rules[0]?.missing).toContain("1 of 2 found");
    }
  });

  it("case 13: a policy that asks for nothing is refused, and one that gets past that allows nothing", async () => {
    for (const text of ["", "{}", "version: 1", "version: 1\nname: x", "version: 1\nname: x\nrules: []", "null", "[]"])
      expect(parsePolicy(text).ok, text).toBe(false);
    for (const body of ["evidence: {}", "tests: { identities: [] }", "provenance: { identities: [ci], builders: [] }"])
      expect(parsePolicy(`version: 1\nname: x\nrules:\n  - id: r\n    ${body}\n`).ok, body).toBe(false);
    const request = { ...QUESTION, policyDigest: artifact, candidates: [said()] };
    const { policy: real } = policy(signedBy("release-key"));
    expect(evaluate({ ...request, policy: real }).result).toBe("allowed");
    const [rule] = real.rules;
    for (const empty of [
      {},
      null,
      undefined,
      { version: 1, name: "x" },
      { version: 1, name: "x", rules: [] },
      { version: 1, name: "x", rules: {} },
      { version: 1, name: "x", rules: [{}] },
      { version: 1, name: "x", rules: [{ ...rule, identities: [] }] },
      { version: 1, name: "x", rules: [{ ...rule, atLeast: 0 }] },
      { version: 1, name: "x", rules: [{ ...rule, kind: "anything" }] },
    ])
      expect(evaluate({ ...request, policy: empty as unknown as Policy }).result).toBe("denied");
  });

  it("case 14: a name that looks like another, or that reads like a pattern, is another name", async () => {
    const evidence = [await attest({ key: "k", type: COSIGN })];
    expect((await decide({ rules: signedBy("release"), trust: trust(trusted("release", "k")), evidence })).result).toBe(
      "allowed",
    );
    for (const name of [
      "release\n",
      "Release",
      "r\u0435lease",
      "release.",
      "releas",
      "xrelease",
      "release\u200b",
      ".*",
      "*",
      "**",
    ])
      expect((await decide({ rules: signedBy("release"), trust: trust(trusted(name, "k")), evidence })).result).toBe(
        "denied",
      );
    // A policy cannot hold such a name unseen, and its patterns would be names.
    for (const name of ['"release\\n"', '"release\\u200b"', '" release"', '"rel\\u202eease"'])
      expect(parsePolicy(`version: 1\nname: x\nrules:${signedBy(name)}\n`).ok, name).toBe(false);
    for (const name of ['".*"', '"*"', '"rel.ase"', '"^release$"'])
      expect((await decide({ rules: signedBy(name), trust: trust(trusted("release", "k")), evidence })).result).toBe(
        "denied",
      );
  });

  it("case 15: a summary about another resource, that failed, of another verifier or by a stale policy does not count", async () => {
    const whole = {
      verifier: { id: "https://verifier.example.com" },
      timeVerified: "2026-11-22T10:00:00Z",
      resourceUri: `oci://registry.example.com/default/app@${artifact}`,
      policy: { uri: "https://verifier.example.com/policy", digest: { sha256: hash("current policy") } },
      verificationResult: "PASSED",
      verifiedLevels: ["SLSA_BUILD_LEVEL_3"],
    };
    const rules = `
  - id: verified
    summary:
      identities: [verifier, other]
      verifiers:
        - { id: "https://verifier.example.com", identities: [verifier] }
        - { id: "https://other.example.com", identities: [other] }
      resource: "oci://registry.example.com/{repository}@{digest}"
      levels: [SLSA_BUILD_LEVEL_3]
      policies: ["sha256:${hash("current policy")}"]`;
    const by = trust(trusted("verifier"), trusted("other"), trusted("stranger"));
    const judged = async (change: JsonObject, key = "verifier"): Promise<string[]> =>
      outcome(
        await decide({
          rules,
          trust: by,
          evidence: [await attest({ key, type: VSA, predicate: { ...whole, ...change } })],
        }),
      );
    expect(await judged({})).toEqual(["satisfied"]);
    for (const [change, code, key] of [
      [{ resourceUri: `oci://registry.example.com/default/other@${artifact}` }, "resource-mismatch"],
      [{ resourceUri: `oci://registry.example.com/default/app@${older}` }, "resource-mismatch"],
      [{ resourceUri: `oci://evil.example.com/default/app@${artifact}` }, "resource-mismatch"],
      [{ verificationResult: "FAILED" }, "summary-not-passed"],
      [{ verificationResult: "FAILED", verifiedLevels: ["FAILED"] }, "summary-not-passed"],
      [{ verifier: { id: "https://verifier.example.com.evil.example" } }, "verifier-mismatch"],
      // The other verifier's key under the better one's name, and the reverse.
      [{}, "verifier-signer-mismatch", "other"],
      [{ verifier: { id: "https://other.example.com" } }, "verifier-signer-mismatch"],
      [{}, "other-signer", "stranger"],
      [
        { policy: { uri: "https://verifier.example.com/policy", digest: { sha256: hash("last year's policy") } } },
        "summary-policy-mismatch",
      ],
      [{ verifiedLevels: ["SLSA_BUILD_LEVEL_2"] }, "level-missing"],
      [{ verifiedLevels: ["SLSA_SOURCE_LEVEL_4"] }, "level-missing"],
    ] as const)
      expect(await judged(change as JsonObject, key), code).toEqual(["unsatisfied", code]);
  });

  describe("provenance", () => {
    const provenance = (change: { builder?: string; parameters?: JsonObject; runner?: string } = {}): JsonObject => ({
      buildDefinition: {
        buildType: "https://actions.github.io/buildtypes/workflow/v1",
        externalParameters: {
          workflow: { repository: "https://github.com/example/app", ref: "refs/heads/main", path: "release.yml" },
          ...change.parameters,
        },
        internalParameters: { github: { runner_environment: change.runner ?? "github-hosted" } },
      },
      runDetails: { builder: { id: change.builder ?? "x:good" } },
    });
    const rules = (level = 3): string => `
  - id: built
    provenance:
      identities: [good-builder, poor-builder]
      builders:
        - { id: "x:good", identities: [good-builder], level: 3 }
        - { id: "x:poor", identities: [poor-builder], level: 1 }
      source: { repository: "https://github.com/example/app", ref: refs/heads/main }
      buildTypes: ["https://actions.github.io/buildtypes/workflow/v1"]
      externalParameters: [workflow]
      level: ${level}`;
    const by = trust(trusted("good-builder"), trusted("poor-builder"));
    const judged = async (predicate: JsonObject, key = "good-builder", level = 3): Promise<string[]> =>
      outcome(await decide({ rules: rules(level), trust: by, evidence: [await attest({ key, type: V1, predicate })] }));

    it("is believed when all is as it should be", async () => {
      expect(await judged(provenance())).toEqual(["satisfied"]);
      expect(await judged(provenance({ builder: "x:poor" }), "poor-builder", 1)).toEqual(["satisfied"]);
    });

    it("case 16: one external parameter more is refused, and named", async () => {
      for (const name of ["inputs", "Workflow", "workflow ", "", "constructor", "toString"]) {
        const evidence = [
          await attest({ key: "good-builder", type: V1, predicate: provenance({ parameters: { [name]: {} } }) }),
        ];
        const decision = await decide({ rules: rules(), trust: by, evidence });
        expect(outcome(decision)).toEqual(["unsatisfied", "parameter-unexpected"]);
        expect(decision.rules[0]?.rejected[0]?.observed).toBe(JSON.stringify(name));
      }
    });

    it("case 17: the right builder with another builder's signer is refused", async () => {
      expect(await judged(provenance(), "poor-builder")).toEqual(["unsatisfied", "builder-signer-mismatch"]);
      expect(await judged(provenance({ builder: "x:poor" }), "good-builder")).toEqual([
        "unsatisfied",
        "builder-signer-mismatch",
      ]);
      expect(await judged(provenance({ builder: "x:poor" }), "poor-builder")).toEqual(["unsatisfied", "level-too-low"]);
      expect(await judged(provenance({ builder: "x:unknown" }))).toEqual(["unsatisfied", "builder-mismatch"]);
    });

    it("case 18: a self-hosted runner reaches no level above 1, whatever its builder's id", async () => {
      expect(await judged(provenance({ runner: "self-hosted" }))).toEqual(["unsatisfied", "runner-mismatch"]);
      // Nor where only the certificate says so: it is the platform that speaks there.
      const { policy: parsed, policyDigest } = policy(rules());
      const certified = (runnerEnvironment: string): Candidate =>
        said({
          by: "good-builder",
          type: V1,
          predicate: provenance(),
          kind: "certificate",
          claims: { runnerEnvironment },
        });
      const of = (candidate: Candidate): Decision =>
        evaluate({ ...QUESTION, policy: parsed, policyDigest, candidates: [candidate] });
      expect(outcome(of(certified("github-hosted")))).toEqual(["satisfied"]);
      expect(outcome(of(certified("self-hosted")))).toEqual(["unsatisfied", "runner-mismatch"]);
      // A builder's id that says so is another id.
      expect(await judged(provenance({ builder: "x:good/self-hosted" }))).toEqual(["unsatisfied", "builder-mismatch"]);
    });
  });

  it("case 19: a summary about source on another branch does not count for this one", async () => {
    const predicate = {
      verifier: { id: "https://source.example.com" },
      timeVerified: "2026-11-22T10:00:00Z",
      resourceUri: "git+https://github.com/example/app",
      policy: { uri: "https://source.example.com/policy" },
      verificationResult: "PASSED",
      verifiedLevels: ["SLSA_SOURCE_LEVEL_3"],
    };
    const rules = `
  - id: source
    summary:
      identities: [scs]
      verifiers: ["https://source.example.com"]
      resource: "git+https://github.com/example/app"
      levels: [SLSA_SOURCE_LEVEL_3]
      ref: refs/heads/main`;
    const judged = async (annotations: JsonValue, elsewhere?: JsonValue): Promise<string[]> => {
      const signer = keyOf("scs");
      const statement = {
        _type: "https://in-toto.io/Statement/v1",
        subject: [
          { digest: { sha256: artifact.slice(7), gitCommit: "a".repeat(40) }, annotations },
          ...(elsewhere === undefined ? [] : [{ digest: { sha256: older.slice(7) }, annotations: elsewhere }]),
        ],
        predicateType: VSA,
        predicate,
      };
      const payloadBytes = utf8Encode(JSON.stringify(statement));
      const bundle = await signStatement({
        payloadBytes,
        sign: (bytes) => signer.sign(bytes),
        publicKey: signer.publicKey,
      });
      return outcome(await decide({ rules, trust: trust(trusted("scs")), evidence: [bundle] }));
    };
    expect(await judged({ sourceRefs: ["refs/heads/main"] })).toEqual(["satisfied"]);
    expect(await judged({ sourceRefs: ["refs/heads/attack"] })).toEqual(["unsatisfied", "ref-mismatch"]);
    expect(await judged({ sourceRefs: ["refs/heads/main-2", "main", "refs/tags/refs/heads/main"] })).toEqual([
      "unsatisfied",
      "ref-mismatch",
    ]);
    // The branch of another revision in the same statement is not this one's.
    expect(await judged({ sourceRefs: ["refs/heads/attack"] }, { sourceRefs: ["refs/heads/main"] })).toEqual([
      "unsatisfied",
      "ref-mismatch",
    ]);
    for (const annotations of [{}, { sourceRefs: [] }, { sourceRefs: "refs/heads/main" }, "refs/heads/main", null])
      expect(await judged(annotations)).toEqual(["unknown", "ref-unknown"]);
  });

  it("case 20: an older artifact that was truly signed, and an older clean scan, are refused by their age", async () => {
    const by = trust(trusted("ci"), trusted("scanner"));
    const rules = `
  - id: built-recently
    age: { predicateType: "${V1}", identities: [ci], maximum: 90d }`;
    const predicate = {
      buildDefinition: { buildType: "x:build", externalParameters: {} },
      runDetails: { builder: { id: "x:builder" } },
    };
    // The old image keeps its own, good provenance: what gives it away is when that was proven to be there.
    const old = {
      rules,
      trust: by,
      evidence: [await attest({ key: "ci", type: V1, predicate, about: older })],
      about: older,
    };
    expect(outcome(await decide({ ...old, receivedAt: NOW - 365 * DAY }))).toEqual(["unsatisfied", "too-old"]);
    expect((await decide({ ...old, receivedAt: NOW - 10 * DAY })).result).toBe("allowed");
    // And it is no evidence about the new one.
    expect(outcome(await decide({ ...old, about: artifact }))).toEqual(["unsatisfied", "refused"]);

    const scan = {
      scanner: { uri: "pkg:generic/scanner", db: { lastUpdate: "2026-11-22T00:00:00Z" }, result: [] },
      metadata: { scanStartedOn: "2026-11-22T00:00:00Z", scanFinishedOn: "2026-11-22T00:01:00Z" },
    };
    const scanned = {
      rules: `\n  - id: scanned\n    evidence: { predicateType: "${VULNS}", identities: [scanner], maximumAge: 7d }`,
      trust: by,
      evidence: [await attest({ key: "scanner", type: VULNS, predicate: scan })],
    };
    expect((await decide(scanned)).result).toBe("allowed");
    // Whatever date the scan claims, its proven time decides.
    expect(outcome(await decide({ ...scanned, receivedAt: NOW - 8 * DAY }))).toEqual(["unsatisfied", "too-old"]);
  });

  it("case 21: withholding evidence never turns denied into allowed", async () => {
    const by = trust(trusted("ci"), trusted("alice"), trusted("bob"));
    const evidence = [
      await attest({ key: "ci", type: TESTS, predicate: passed }),
      await attest({ key: "ci", type: TESTS, predicate: { ...passed, result: "FAILED" } }),
      await attest({ key: "ci", type: TESTS, predicate: {} }),
      await attest({ key: "alice", type: COSIGN }),
      await attest({ key: "bob", type: COSIGN }),
      await attest({ key: "mallory", type: COSIGN }),
    ];
    for (const rules of [
      `${signedBy("alice, bob", ", atLeast: 2")}\n  - id: tests\n    tests: { identities: [ci] }`,
      signedBy("alice", ", except: [bob]"),
      "\n  - id: tests\n    tests: { identities: [ci], passed: [unit] }",
    ]) {
      for (let subset = 0; subset < 2 ** evidence.length; subset++) {
        const kept = evidence.filter((_, index) => (subset & (1 << index)) !== 0);
        if ((await decide({ rules, trust: by, evidence: kept })).result === "denied") continue;
        // Everything beside what allowed it still allows.
        expect((await decide({ rules, trust: by, evidence })).result).toBe("allowed");
      }
    }
  });

  it("case 23: a policy with a key twice is refused, so that no two readers can take it for two policies", async () => {
    const text = `version: 1\nname: x\nrules:${signedBy("alice")}\n`;
    expect(parsePolicy(text).ok).toBe(true);
    for (const twice of [
      text.replace("identities:", "identities: [mallory], identities:"),
      text.replace("name: x", "name: x\nname: y"),
      text.replace("version: 1\n", `version: 1\nrules: []\n`),
      text.replace("identities:", '"identities": [mallory], identities:'),
      `${text}---\n${text}`,
      text.replace("identities: [", "identities: &x [").replace("] }", "], except: *x }"),
    ])
      expect(parsePolicy(twice).ok, twice).toBe(false);
    // And what was decided is one text, byte for byte, in whatever order the evidence came.
    const evidence = [await attest({ key: "alice", type: COSIGN }), await attest({ key: "bob", type: COSIGN })];
    const by = trust(trusted("alice"), trusted("bob"));
    const [one, other] = [
      await decide({ rules: signedBy("alice"), trust: by, evidence }),
      await decide({ rules: signedBy("alice"), trust: by, evidence: evidence.toReversed() }),
    ];
    expect(canonicalJson(one as unknown as JsonValue)).toBe(canonicalJson(other as unknown as JsonValue));
  });
});
