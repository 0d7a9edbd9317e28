import { describe, expect, it } from "vitest";
import { trustNames } from "../src/index.ts";
import { COSIGN, DAY, decide, digest, hash, NOW, outcome, refused, reported, said } from "./world.ts";

const one = `
  - id: signed
    evidence: { predicateType: "${COSIGN}", identities: [release-key] }`;
const twoOf = (...names: string[]): string => `
  - id: approved
    evidence: { predicateType: "${COSIGN}", identities: [${names.join(", ")}], atLeast: 2 }`;

describe("required evidence", () => {
  it("is satisfied by verified evidence of the type, by the identity", () => {
    const decision = decide(one, [said()]);
    expect(outcome(decision)).toEqual(["satisfied"]);
    expect(decision.rules[0]?.satisfiedBy).toEqual([
      {
        evidence: said().evidence,
        signer: { keyId: hash("release-key"), entry: "entry-release-key", name: "release-key" },
        identities: ["release-key"],
        time: { source: "received-here", time: NOW - 3_600_000, evidence: "record 17" },
      },
    ]);
    expect(decision.reasons).toEqual(["signed: satisfied by release-key."]);
  });

  it("is not satisfied by nothing, and says what is missing", () => {
    const decision = decide(one, []);
    expect(outcome(decision)).toEqual(["unsatisfied"]);
    expect(decision.rules[0]?.missing).toBe(`evidence of type ${COSIGN} signed by release-key`);
    expect(decision.reasons).toEqual([
      `signed: not satisfied; missing: evidence of type ${COSIGN} signed by release-key. There is no evidence at all.`,
    ]);
  });

  it("never counts reported or refused evidence", () => {
    expect(outcome(decide(one, [reported(COSIGN), refused("signature-invalid", COSIGN)]))).toEqual([
      "unsatisfied",
      "reported",
      "refused",
    ]);
  });

  it("shows evidence that was refused before its type could be read", () => {
    expect(outcome(decide(one, [refused("malformed")]))).toEqual(["unsatisfied", "refused"]);
  });

  it("does not take evidence of another type for the one that is absent", () => {
    expect(outcome(decide(one, [said({ type: "https://cyclonedx.org/bom" })]))).toEqual([
      "unsatisfied",
      "other-predicate-type",
    ]);
  });

  it("compares the type exactly", () => {
    for (const type of [`${COSIGN}/`, COSIGN.toUpperCase(), `${COSIGN}\n`, COSIGN.slice(0, -1), `${COSIGN}?a`]) {
      expect(outcome(decide(one, [said({ type })]))).toEqual(["unsatisfied", "other-predicate-type"]);
    }
  });

  it("compares identities exactly: look-alikes, newlines and case are others", () => {
    for (const by of [
      "release-key\n",
      "Release-key",
      "release-key ",
      "rеlease-key",
      "release-kеy",
      "release-ke",
      "xrelease-key",
      ".*",
      "",
    ]) {
      expect(outcome(decide(one, [said({ by })]))).toEqual(["unsatisfied", "other-signer"]);
    }
  });

  it("takes an identity by entry id and by key id", () => {
    const by = (identity: string): string => one.replace("release-key", identity);
    expect(outcome(decide(by("entry-release-key"), [said()]))).toEqual(["satisfied"]);
    expect(outcome(decide(by(`"sha256:${hash("release-key")}"`), [said()]))).toEqual(["satisfied"]);
    expect(outcome(decide(by(`"${hash("release-key")}"`), [said()]))).toEqual(["satisfied"]);
  });

  it("does not take a trust entry that is named like a key id for that key", () => {
    const keyId = `sha256:${hash("release-key")}`;
    expect(outcome(decide(one.replace("release-key", `"${keyId}"`), [said({ by: keyId, key: "mallory" })]))).toEqual([
      "unsatisfied",
      "other-signer",
    ]);
  });

  it("is an error, not a pass, if the statement is about another artifact", () => {
    const decision = decide(one, [said({ about: digest("another") })]);
    expect(outcome(decision)).toEqual(["error", "subject-mismatch"]);
    expect(decision.reasons[0]).toContain("an error, which denies");
  });

  it("takes no subject's name, other algorithm or other spelling for the artifact's digest", () => {
    const hex = digest("artifact").slice(7);
    for (const subject of [
      { name: hex, digest: { sha512: hex } },
      { digest: { sha256: hex.toUpperCase() } },
      { digest: { sha1: hex } },
      {},
      null,
      hex,
    ]) {
      const changed = said();
      expect(
        outcome(
          decide(one, [{ ...changed, statement: { ...changed.statement, subjects: [subject] } } as typeof changed]),
        )[0],
      ).toBe("error");
    }
  });

  it("does not let one piece's error hide another that counts", () => {
    expect(outcome(decide(one, [said({ about: digest("another") }), said()]))).toEqual([
      "satisfied",
      "subject-mismatch",
    ]);
  });

  it("ignores evidence recorded after the sequence as of which is decided", () => {
    expect(outcome(decide(one, [said({ sequence: 41 })]))).toEqual(["unsatisfied", "after-as-of"]);
    expect(outcome(decide(one, [said({ sequence: 40 })]))).toEqual(["satisfied"]);
    expect(outcome(decide(one, [said({ sequence: 41 })], { asOf: null }))).toEqual(["satisfied"]);
  });

  it("refuses times that lie in the future by more than the clocks' difference", () => {
    expect(outcome(decide(one, [said({ at: NOW + 5 * 60_000 })]))).toEqual(["satisfied"]);
    expect(outcome(decide(one, [said({ at: NOW + 5 * 60_000 + 1 })]))).toEqual(["unsatisfied", "time-in-future"]);
  });
});

describe("n of m identities", () => {
  it("needs as many different identities", () => {
    expect(outcome(decide(twoOf("alice", "bob"), [said({ by: "alice" }), said({ by: "bob" })]))).toEqual(["satisfied"]);
    const half = decide(twoOf("alice", "bob"), [said({ by: "alice" })]);
    expect(outcome(half)).toEqual(["unsatisfied"]);
    expect(half.rules[0]?.missing).toBe(
      `evidence of type ${COSIGN} signed by 2 different identities of alice, bob; 1 of 2 found`,
    );
  });

  it("counts many signatures of one identity once", () => {
    const many = Array.from({ length: 20 }, (_, index) => said({ by: "alice", nonce: String(index) }));
    expect(outcome(decide(twoOf("alice", "bob"), many))[0]).toBe("unsatisfied");
  });

  it("counts one key under two names once", () => {
    const both = [said({ by: "alice", key: "k" }), said({ by: "bob", key: "k" })];
    expect(outcome(decide(twoOf("alice", "bob"), both))[0]).toBe("unsatisfied");
  });

  it("counts one key under its name and its key id once", () => {
    expect(outcome(decide(twoOf("alice", `"sha256:${hash("alice")}"`), [said({ by: "alice" })]))[0]).toBe(
      "unsatisfied",
    );
  });

  it("counts one name with two keys once", () => {
    const both = [said({ by: "alice", key: "old" }), said({ by: "alice", key: "new" })];
    expect(outcome(decide(twoOf("alice", "bob"), both))[0]).toBe("unsatisfied");
  });

  it("finds the assignment that counts most, not the first one", () => {
    // k1 signed as alice and as bob, k2 as alice only: alice-k2 and bob-k1 are two.
    const signed = [said({ by: "alice", key: "k1" }), said({ by: "bob", key: "k1" }), said({ by: "alice", key: "k2" })];
    expect(outcome(decide(twoOf("alice", "bob"), signed))).toEqual(["satisfied"]);
  });

  it("counts one key that trust lists under both names once", () => {
    const both = said({ by: "alice", key: "k", also: { bob: true } });
    expect(outcome(decide(twoOf("alice", "bob"), [both]))[0]).toBe("unsatisfied");
    expect(outcome(decide(twoOf("alice", "bob"), [both, said({ by: "alice", key: "l" })]))[0]).toBe("satisfied");
  });

  it("is unknown only if what is open would be enough", () => {
    const rule = (n: number): string => `
  - id: fresh
    evidence: { predicateType: "${COSIGN}", identities: [alice, bob, carol], atLeast: ${n}, maximumAge: 1d }`;
    const signed = [said({ by: "alice" }), said({ by: "bob", at: null })];
    expect(outcome(decide(rule(2), signed))).toEqual(["unknown", "time-unproven"]);
    expect(outcome(decide(rule(3), signed))).toEqual(["unsatisfied", "time-unproven"]);
  });
});

describe("except", () => {
  const rule = (except: string): string => `
  - id: signed
    evidence: { predicateType: "${COSIGN}", identities: [release-key], except: [${except}] }`;

  it("makes evidence of an identity never count", () => {
    expect(outcome(decide(rule(`"sha256:${hash("leaked")}"`), [said({ key: "leaked" })]))).toEqual([
      "unsatisfied",
      "excepted-signer",
    ]);
  });

  it("does not turn that evidence into a prohibition", () => {
    expect(outcome(decide(rule(`"sha256:${hash("leaked")}"`), [said({ key: "leaked" }), said()]))).toEqual([
      "satisfied",
      "excepted-signer",
    ]);
  });
});

describe("a key with several trust entries", () => {
  const rule = (except = ""): string => `
  - id: signed
    evidence: { predicateType: "${COSIGN}", identities: [second]${except} }`;
  const reason = (decision: ReturnType<typeof decide>) => decision.rules[0]?.rejected[0]?.reason;

  it("signs as each of those that cover the evidence, by name and by id", () => {
    const signed = said({ by: "first", key: "k", also: { second: true } });
    expect(outcome(decide(rule(), [signed]))).toEqual(["satisfied"]);
    expect(outcome(decide(rule().replace("second", "entry-second"), [signed]))).toEqual(["satisfied"]);
    expect(decide(rule(), [signed]).reasons).toEqual(["signed: satisfied by second."]);
    expect(decide(rule(), [signed]).rules[0]?.satisfiedBy[0]).toMatchObject({
      signer: { keyId: hash("k"), entry: "entry-first", name: "first" },
      identities: ["second"],
    });
  });

  it("does not sign as one that does not cover it, and the reason says so", () => {
    const decision = decide(rule(), [said({ by: "first", also: { second: false } })]);
    expect(outcome(decision)).toEqual(["unsatisfied", "other-signer"]);
    expect(reason(decision)).toContain(
      "whose key is also that of second, but trusted as such for another scope or time",
    );
  });

  it("is excepted under each of them, whether it covers the evidence or not", () => {
    for (const except of ["first", "third", "entry-third", `"sha256:${hash("k")}"`]) {
      for (const counts of [true, false]) {
        const signed = said({ by: "second", key: "k", also: { first: true, third: counts } });
        expect(outcome(decide(rule(`, except: [${except}]`), [signed]))).toEqual(["unsatisfied", "excepted-signer"]);
      }
    }
    const decision = decide(rule(", except: [first]"), [said({ by: "second", also: { first: false } })]);
    expect(reason(decision)).toBe("The rule excepts first, whose key signed it.");
  });

  it("is shown under all its names where none is asked for, and the rest are counted", () => {
    const also = { e: true, d: true, c: true, b: true, unseen: false };
    const decision = decide(rule(), [said({ by: "first", also })]);
    expect(reason(decision)).toBe(
      `It is signed by "first" (key sha256:${hash("first")}, also trusted as "b", "c", "d" and 1 more), whom the rule does not name.`,
    );
  });

  it("satisfies a builder's pair by each of them", () => {
    const provenance = `
  - id: built
    provenance: { identities: [first, second], builders: [{ id: "x:builder", identities: [second] }] }`;
    const built = (also: { [name: string]: boolean }) =>
      said({
        by: "first",
        also,
        type: "https://slsa.dev/provenance/v1",
        predicate: {
          runDetails: { builder: { id: "x:builder" } },
          buildDefinition: { buildType: "x:build", externalParameters: {} },
        },
      });
    expect(outcome(decide(provenance, [built({ second: true })]))).toEqual(["satisfied"]);
    expect(outcome(decide(provenance, [built({ second: false })]))).toEqual(["unsatisfied", "builder-signer-mismatch"]);
  });
});

describe("an identity that nobody in the trust version bears", () => {
  const entries = ["release-key", "ci"].map((name) => ({ id: `entry-${name}`, name, keyId: hash(name) })) as never;
  const trust = { org: "default", version: 10, names: trustNames({ entries }) };
  const missing = (identities: string, change = {}, atLeast = 1) =>
    decide(
      `
  - id: signed
    evidence: { predicateType: "${COSIGN}", identities: [${identities}], atLeast: ${atLeast} }`,
      [said()],
      { trust, ...change },
    ).rules[0]?.missing;

  it("is named where the rule is not satisfied", () => {
    expect(missing("relaese")).toBe(
      `evidence of type ${COSIGN} signed by relaese; trust version 10 has no entry named relaese`,
    );
    expect(missing("release-key, relaese", {}, 2)).toMatch(
      /; 1 of 2 found; trust version 10 has no entry named relaese$/,
    );
  });

  it("is told by name or by key, and in plain characters", () => {
    const other = `sha256:${hash("other")}`;
    expect(missing(`a, b, ci, "${other}"`)).toMatch(
      new RegExp(`; trust version 10 has no entry named a or b and no entry with the key ${other}$`),
    );
  });

  it("is not claimed of one that is there by name, id or key, nor where trust's names are not given", () => {
    for (const somebody of ["ci", "entry-ci", `"sha256:${hash("ci")}"`]) {
      expect(missing(somebody)).not.toContain("has no entry");
    }
    expect(missing("relaese", { trust: { org: "default", version: 10 } })).not.toContain("has no entry");
  });

  it("changes no outcome", () => {
    expect(missing("release-key, relaese")).toBeUndefined();
  });
});

describe("verification summaries", () => {
  const VSA = "https://slsa.dev/verification_summary/v1";
  const rule = `
  - id: checked
    evidence: { predicateType: "${VSA}", identities: [verifier] }`;
  const summary = (predicate: object) => said({ by: "verifier", type: VSA, predicate: predicate as never });

  it("never count unless a rule names their type", () => {
    expect(outcome(decide(one, [summary({ verificationResult: "PASSED" })]))).toEqual([
      "unsatisfied",
      "other-predicate-type",
    ]);
  });

  it("count if named, passed and by the named signer", () => {
    const whole = {
      verifier: { id: "https://verifier.example.com" },
      timeVerified: "2026-11-22T10:00:00Z",
      resourceUri: "pkg:oci/app",
      policy: { uri: "https://verifier.example.com/policy" },
      verificationResult: "PASSED",
      verifiedLevels: ["SLSA_BUILD_LEVEL_3"],
    };
    expect(outcome(decide(rule, [summary(whole)]))).toEqual(["satisfied"]);
    for (const key of Object.keys(whole).filter((one) => one !== "verificationResult" && one !== "timeVerified")) {
      const without = Object.fromEntries(Object.entries(whole).filter(([name]) => name !== key));
      expect(outcome(decide(rule, [summary(without)]))).toEqual(["unknown", "predicate-malformed"]);
    }
    expect(
      outcome(decide(rule, [said({ by: "other", type: VSA, predicate: { verificationResult: "PASSED" } })])),
    ).toEqual(["unsatisfied", "other-signer"]);
  });

  it("do not count if they failed or do not say", () => {
    for (const verificationResult of ["FAILED", "passed", "", null, true, ["PASSED"]]) {
      expect(outcome(decide(rule, [summary({ verificationResult })]))).toEqual(["unsatisfied", "summary-not-passed"]);
    }
    expect(outcome(decide(rule, [summary({})]))).toEqual(["unsatisfied", "summary-not-passed"]);
  });

  it("of this very policy never feed its decision", () => {
    const own = decide(rule, []).policy.digest.slice(7);
    const candidate = summary({ verificationResult: "PASSED", policy: { uri: "x:y", digest: { sha256: own } } });
    expect(outcome(decide(rule, [candidate]))).toEqual(["unsatisfied", "summary-of-this-policy"]);
  });
});

describe("maximum age", () => {
  const option = `
  - id: fresh
    evidence: { predicateType: "${COSIGN}", identities: [release-key], maximumAge: 7d }`;
  const kind = `
  - id: fresh
    age: { predicateType: "${COSIGN}", identities: [release-key], maximum: 7d }`;

  describe.each([
    ["as an option", option],
    ["as a rule", kind],
  ])("%s", (_, rule) => {
    it("holds up to and including the limit", () => {
      expect(outcome(decide(rule, [said({ at: NOW - 7 * DAY })]))).toEqual(["satisfied"]);
      expect(outcome(decide(rule, [said({ at: NOW - 7 * DAY - 1 })]))).toEqual(["unsatisfied", "too-old"]);
    });

    it("is unknown without proven time", () => {
      expect(outcome(decide(rule, [said({ at: null })]))).toEqual(["unknown", "time-unproven"]);
    });

    it("is not fooled by a time in the future", () => {
      expect(outcome(decide(rule, [said({ at: NOW + DAY })]))).toEqual(["unsatisfied", "time-in-future"]);
    });

    it("never uses a time that the signer claims or that only says when it was received", () => {
      const claims = {
        ...said({ at: null, predicate: { time: NOW, timestamp: new Date(NOW).toISOString() } }),
        receivedAt: NOW,
      };
      expect(outcome(decide(rule, [claims]))).toEqual(["unknown", "time-unproven"]);
    });

    it("takes any source of proven time", () => {
      for (const source of ["received-here", "receipt", "rfc3161", "log"] as const) {
        expect(outcome(decide(rule, [said({ source })]))).toEqual(["satisfied"]);
      }
    });
  });

  it("says how old the evidence is, by what proof, and how old it may be", () => {
    const [rejection] = decide(kind, [said({ at: NOW - 9 * DAY })]).rules[0]?.rejected ?? [];
    expect(rejection?.reason).toBe('It is 9d old (proven by "record 17"); at most 7d is allowed.');
  });
});
