import type { JsonObject, JsonValue } from "@assay/evidence";
import { describe, expect, it } from "vitest";
import { parsePolicy } from "../src/index.ts";
import { ARTIFACT, decide, digest, hash, outcome, refused, said } from "./world.ts";

const VSA = "https://slsa.dev/verification_summary/v1";
const POLICY = hash("the verifier's policy");

const whole: JsonObject = {
  verifier: { id: "https://verifier.example.com" },
  timeVerified: "2026-11-22T10:00:00Z",
  resourceUri: `oci://registry.example.com/default/app@${ARTIFACT}`,
  policy: { uri: "https://verifier.example.com/policy", digest: { sha256: POLICY } },
  verificationResult: "PASSED",
  verifiedLevels: ["SLSA_BUILD_LEVEL_3", "ORG_SCANNED"],
};
const vsa = (change: { [key: string]: JsonValue } = {}, by = "verifier", annotations?: JsonObject) =>
  said({ by, type: VSA, predicate: { ...whole, ...change }, ...(annotations === undefined ? {} : { annotations }) });

const rule = (more = "levels: [SLSA_BUILD_LEVEL_3]"): string => `
  - id: verified
    summary:
      identities: [verifier]
      verifiers: [https://verifier.example.com]
      resource: oci://registry.example.com/{repository}@{digest}
      ${more}`;
const judged = (candidate: ReturnType<typeof vsa>, more?: string) => outcome(decide(rule(more), [candidate]));

describe("a verification summary of another verifier", () => {
  it("counts if all seven things that SLSA asks for hold", () => {
    const decision = decide(rule(), [vsa()]);
    expect(outcome(decision)).toEqual(["satisfied"]);
    expect(decision.rules[0]?.levels).toEqual(["SLSA_BUILD_LEVEL_3"]);
  });

  it("1: must verify", () => {
    expect(outcome(decide(rule(), [refused("signature-invalid", VSA)]))).toEqual(["unsatisfied", "refused"]);
    expect(judged(vsa({}, "mallory"))).toEqual(["unsatisfied", "other-signer"]);
  });

  it("2: must name the artifact", () => {
    const about = said({ by: "verifier", type: VSA, predicate: whole, about: digest("another") });
    expect(outcome(decide(rule(), [about]))).toEqual(["error", "subject-mismatch"]);
  });

  it("3: must be of the type, in its version", () => {
    for (const type of ["https://slsa.dev/verification_summary/v0.2", "https://in-toto.io/attestation/svr/v0.2"])
      expect(outcome(decide(rule(), [said({ by: "verifier", type, predicate: whole })]))).toEqual([
        "unsatisfied",
        "other-predicate-type",
      ]);
  });

  it("4: must be of an accepted verifier, with its own signer", () => {
    expect(judged(vsa({ verifier: { id: "https://verifier.example.com/" } }))).toEqual([
      "unsatisfied",
      "verifier-mismatch",
    ]);
    for (const verifier of [{}, { id: "" }, { id: 7 }, "https://verifier.example.com"])
      expect(judged(vsa({ verifier }))).toEqual(["unknown", "verifier-unknown"]);
    const pairs = `
  - id: verified
    summary:
      identities: [verifier, other]
      verifiers:
        - { id: https://verifier.example.com, identities: [verifier] }
        - { id: https://other.example.com, identities: [other] }
      resource: oci://registry.example.com/{repository}@{digest}
      levels: [SLSA_BUILD_LEVEL_3]`;
    expect(outcome(decide(pairs, [vsa({}, "other")]))).toEqual(["unsatisfied", "verifier-signer-mismatch"]);
    expect(outcome(decide(pairs, [vsa()]))).toEqual(["satisfied"]);
  });

  it("5: must be about the resource, exactly, and that of this repository", () => {
    for (const resourceUri of [
      `oci://registry.example.com/default/app@${ARTIFACT}/`,
      `oci://registry.example.com/default/other@${ARTIFACT}`,
      `oci://registry.example.com/default/app@${digest("another")}`,
      "oci://registry.example.com/{repository}@{digest}",
    ])
      expect(judged(vsa({ resourceUri }))).toEqual(["unsatisfied", "resource-mismatch"]);
    for (const resourceUri of ["", 7, {}])
      expect(judged(vsa({ resourceUri }))).toEqual(["unknown", "resource-unknown"]);
    const nowhere = decide(rule(), [vsa()], { artifact: { digest: ARTIFACT } });
    expect(outcome(nowhere)).toEqual(["unsatisfied", "resource-mismatch"]);
    // A repository's name is put in as it is, never as a pattern.
    const odd = decide(rule(), [vsa()], { artifact: { digest: ARTIFACT, repository: "$&{digest}" } });
    expect(outcome(odd)).toEqual(["unsatisfied", "resource-mismatch"]);
  });

  it("6: must have passed", () => {
    for (const verificationResult of ["FAILED", "passed", "", true])
      expect(judged(vsa({ verificationResult }))).toEqual(["unsatisfied", "summary-not-passed"]);
  });

  it("7: must say that what is needed was verified", () => {
    expect(judged(vsa({ verifiedLevels: ["SLSA_BUILD_LEVEL_2"] }))).toEqual(["unsatisfied", "level-missing"]);
    expect(judged(vsa({ verifiedLevels: [] }))).toEqual(["unsatisfied", "level-missing"]);
    expect(judged(vsa({ verifiedLevels: ["SLSA_SOURCE_LEVEL_3"] }))).toEqual(["unsatisfied", "level-missing"]);
    expect(judged(vsa(), "levels: [SLSA_BUILD_LEVEL_2, ORG_SCANNED]")).toEqual(["satisfied"]);
    expect(judged(vsa(), "levels: [ORG_REVIEWED]")).toEqual(["unsatisfied", "level-missing"]);
  });

  it("must not say two things of one track, or pass and fail", () => {
    for (const verifiedLevels of [
      ["SLSA_BUILD_LEVEL_1", "SLSA_BUILD_LEVEL_3"],
      ["SLSA_BUILD_LEVEL_3", "FAILED"],
      "SLSA_BUILD_LEVEL_3",
      [3],
    ])
      expect(judged(vsa({ verifiedLevels }))).toEqual(["unknown", "levels-unknown"]);
  });

  it("must be by an accepted policy, where the rule lists some", () => {
    const listed = `policies: ["sha256:${POLICY}"]`;
    expect(judged(vsa(), listed)).toEqual(["satisfied"]);
    expect(judged(vsa({ policy: { uri: "x:y", digest: { sha256: hash("replaced") } } }), listed)).toEqual([
      "unsatisfied",
      "summary-policy-mismatch",
    ]);
    expect(judged(vsa({ policy: { uri: "https://verifier.example.com/policy" } }), listed)).toEqual([
      "unknown",
      "summary-policy-unknown",
    ]);
  });

  it("must be well-formed", () => {
    expect(judged(vsa({ timeVerified: "yesterday" }))).toEqual(["unknown", "predicate-malformed"]);
    expect(judged(vsa({ policy: {} }))).toEqual(["unknown", "predicate-malformed"]);
  });

  it("about source must be about the branch", () => {
    const branch = "levels: [SLSA_BUILD_LEVEL_3]\n      ref: [refs/heads/main, refs/heads/release]";
    expect(judged(vsa({}, "verifier", { sourceRefs: ["refs/heads/dev", "refs/heads/main"] }), branch)).toEqual([
      "satisfied",
    ]);
    expect(judged(vsa({}, "verifier", { sourceRefs: ["refs/heads/dev"] }), branch)).toEqual([
      "unsatisfied",
      "ref-mismatch",
    ]);
    for (const annotations of [
      {},
      { sourceRefs: [] },
      { sourceRefs: "refs/heads/main" },
      { sourceRefs: [7] },
      undefined,
    ])
      expect(judged(vsa({}, "verifier", annotations as JsonObject), branch)).toEqual(["unknown", "ref-unknown"]);
  });
});

describe("a rule about summaries", () => {
  const refusals = (more: string, from: (text: string) => string = (text) => text): string[] => {
    const parsed = parsePolicy(`version: 1\nname: x\nrules:${from(rule(more))}`);
    return parsed.ok ? [] : parsed.errors.map(({ message }) => message);
  };

  it("asks for something that was verified", () => {
    expect(refusals("maximumAge: 1d")).toEqual([
      "`summary` asks for nothing that was verified: give it `levels`, `policies` or both.",
    ]);
  });

  it("asks for no level that cannot be, and for one per track", () => {
    expect(refusals("levels: [SLSA_BUILD_LEVEL_9]")[0]).toContain("is no level that can be asked for");
    expect(refusals("levels: [SLSA_MINE]")[0]).toContain("does not begin with SLSA_");
    expect(refusals("levels: [SLSA_BUILD_LEVEL_1, SLSA_BUILD_LEVEL_2]")).toEqual([
      "`levels` has two levels of the track BUILD: keep one.",
    ]);
  });

  it("pairs each verifier with its signers as soon as one could sign for another", () => {
    const two = (text: string): string =>
      text
        .replace("[verifier]", "[verifier, other]")
        .replace("[https://verifier.example.com]", "[https://verifier.example.com, x:other]");
    expect(refusals("levels: [ORG_A]", two)).toHaveLength(2);
    expect(refusals("levels: [ORG_A]", two)[0]).toContain("does not say who signs for it");
  });

  it("knows resources as URIs with two placeholders", () => {
    for (const wrong of ["{digest}", "app", "oci://x/{name}", "oci://x/{", "oci://x y"])
      expect(refusals("levels: [ORG_A]", (text) => text.replace(/resource: .*/, `resource: "${wrong}"`))[0]).toContain(
        "is not a URI",
      );
  });
});
