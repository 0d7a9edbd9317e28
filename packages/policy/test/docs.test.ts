import { readFileSync } from "node:fs";
import type { JsonValue } from "@assay/evidence";
import { describe, expect, it } from "vitest";
import type { Candidate } from "../src/index.ts";
import { evaluate, parsePolicy, REJECTIONS } from "../src/index.ts";
import { RULE_KINDS } from "../src/schema.ts";
import { ARTIFACT, COSIGN, DAY, NOW, said } from "./world.ts";

const guide = readFileSync(new URL("../../../docs/policy.md", import.meta.url), "utf8");

/** The fenced YAML blocks of the guide; each is a whole policy, or rules. */
const blocks = [...guide.matchAll(/^```yaml\n([^]*?)^```/gm)].map(([, text = ""]) => text);
const policyText = (block: string): string =>
  block.startsWith("version:") ? block : `version: 1\nname: example\nrules:\n${block}`;

const provenance: JsonValue = {
  buildDefinition: {
    buildType: "https://example.com/build/v1",
    externalParameters: {
      workflow: {
        repository: "https://github.com/example/app",
        ref: "refs/heads/main",
        path: ".github/workflows/release.yml",
      },
    },
    resolvedDependencies: [
      { uri: "git+https://github.com/example/app@refs/heads/main", digest: { gitCommit: "d".repeat(40) } },
    ],
  },
  runDetails: { builder: { id: "https://ci.example.com/builder/v1" } },
};

const summary = (verifier: string, resourceUri: string, verifiedLevels: string[]): JsonValue => ({
  verifier: { id: verifier },
  timeVerified: "2026-11-22T11:00:00Z",
  resourceUri,
  policy: { uri: "https://example.com/policy", digest: { sha256: "a".repeat(64) } },
  verificationResult: "PASSED",
  verifiedLevels,
});

/** What a well-run release has: the guide's examples are written so that this satisfies each of them. */
const release: readonly Candidate[] = [
  said({ by: "release-key" }),
  ...["alice", "bob"].map((by) => said({ by, type: "https://example.com/approval/v1" })),
  said({
    by: "ci",
    type: "https://in-toto.io/attestation/test-result/v0.1",
    predicate: { result: "PASSED", configuration: [{ name: "ci.yml" }], passedTests: ["unit", "end-to-end"] },
  }),
  said({ by: "ci", type: "https://slsa.dev/provenance/v1", predicate: provenance, at: NOW - DAY }),
  said({
    by: "release-verifier",
    type: "https://slsa.dev/verification_summary/v1",
    predicate: summary("https://verifier.example.com/v1", `oci://registry.example.com/default/app@${ARTIFACT}`, [
      "SLSA_BUILD_LEVEL_3",
    ]),
  }),
  said({
    by: "source-verifier",
    type: "https://slsa.dev/verification_summary/v1",
    predicate: summary("https://source.example.com/verifier", "git+https://github.com/example/app", [
      "SLSA_SOURCE_LEVEL_4",
    ]),
    annotations: { sourceRefs: ["refs/heads/main", "refs/tags/v1.2.3"] },
  }),
];

describe("docs/policy.md", () => {
  it("has examples of all kinds of rules", () => {
    expect(blocks.length).toBeGreaterThanOrEqual(8);
    for (const kind of Object.keys(RULE_KINDS).map((one) => `${one}:`)) expect(blocks.join("\n")).toContain(kind);
  });

  it.each(blocks.map((block, index) => [index + 1, block] as const))(
    "example %i allows a well-run release and nothing less",
    (_, block) => {
      const parsed = parsePolicy(policyText(block));
      if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors, null, 2));
      const decide = (candidates: readonly Candidate[]) =>
        evaluate({
          policy: parsed.policy,
          policyDigest: parsed.digest,
          artifact: { digest: ARTIFACT, repository: "default/app" },
          candidates,
          trust: { org: "default", version: 1 },
          asOf: null,
          time: NOW,
        });
      expect(decide(release).reasons.filter((reason) => !reason.includes(": satisfied by "))).toEqual([]);
      expect(decide(release).result).toBe("allowed");
      expect(decide([]).result).toBe("denied");
      expect(decide([said({ by: "mallory" }), said({ by: "mallory", type: COSIGN })]).result).toBe("denied");
    },
  );

  it("explains every code of a rejection, and no other", () => {
    const explained = [...guide.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, code]) => code);
    expect(new Set(explained)).toEqual(new Set(Object.keys(REJECTIONS)));
  });
});
