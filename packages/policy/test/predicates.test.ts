import { readFileSync } from "node:fs";
import { type JsonObject, type JsonValue, MESSAGE_SIGNATURE_PREDICATE, NOTATION_PREDICATE } from "@assay/evidence";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PREDICATE_TYPE, predicateTitle, readPredicate, recognisedPredicateTypes, usefulFields } from "../src/index.ts";
import { FIELD_LIMITS } from "../src/predicates/fields.ts";
import { decide, outcome, said } from "./world.ts";

const TIME = "2026-11-22T10:00:00Z";
const ISO = "2026-11-22T10:00:00.000Z";
const COMMIT = "d".repeat(40);

/** One well-formed predicate per kind, the paths its specification requires, and what it should be found by. */
const SAMPLES: readonly {
  readonly types: readonly string[];
  readonly predicate: JsonObject;
  readonly required: readonly string[];
  /** Which of them may be of several types, a truth value among them. */
  readonly free?: readonly string[];
  readonly fields: readonly (readonly [string, string])[];
}[] = [
  {
    types: ["https://slsa.dev/provenance/v1"],
    predicate: {
      buildDefinition: {
        buildType: "https://actions.github.io/buildtypes/workflow/v1",
        externalParameters: {
          workflow: { repository: "https://GitHub.com/example/app.git", ref: "refs/heads/main", path: "release.yml" },
        },
        internalParameters: { github: { runner_environment: "github-hosted" } },
        resolvedDependencies: [
          { uri: "git+https://github.com/example/app@refs/heads/main", digest: { gitCommit: COMMIT } },
          { uri: "git+https://github.com/example/dependency", digest: { gitCommit: "e".repeat(40) } },
        ],
      },
      runDetails: {
        builder: { id: "https://github.com/actions/runner" },
        metadata: { invocationId: "https://github.com/example/app/actions/runs/1", startedOn: TIME },
      },
    },
    required: ["buildDefinition.buildType", "buildDefinition.externalParameters", "runDetails.builder.id"],
    fields: [
      ["builder.id", "https://github.com/actions/runner"],
      ["buildType", "https://actions.github.io/buildtypes/workflow/v1"],
      ["source.repository", "https://github.com/example/app"],
      ["source.ref", "refs/heads/main"],
      ["source.path", "release.yml"],
      ["source.digest", COMMIT],
      ["runner.environment", "github-hosted"],
      ["invocation.id", "https://github.com/example/app/actions/runs/1"],
      ["build.started", ISO],
    ],
  },
  {
    types: ["https://slsa.dev/provenance/v0.2"],
    predicate: {
      builder: { id: "x:builder" },
      buildType: "x:build",
      invocation: {
        configSource: {
          uri: "git+https://gitlab.com/example/app@refs/tags/v1",
          digest: { sha1: COMMIT },
          entryPoint: "ci.yml",
        },
      },
      metadata: { buildInvocationId: "17", buildFinishedOn: TIME },
      materials: [{ uri: "git+https://gitlab.com/example/app@refs/tags/v1", digest: { sha1: COMMIT } }],
    },
    required: ["builder.id", "buildType"],
    fields: [
      ["builder.id", "x:builder"],
      ["source.repository", "https://gitlab.com/example/app"],
      ["source.ref", "refs/tags/v1"],
      ["source.digest", COMMIT],
      ["source.path", "ci.yml"],
      ["invocation.id", "17"],
      ["build.finished", ISO],
    ],
  },
  {
    types: ["https://in-toto.io/Provenance/v0.1", "https://slsa.dev/provenance/v0.1"],
    predicate: {
      builder: { id: "x:builder" },
      recipe: { type: "x:make", definedInMaterial: 1, entryPoint: "make" },
      materials: [{ uri: "https://example.com/a.tgz" }, { uri: "git+https://example.com/app@refs/heads/main" }],
    },
    required: ["builder.id", "recipe.type"],
    fields: [
      ["builder.id", "x:builder"],
      ["buildType", "x:make"],
      ["source.repository", "https://example.com/app"],
    ],
  },
  {
    types: ["https://slsa.dev/verification_summary/v1"],
    predicate: {
      verifier: { id: "x:verifier" },
      timeVerified: TIME,
      resourceUri: "oci://example.com/app",
      policy: { uri: "x:policy", digest: { sha256: "a".repeat(64) } },
      inputAttestations: [{ digest: { sha256: "b".repeat(64) } }],
      verificationResult: "PASSED",
      verifiedLevels: ["SLSA_BUILD_LEVEL_3"],
    },
    required: ["verifier.id", "resourceUri", "policy.uri", "verificationResult", "verifiedLevels"],
    fields: [
      ["verifier.id", "x:verifier"],
      ["resource.uri", "oci://example.com/app"],
      ["policy.uri", "x:policy"],
      ["policy.digest", "a".repeat(64)],
      ["result", "PASSED"],
      ["level", "SLSA_BUILD_LEVEL_3"],
      ["verified.time", ISO],
    ],
  },
  {
    types: ["https://slsa.dev/verification_summary/v0.2"],
    predicate: {
      verifier: { id: "x:verifier" },
      time_verified: TIME,
      resource_uri: "x:app",
      policy: { uri: "x:policy" },
      verification_result: "PASSED",
      policy_level: "SLSA_LEVEL_3",
    },
    required: ["verifier.id", "time_verified", "resource_uri", "policy", "verification_result", "policy_level"],
    fields: [
      ["verifier.id", "x:verifier"],
      ["level", "SLSA_LEVEL_3"],
    ],
  },
  {
    types: ["https://in-toto.io/attestation/svr/v0.1", "https://in-toto.io/attestation/svr/v0.2"],
    predicate: {
      verifier: { id: "x:verifier" },
      policies: [{ uri: "x:policy", digest: { sha256: "a".repeat(64) } }],
      timeCreated: TIME,
      properties: ["SLSA_BUILD_LEVEL_3", "COMPANY_APPROVED"],
    },
    required: ["verifier.id", "timeCreated", "properties"],
    fields: [
      ["verifier.id", "x:verifier"],
      ["policy.uri", "x:policy"],
      ["level", "COMPANY_APPROVED"],
    ],
  },
  {
    types: ["https://spdx.dev/Document", "https://spdx.dev/Document/v2.3"],
    predicate: {
      spdxVersion: "SPDX-2.3",
      name: "app",
      documentNamespace: "https://example.com/app-1",
      creationInfo: { created: TIME, creators: ["Tool: syft-1.0"] },
    },
    required: ["spdxVersion", "name", "creationInfo"],
    fields: [
      ["sbom.format", "SPDX-2.3"],
      ["sbom.name", "app"],
      ["sbom.id", "https://example.com/app-1"],
      ["sbom.created", ISO],
      ["sbom.creator", "Tool: syft-1.0"],
    ],
  },
  {
    types: ["https://spdx.dev/Document/v3"],
    predicate: {
      "@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld",
      "@graph": [{ type: "SpdxDocument", spdxId: "x:document", name: "app" }],
    },
    required: ["@context", "@graph"],
    free: ["@context"],
    fields: [
      ["sbom.format", "SPDX-3"],
      ["sbom.name", "app"],
    ],
  },
  {
    types: ["https://cyclonedx.org/bom", "https://cyclonedx.org/bom/v1.4", "https://cyclonedx.org/bom/v1.6"],
    predicate: {
      bomFormat: "CycloneDX",
      specVersion: "1.6",
      serialNumber: "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79",
      metadata: { timestamp: TIME, component: { name: "app", purl: "pkg:oci/app" }, tools: [{ name: "syft" }] },
    },
    required: ["bomFormat", "specVersion"],
    fields: [
      ["sbom.format", "CycloneDX-1.6"],
      ["sbom.name", "app"],
      ["sbom.purl", "pkg:oci/app"],
      ["sbom.creator", "syft"],
    ],
  },
  {
    types: ["https://in-toto.io/attestation/vulns/v0.1", "https://in-toto.io/attestation/vulns/v0.2"],
    predicate: {
      scanner: {
        uri: "pkg:github/aquasecurity/trivy",
        version: "0.60",
        db: { uri: "x:db", version: "2", lastUpdate: TIME },
        result: [{ id: "CVE-2021-44228", severity: [] }, { vulnerability: { id: "GHSA-jfh8-c2jp-5v3q" } }],
      },
      metadata: { scanStartedOn: TIME, scanFinishedOn: TIME },
    },
    required: [
      "scanner.uri",
      "scanner.db.lastUpdate",
      "scanner.result",
      "metadata.scanStartedOn",
      "metadata.scanFinishedOn",
    ],
    fields: [
      ["scanner.uri", "pkg:github/aquasecurity/trivy"],
      ["scanner.db.time", ISO],
      ["scan.findings", "2"],
      ["vulnerability", "CVE-2021-44228"],
      ["vulnerability", "GHSA-jfh8-c2jp-5v3q"],
    ],
  },
  {
    types: ["https://cosign.sigstore.dev/attestation/vuln/v1"],
    predicate: {
      invocation: { uri: "x:run" },
      scanner: {
        uri: "pkg:github/aquasecurity/trivy",
        version: "0.60",
        db: { uri: "", version: "" },
        result: { SchemaVersion: 2 },
      },
      metadata: { scanStartedOn: TIME, scanFinishedOn: TIME },
    },
    required: ["scanner.uri", "scanner.result", "metadata.scanStartedOn", "metadata.scanFinishedOn"],
    free: ["scanner.result"],
    fields: [["scanner.uri", "pkg:github/aquasecurity/trivy"]],
  },
  {
    types: ["https://openvex.dev/ns", "https://openvex.dev/ns/v0.2.0"],
    predicate: {
      "@context": "https://openvex.dev/ns/v0.2.0",
      "@id": "https://example.com/vex-1",
      author: "security@example.com",
      timestamp: TIME,
      version: 1,
      statements: [{ vulnerability: { name: "CVE-2023-1" }, status: "not_affected" }],
    },
    required: ["@context", "@id", "author", "timestamp", "version", "statements"],
    free: ["version"],
    fields: [
      ["vex.author", "security@example.com"],
      ["vulnerability", "CVE-2023-1"],
      ["vex.status", "not_affected"],
    ],
  },
  {
    types: ["https://in-toto.io/attestation/test-result/v0.1"],
    predicate: { result: "PASSED", configuration: [{ name: "ci.yml" }], url: "https://ci.example.com/1" },
    required: ["result", "configuration"],
    fields: [
      ["test.result", "PASSED"],
      ["test.configuration", "ci.yml"],
    ],
  },
  {
    types: ["https://in-toto.io/attestation/release/v0.1", "https://in-toto.io/attestation/release/v0.2"],
    predicate: { purl: "pkg:npm/app@1.0.0", packageId: "17" },
    required: ["purl"],
    fields: [
      ["release.purl", "pkg:npm/app@1.0.0"],
      ["release.package", "17"],
    ],
  },
  {
    types: ["https://github.com/npm/attestation/tree/main/specs/publish/v0.1"],
    predicate: { name: "app", version: "1.0.0", registry: "https://registry.example.com" },
    required: ["name", "version", "registry"],
    fields: [["release.registry", "https://registry.example.com"]],
  },
  {
    types: [
      "https://in-toto.io/attestation/scai/v0.3",
      "https://in-toto.io/attestation/scai/attribute-report",
      "https://in-toto.io/attestation/scai/attribute-report/v0.2",
    ],
    predicate: { attributes: [{ attribute: "WITH_STACK_PROTECTION" }], producer: { uri: "x:gcc" } },
    required: ["attributes"],
    fields: [
      ["attribute", "WITH_STACK_PROTECTION"],
      ["producer", "x:gcc"],
    ],
  },
  {
    types: ["https://in-toto.io/attestation/link/v0.3"],
    predicate: { name: "build", command: ["make"], materials: [] },
    required: ["name"],
    fields: [["step", "build"]],
  },
  {
    types: ["https://in-toto.io/attestation/runtime-trace/v0.1"],
    predicate: {
      monitor: { type: "x:tetragon" },
      monitoredProcess: { hostID: "x:host", type: "x:build", event: "17" },
      monitorLog: { network: [{ ip: "192.0.2.1" }] },
    },
    required: [
      "monitor.type",
      "monitoredProcess.hostID",
      "monitoredProcess.type",
      "monitoredProcess.event",
      "monitorLog.network",
    ],
    fields: [
      ["monitor.type", "x:tetragon"],
      ["invocation.id", "17"],
    ],
  },
  {
    types: ["https://in-toto.io/attestation/reference/v0.1"],
    predicate: {
      attester: { id: "x:attester" },
      references: [{ downloadLocation: "https://example.com/sbom", mediaType: "application/spdx+json" }],
    },
    required: ["attester.id", "references"],
    fields: [
      ["attester.id", "x:attester"],
      ["reference.location", "https://example.com/sbom"],
    ],
  },
  {
    types: ["https://cosign.sigstore.dev/attestation/v1"],
    predicate: { Data: "anything", Timestamp: TIME },
    required: ["Data"],
    free: ["Data"],
    fields: [["signed.claimed", ISO]],
  },
  {
    types: ["https://assay.dev/cosign/simple-signing/v1", "application/vnd.dev.cosign.simplesigning.v1+json"],
    predicate: {
      critical: {
        identity: { "docker-reference": "example.com/app" },
        image: { "docker-manifest-digest": `sha256:${"a".repeat(64)}` },
        type: "cosign container image signature",
      },
      optional: { creator: "cosign" },
    },
    required: ["critical.identity", "critical.image.docker-manifest-digest", "critical.type"],
    fields: [["image.reference", "example.com/app"]],
  },
  {
    types: ["application/vnd.cncf.notary.payload.v1+json"],
    predicate: {
      targetArtifact: {
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        digest: `sha256:${"a".repeat(64)}`,
        size: 3,
      },
    },
    required: ["targetArtifact.mediaType", "targetArtifact.digest", "targetArtifact.size"],
    free: ["targetArtifact.size"],
    fields: [["artifact.type", "application/vnd.oci.image.manifest.v1+json"]],
  },
];

/** `object` without the member at `path`, or with `value` there. */
function changed(object: JsonObject, path: string, value?: JsonValue): JsonObject {
  const keys = path.startsWith("@") ? [path] : path.split(".");
  const [key = "", ...rest] = keys;
  const copy: { [key: string]: JsonValue } = { ...object };
  if (rest.length > 0) copy[key] = changed(copy[key] as JsonObject, rest.join("."), value);
  else if (value === undefined) delete copy[key];
  else copy[key] = value;
  return copy;
}

const problems = (type: string, predicate: unknown) => {
  const reading = readPredicate(type, predicate);
  if (!reading.recognised) throw new Error(`${type} is not recognised`);
  return reading.problems;
};

describe("the table of predicates", () => {
  it.each(SAMPLES.flatMap((sample) => sample.types.map((type) => [type, sample] as const)))(
    "%s is recognised, found to be well-formed, and each required field is missed",
    (type, { predicate, required, free = [] }) => {
      expect(predicateTitle(type)).toBeTypeOf("string");
      expect(problems(type, predicate)).toEqual([]);
      for (const path of required) {
        const [missing] = problems(type, changed(predicate, path));
        expect(missing?.fault, path).toBe("missing");
        expect(problems(type, changed(predicate, path, null))[0]?.fault, path).toBe("missing");
        expect(problems(type, changed(predicate, path, false)).length > 0, path).toBe(!free.includes(path));
      }
      expect(problems(type, { ...predicate, somethingNew: { any: [1] } })).toEqual([]);
    },
  );

  it.each(SAMPLES.map((sample) => [sample.types[0] ?? "", sample] as const))(
    "%s has the fields it should be found by",
    (type, { predicate, fields }) => {
      const found = usefulFields(type, predicate).map(({ name, value }) => [name, value]);
      for (const field of fields) expect(found).toContainEqual(field);
      const names = usefulFields(type, predicate).filter(({ name }) => name === "source.repository");
      expect(names.length).toBeLessThanOrEqual(1);
    },
  );

  it("calls signatures of other forms what `@assay/evidence` shows them as", () => {
    const source = (name: string): string =>
      readFileSync(new URL(`../../evidence/src/${name}.ts`, import.meta.url), "utf8");
    expect(source("simple-signing")).toContain(`SIMPLE_SIGNING_PREDICATE = "${PREDICATE_TYPE.simpleSigning}"`);
    for (const type of [PREDICATE_TYPE.simpleSigning, NOTATION_PREDICATE, MESSAGE_SIGNATURE_PREDICATE])
      expect(predicateTitle(type)).toBeTypeOf("string");
  });

  it("knows a type exactly or not at all", () => {
    for (const type of recognisedPredicateTypes()) {
      for (const other of [
        `${type}/`,
        `${type} `,
        type.toUpperCase(),
        `${type}\n`,
        type.slice(0, -1),
        "",
        "__proto__",
      ]) {
        if (recognisedPredicateTypes().includes(other)) continue;
        expect(readPredicate(other, {})).toEqual({ recognised: false });
        expect(usefulFields(other, {})).toEqual([]);
      }
    }
  });

  it("accepts both places of a finding's id, and a document as old versions of cosign wrapped it", () => {
    const vulns = SAMPLES.find(({ types }) => types.includes("https://in-toto.io/attestation/vulns/v0.2"));
    const other = changed(vulns?.predicate ?? {}, "scanner.result", [{ severity: [] }]);
    expect(problems("https://in-toto.io/attestation/vulns/v0.1", other)[0]).toMatchObject({
      fault: "missing",
      path: "$.predicate.scanner.result[0].id",
    });
    const bom = { bomFormat: "CycloneDX", specVersion: "1.4" };
    expect(problems("https://cyclonedx.org/bom", { Data: bom, Timestamp: TIME })).toEqual([]);
    expect(usefulFields("https://cyclonedx.org/bom", { Data: bom })).toEqual([
      { name: "sbom.format", value: "CycloneDX-1.4" },
    ]);
  });

  it("takes times in the one form of RFC 3339 only", () => {
    const type = "https://in-toto.io/attestation/svr/v0.2";
    const at = (timeCreated: JsonValue) => problems(type, { verifier: { id: "x" }, properties: [], timeCreated });
    for (const good of ["2026-11-22T10:00:00Z", "2026-11-22T10:00:00.123456789+05:30", "2024-02-29T23:59:59Z"])
      expect(at(good)).toEqual([]);
    for (const bad of ["2026-11-22", "22.11.2026", "2026-13-01T00:00:00Z", "2026-11-22T25:00:00Z", "now", 1, "", {}])
      expect(at(bad)[0]?.fault, JSON.stringify(bad)).toBe("bad-value");
  });

  it("is total and bounded whatever it is given", () => {
    fc.assert(
      fc.property(fc.constantFrom(...recognisedPredicateTypes()), fc.jsonValue(), (type, value) => {
        expect(problems(type, value).length).toBeLessThanOrEqual(16);
        const fields = usefulFields(type, value);
        expect(fields.length).toBeLessThanOrEqual(FIELD_LIMITS.values);
        for (const { value: text } of fields) expect(text.length).toBeLessThanOrEqual(FIELD_LIMITS.valueLength);
      }),
      { numRuns: 2_000 },
    );
  });

  it("bounds the number and the length of what is indexed, and leaves out what hides", () => {
    const type = "https://in-toto.io/attestation/scai/v0.3";
    const many = { attributes: Array.from({ length: 10_000 }, (_, index) => ({ attribute: `A${index}` })) };
    expect(usefulFields(type, many)).toHaveLength(FIELD_LIMITS.values);
    for (const attribute of ["x".repeat(1_025), "a\u202eb", "a\u0000", ""])
      expect(usefulFields(type, { attributes: [{ attribute }] })).toEqual([]);
    expect(usefulFields(type, { attributes: [{ attribute: "A" }, { attribute: "A" }] })).toHaveLength(1);
  });

  it("reads only a predicate's own members", () => {
    const inherited = Object.create({ verifier: { id: "x:verifier" } }) as object;
    expect(usefulFields("https://slsa.dev/verification_summary/v1", inherited)).toEqual([]);
    expect(problems("https://in-toto.io/attestation/link/v0.3", Object.create({ name: "build" }))[0]?.fault).toBe(
      "missing",
    );
  });
});

describe("a rule about a type that is known", () => {
  it.each(SAMPLES.flatMap((sample) => sample.types.map((type) => [type, sample] as const)))(
    "%s: is satisfied by a well-formed predicate, and by none that lacks a required field",
    (type, { predicate, required }) => {
      // Types that have rules of their own, or that no evidence is shown under.
      if (
        type.includes("test-result") ||
        type.includes("simplesigning") ||
        type === "https://slsa.dev/verification_summary/v0.2"
      )
        return;
      const rule = `
  - id: there
    evidence: { predicateType: "${type}", identities: [ci] }`;
      const about = (value: JsonObject) => decide(rule, [said({ by: "ci", type, predicate: value })]);
      expect(outcome(about(predicate))).toEqual(["satisfied"]);
      for (const path of required) {
        const decision = about(changed(predicate, path));
        expect(decision.result, path).toBe("denied");
        expect(decision.rules[0]?.rejected[0]?.path?.startsWith("$.predicate"), path).toBe(true);
      }
    },
  );

  it("names the field, what is there and what should be", () => {
    const type = "https://cyclonedx.org/bom";
    const rule = `
  - id: sbom
    evidence: { predicateType: "${type}", identities: [ci] }`;
    const decision = decide(rule, [said({ by: "ci", type, predicate: { bomFormat: "SPDX", specVersion: "1.6" } })]);
    expect(outcome(decision)).toEqual(["unknown", "predicate-malformed"]);
    expect(decision.rules[0]?.rejected[0]).toMatchObject({
      path: "$.predicate.bomFormat",
      observed: '"SPDX"',
      reason:
        'It is not of the form of its type ("CycloneDX bill of materials"): $.predicate.bomFormat is "SPDX" and must be one of CycloneDX.',
    });
  });

  it("is not satisfied by a type that is not known, whatever it says", () => {
    const rule = `
  - id: sbom
    evidence: { predicateType: "https://cyclonedx.org/bom", identities: [ci] }`;
    const unknown = said({
      by: "ci",
      type: "https://cyclonedx.org/bom/v99",
      predicate: { bomFormat: "CycloneDX", specVersion: "99" },
    });
    expect(outcome(decide(rule, [unknown]))).toEqual(["unsatisfied", "other-predicate-type"]);
  });
});
