import type { JsonObject } from "@assay/evidence";
import { describe, expect, it } from "vitest";
import { parsePolicy, vsaPredicate } from "../src/index.ts";
import { highestPerTrack, includesLevel, isLevelWord, repeatedTrack } from "../src/slsa-level.ts";
import { decide, NOW, outcome, said } from "./world.ts";

const V1 = "https://slsa.dev/provenance/v1";
const BUILDER = "https://ci.example.com/builder/v1";

const built = (change: { builder?: string; parameters?: JsonObject; runner?: string } = {}): JsonObject => ({
  buildDefinition: {
    buildType: "https://example.com/build/v1",
    externalParameters: {
      workflow: { repository: "https://github.com/example/app", ref: "refs/heads/main", path: "release.yml" },
      ...change.parameters,
    },
    ...(change.runner === undefined ? {} : { internalParameters: { github: { runner_environment: change.runner } } }),
  },
  runDetails: { builder: { id: change.builder ?? BUILDER } },
});

const rule = (more: string, builders = `[{ id: "${BUILDER}", identities: [ci], level: 3 }]`): string => `
  - id: built
    provenance:
      identities: [ci, backup]
      builders: ${builders}
      source: { repository: https://github.com/example/app, ref: refs/heads/main }
      buildTypes: [https://example.com/build/v1]
      externalParameters: [workflow]
      ${more}`;

const by = (who: string, predicate: JsonObject, claims?: { [name: string]: string }) =>
  said({ by: who, type: V1, predicate, ...(claims === undefined ? {} : { kind: "certificate", claims }) });

describe("the table of builders", () => {
  it("says which level builder and signer reach together", () => {
    for (const level of [1, 2, 3]) {
      const decision = decide(rule(`level: ${level}`), [by("ci", built())]);
      expect(outcome(decision)).toEqual(["satisfied"]);
      expect(decision.rules[0]?.levels).toEqual([`SLSA_BUILD_LEVEL_${level}`]);
    }
    const lower = `[{ id: "${BUILDER}", identities: [ci], level: 2 }, { id: "x:best", level: 3 }]`;
    const decision = decide(rule("level: 3", lower), [by("ci", built())]);
    expect(outcome(decision)).toEqual(["unsatisfied", "level-too-low"]);
    expect(decision.rules[0]).not.toHaveProperty("levels");
    expect(decision.rules[0]?.rejected[0]?.reason).toBe(
      "By the rule's table this builder reaches build level 2; level 3 is asked for.",
    );
    expect(decision.rules[0]?.missing).toContain("provenance of build level 3 by builder");
  });

  it("gives level 1 to a builder of which it says nothing, and accepts no builder that is not in it", () => {
    const plain = `["${BUILDER}", { id: "x:best", level: 3 }]`;
    expect(outcome(decide(rule("level: 1", plain), [by("ci", built())]))).toEqual(["satisfied"]);
    expect(outcome(decide(rule("level: 2", plain), [by("ci", built())]))).toEqual(["unsatisfied", "level-too-low"]);
    expect(outcome(decide(rule("level: 1", plain), [by("ci", built({ builder: "x:none" }))]))).toEqual([
      "unsatisfied",
      "builder-mismatch",
    ]);
  });

  it("does not lend one signer another's level", () => {
    const pairs = `[{ id: "${BUILDER}", identities: [ci], level: 3 }, { id: "x:other", identities: [backup], level: 1 }]`;
    expect(outcome(decide(rule("level: 3", pairs), [by("backup", built())]))).toEqual([
      "unsatisfied",
      "builder-signer-mismatch",
    ]);
  });

  it("demands every expectation before it speaks of a level", () => {
    const refused = (yaml: string): string[] => {
      const parsed = parsePolicy(`version: 1\nname: x\nrules:${yaml}`);
      return parsed.ok ? [] : parsed.errors.map(({ message }) => message);
    };
    for (const key of ["source", "buildTypes", "externalParameters"]) {
      const lines = rule("level: 3")
        .split("\n")
        .filter((line) => !line.trim().startsWith(`${key}:`));
      expect(refused(lines.join("\n"))).toEqual([`\`level\` (3) is demanded without \`${key}\`: add it.`]);
    }
    expect(refused(rule("level: 3", `["${BUILDER}"]`))).toEqual([
      "`level` (3) is demanded, but the best of `builders` reaches level 1: it could never be satisfied.",
    ]);
    for (const level of [0, 4, 2.5, '"3"']) expect(refused(rule(`level: ${level}`)).length).toBeGreaterThan(0);
  });
});

describe("where a build ran", () => {
  it("is asked of the certificate, or else of the provenance", () => {
    const hosted = rule("runner: github-hosted");
    const claims = { runnerEnvironment: "github-hosted" };
    expect(outcome(decide(hosted, [by("ci", built(), claims)]))).toEqual(["satisfied"]);
    expect(outcome(decide(hosted, [by("ci", built({ runner: "github-hosted" }))]))).toEqual(["satisfied"]);
    expect(outcome(decide(hosted, [by("ci", built())]))).toEqual(["unknown", "runner-unknown"]);
    expect(outcome(decide(hosted, [by("ci", built({ runner: "self-hosted" }), claims)]))).toEqual([
      "unsatisfied",
      "runner-mismatch",
    ]);
    expect(
      outcome(decide(hosted, [by("ci", built({ runner: "github-hosted" }), { runnerEnvironment: "self-hosted" })])),
    ).toEqual(["unsatisfied", "runner-mismatch"]);
  });

  it("keeps a self-hosted build at level 1, whatever the table says", () => {
    const claims = { runnerEnvironment: "self-hosted" };
    expect(outcome(decide(rule("level: 1"), [by("ci", built(), claims)]))).toEqual(["satisfied"]);
    for (const candidate of [by("ci", built(), claims), by("ci", built({ runner: "self-hosted" }))])
      expect(outcome(decide(rule("level: 2"), [candidate]))).toEqual(["unsatisfied", "runner-mismatch"]);
  });
});

describe("levels in words", () => {
  it("are met by higher ones of the same track only", () => {
    expect(includesLevel(["SLSA_BUILD_LEVEL_3"], "SLSA_BUILD_LEVEL_2")).toBe(true);
    expect(includesLevel(["SLSA_BUILD_LEVEL_1"], "SLSA_BUILD_LEVEL_2")).toBe(false);
    expect(includesLevel(["SLSA_SOURCE_LEVEL_3"], "SLSA_BUILD_LEVEL_2")).toBe(false);
    for (const word of ["SLSA_BUILD_LEVEL_10", "slsa_build_level_3", "SLSA_BUILD_LEVEL_3 ", "SLSA_BUILD_LEVEL_3\n"])
      expect(includesLevel([word], "SLSA_BUILD_LEVEL_1")).toBe(false);
    expect(includesLevel(["ORG_SCANNED"], "ORG_SCANNED")).toBe(true);
    // That nobody looked is not level 0, which says that somebody did.
    expect(includesLevel(["SLSA_BUILD_LEVEL_UNEVALUATED"], "SLSA_BUILD_LEVEL_0")).toBe(false);
    expect(includesLevel(["SLSA_BUILD_LEVEL_0"], "SLSA_BUILD_LEVEL_0")).toBe(true);
    // Asked for where the verifier's word is all that is wanted: any level of the track says that and more.
    expect(includesLevel(["SLSA_BUILD_LEVEL_UNEVALUATED"], "SLSA_BUILD_LEVEL_UNEVALUATED")).toBe(true);
    expect(includesLevel(["SLSA_BUILD_LEVEL_2"], "SLSA_BUILD_LEVEL_UNEVALUATED")).toBe(true);
    expect(includesLevel([], "SLSA_BUILD_LEVEL_UNEVALUATED")).toBe(false);
    expect(repeatedTrack(["SLSA_BUILD_LEVEL_UNEVALUATED", "SLSA_BUILD_LEVEL_3"])).toBe("BUILD");
  });

  it("may not be made up under SLSA's name", () => {
    for (const word of ["SLSA_BUILD_LEVEL_3", "SLSA_SOURCE_TWO_PARTY_REVIEWED", "ORG_SCANNED", "SLSA_SOURCE_LEVEL_4"])
      expect(isLevelWord(word)).toBe(true);
    for (const word of ["SLSA_ORG_SCANNED", "SLSA_BUILD_LEVEL_5", "FAILED", "org", "", "SLSA_"])
      expect(isLevelWord(word)).toBe(false);
  });

  it("are one per track", () => {
    expect(repeatedTrack(["SLSA_BUILD_LEVEL_1", "SLSA_BUILD_LEVEL_3"])).toBe("BUILD");
    expect(repeatedTrack(["SLSA_BUILD_LEVEL_1", "SLSA_SOURCE_LEVEL_3", "ORG_A", "ORG_A"])).toBeUndefined();
    expect(highestPerTrack(["SLSA_BUILD_LEVEL_1", "SLSA_SOURCE_LEVEL_2", "SLSA_BUILD_LEVEL_3", "ORG_A"])).toEqual([
      "ORG_A",
      "SLSA_BUILD_LEVEL_3",
      "SLSA_SOURCE_LEVEL_2",
    ]);
  });
});

describe("our own verification summary", () => {
  const context = { verifierId: "x:v", resourceUri: "x:r", policyUri: "x:p", timeVerified: NOW };

  it("claims the level that the policy demands and found, one per track, and makes no claim about dependencies", () => {
    const two = `${rule("level: 2")}
  - id: better
    provenance:
      identities: [ci]
      builders: [{ id: "${BUILDER}", level: 3 }]
      source: { repository: https://github.com/example/app }
      buildTypes: [https://example.com/build/v1]
      externalParameters: [workflow]
      level: 3`;
    const predicate = vsaPredicate(decide(two, [by("ci", built())]), context);
    expect(predicate["verifiedLevels"]).toEqual(["SLSA_BUILD_LEVEL_3"]);
    expect(predicate).not.toHaveProperty("dependencyLevels");
  });

  it("claims nothing where the policy demands no level, and FAILED where it denies", () => {
    expect(vsaPredicate(decide(rule(""), [by("ci", built())]), context)["verifiedLevels"]).toEqual([]);
    const denied = decide(`${rule("level: 2")}\n  - id: more\n    tests: { identities: [ci] }`, [by("ci", built())]);
    expect(vsaPredicate(denied, context)).toMatchObject({ verificationResult: "FAILED", verifiedLevels: ["FAILED"] });
  });
});
