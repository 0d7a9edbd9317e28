import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { generateKeyPair, nodeCrypto } from "@assay/evidence/node";
import {
  buildStatement,
  type Digest,
  formatPublicKeyPem,
  pae,
  parseDigest,
  parsePublicKeyPem,
  signStatement,
  type TrustVersion,
  verify,
} from "@assay/evidence";
import { evaluate, parsePolicy } from "@assay/policy";
import { type Api, apiOf } from "./api.ts";
import { type Home, makeHome, type Server, startServer } from "./harness.ts";

const PROVENANCE = "https://slsa.dev/provenance/v1";
const POLICY = `
version: 1
name: release
rules:
  - id: built
    provenance:
      identities: [ci]
      builders: [{ id: "https://ci.example.com/builder/v1", identities: [ci], level: 3 }]
      source: { repository: "https://github.com/example/app", ref: refs/heads/main }
      buildTypes: ["https://example.com/build/v1"]
      externalParameters: [workflow]
      level: 3
`;

const digestOf = (text: string): Digest => parseDigest(`sha256:${createHash("sha256").update(text).digest("hex")}`);
const artifact = digestOf("the release");
const other = digestOf("another release");

/** What is asked of a summary: the same of both programs. */
type Expected = { digest: Digest; verifier: string; resource: string; levels: readonly string[]; key: string };

/** A summary in both wrappings: our bundle, and the envelope in it as a file. */
type Summary = { bundle: Uint8Array; envelopeFile: string; keyId: string };

type Opened = { dsseEnvelope: { payload: string; signatures: { keyid?: string }[] } };
const opened = (bundle: Uint8Array): Opened => JSON.parse(Buffer.from(bundle).toString()) as Opened;

describe("our verification summary and slsa-verifier", () => {
  let server: Server;
  let api: Api;
  let home: Home;
  let summary: Summary;
  let expected: Expected;
  /** The digest of the one piece of evidence that the decision was made on. */
  let evidence: string;
  const ci = generateKeyPair("ecdsa-p256-sha256");
  const stranger = generateKeyPair("ecdsa-p256-sha256");

  beforeAll(async () => {
    server = await startServer();
    api = apiOf(server);
    home = makeHome();
    const publicKeyPem = formatPublicKeyPem(ci.publicKey);
    await api.trust("default", { name: "ci", publicKeyPem, repositories: ["default/app"] });
    const payloadBytes = buildStatement({
      subjects: [{ name: "app", digest: { sha256: artifact.slice("sha256:".length) } }],
      predicateType: PROVENANCE,
      predicate: {
        buildDefinition: {
          buildType: "https://example.com/build/v1",
          externalParameters: {
            workflow: { repository: "https://github.com/example/app", ref: "refs/heads/main", path: "release.yml" },
          },
        },
        runDetails: { builder: { id: "https://ci.example.com/builder/v1" } },
      },
    });
    const signed = await signStatement({ payloadBytes, sign: (bytes) => ci.sign(bytes), publicKey: ci.publicKey });
    const posted = await fetch(`${server.url}/api/assay/v1/orgs/default/attestations?repository=app`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${server.adminToken}`,
        "content-type": "application/vnd.dev.sigstore.bundle.v0.3+json",
      },
      body: Buffer.from(signed),
    });
    expect(posted.status, await posted.text()).toBe(201);
    ({ evidence } = (await api.evidence("default", artifact, "default/app"))[0] ?? { evidence: "" });
    const { id, decision } = await api.decide("default", artifact, "default/app", POLICY);
    expect(decision.result, decision.reasons.join("\n")).toBe("allowed");

    const headers = { authorization: `Bearer ${server.adminToken}` };
    const bundle = new Uint8Array(
      await (await fetch(`${server.url}/api/assay/v1/decisions/${id}/vsa`, { headers })).arrayBuffer(),
    );
    const { keys } = (await api.call("GET", "/keys")) as { keys: { purpose: string; publicKeyPem: string }[] };
    const pem = keys.find(({ purpose }) => purpose === "vsa")?.publicKeyPem ?? "";
    writeFileSync(home.path("ours.pub"), pem);
    writeFileSync(home.path("theirs.pub"), formatPublicKeyPem(stranger.publicKey));
    summary = written(bundle, "vsa.json", parsePublicKeyPem(pem).keyId);
    expected = {
      digest: artifact,
      // The policy came with the request: the summary is under the id for such.
      verifier: `${server.url}/policy-given-with-the-request`,
      resource: `oci://${server.host}/default/app@${artifact}`,
      levels: ["SLSA_BUILD_LEVEL_3"],
      key: "ours.pub",
    };
  });

  afterAll(async () => {
    home.remove();
    await server.stop();
  });

  /** slsa-verifier reads the envelope that stands in the bundle. */
  function written(bundle: Uint8Array, name: string, ofKey: string): Summary {
    const { dsseEnvelope } = opened(bundle);
    writeFileSync(home.path(name), JSON.stringify(dsseEnvelope));
    return { bundle, envelopeFile: name, keyId: dsseEnvelope.signatures[0]?.keyid ?? ofKey };
  }

  async function theirs(asked: Expected, { envelopeFile, keyId } = summary): Promise<boolean> {
    const { code, stderr } = await home.run("slsa-verifier", [
      "verify-vsa",
      `--subject-digest=${asked.digest}`,
      `--attestation-path=${envelopeFile}`,
      `--verifier-id=${asked.verifier}`,
      `--resource-uri=${asked.resource}`,
      ...asked.levels.map((level) => `--verified-level=${level}`),
      `--public-key-path=${asked.key}`,
      `--public-key-id=${keyId}`,
    ]);
    expect(stderr).toContain(code === 0 ? "Verifying VSA: PASSED" : "Verifying VSA: FAILED");
    return code === 0;
  }

  async function ours(asked: Expected, { bundle } = summary): Promise<boolean> {
    const pem = readFileSync(home.path(asked.key), "utf8");
    const trust: TrustVersion = {
      org: "outside",
      version: 1,
      entries: [
        {
          kind: "key",
          id: "verifier",
          name: "verifier",
          publicKeyPem: pem,
          keyId: parsePublicKeyPem(pem).keyId,
          scope: { repositories: ["**"], predicateTypes: ["*"] },
          validFrom: null,
          validUntil: null,
          primary: false,
        },
      ],
      logs: [],
      roots: [],
    };
    const parsed = parsePolicy(`version: 1
name: outside
rules:
  - id: verified
    summary:
      identities: [verifier]
      verifiers: ["${asked.verifier}"]
      resource: "${asked.resource}"
      levels: [${asked.levels.join(", ")}]
`);
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors));
    const verdict = await verify(nodeCrypto, { bundle, artifact: asked.digest, trust, times: [] });
    const { policy, digest: policyDigest } = parsed;
    const decision = evaluate({
      policy,
      policyDigest,
      artifact: { digest: asked.digest },
      candidates: [verdict],
      trust,
      asOf: null,
      time: Date.now(),
    });
    return decision.result === "allowed";
  }

  it("passes in both", async () => {
    expect(await theirs(expected)).toBe(true);
    expect(await ours(expected)).toBe(true);
  });

  it("passes in both where less is asked for: a lower level of the track", async () => {
    const asked = { ...expected, levels: ["SLSA_BUILD_LEVEL_2"] };
    expect(await theirs(asked)).toBe(true);
    expect(await ours(asked)).toBe(true);
  });

  it.each<[string, (asked: Expected) => Partial<Expected>]>([
    ["a higher level", () => ({ levels: ["SLSA_BUILD_LEVEL_4"] })],
    ["another track", () => ({ levels: ["SLSA_SOURCE_LEVEL_1"] })],
    ["a property that it does not say", () => ({ levels: ["SLSA_BUILD_LEVEL_3", "ORG_REVIEWED"] })],
    ["another resource", ({ resource }) => ({ resource: resource.replace("default/app", "default/other") })],
    ["another digest", () => ({ digest: other })],
    ["another verifier", ({ verifier }) => ({ verifier: verifier.replace("/policy-given-with-the-request", "") })],
    ["another key", () => ({ key: "theirs.pub" })],
  ])("fails in both: %s", async (_, change) => {
    const asked = { ...expected, ...change(expected) };
    expect(await theirs(asked)).toBe(false);
    expect(await ours(asked)).toBe(false);
  });

  it("is altered, and fails in both", async () => {
    const altered = opened(summary.bundle);
    const statement = Buffer.from(altered.dsseEnvelope.payload, "base64").toString();
    altered.dsseEnvelope.payload = Buffer.from(statement.replace("LEVEL_3", "LEVEL_4")).toString("base64");
    const other = written(Buffer.from(JSON.stringify(altered)), "altered.json", summary.keyId);
    expect(await theirs(expected, other)).toBe(false);
    expect(await ours(expected, other)).toBe(false);
  });

  it("says what the specification demands of a summary", async () => {
    const { dsseEnvelope } = opened(summary.bundle);
    const { predicate } = JSON.parse(Buffer.from(dsseEnvelope.payload, "base64").toString()) as {
      predicate: Record<string, unknown> & {
        policy: { uri: string; digest: { sha256: string } };
        inputAttestations: { digest: { sha256: string } }[];
      };
    };
    expect(predicate).toMatchObject({
      verifier: { id: expected.verifier },
      resourceUri: expected.resource,
      verificationResult: "PASSED",
      verifiedLevels: ["SLSA_BUILD_LEVEL_3"],
      slsaVersion: "1.2",
    });
    expect(predicate.policy.uri).toBe(
      `${server.url}/api/assay/v1/orgs/default/policies/sha256:${predicate.policy.digest.sha256}`,
    );
    expect(predicate.inputAttestations.map(({ digest }) => `sha256:${digest.sha256}`)).toEqual([evidence]);
    expect(predicate).not.toHaveProperty("dependencyLevels");
    expect(predicate["timeVerified"]).toMatch(/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/);
  });

  describe("of other verifiers' summaries", () => {
    type Statement = { _type: string; subject: object[]; predicateType: string; predicate: Record<string, unknown> };
    let asked: Expected;

    beforeAll(() => {
      asked = {
        digest: artifact,
        verifier: "https://verifier.example.com/v1",
        resource: "oci://registry.example.com/app",
        levels: ["SLSA_BUILD_LEVEL_2"],
        key: "theirs.pub",
      };
    });

    async function signed(name: string, change: (statement: Statement) => void): Promise<Summary> {
      const statement: Statement = {
        _type: "https://in-toto.io/Statement/v1",
        subject: [{ digest: { sha256: artifact.slice("sha256:".length) } }],
        predicateType: "https://slsa.dev/verification_summary/v1",
        predicate: {
          verifier: { id: "https://verifier.example.com/v1" },
          timeVerified: "2026-11-22T10:00:00Z",
          resourceUri: "oci://registry.example.com/app",
          policy: { uri: "https://verifier.example.com/policy" },
          verificationResult: "PASSED",
          verifiedLevels: ["SLSA_BUILD_LEVEL_3"],
        },
      };
      change(statement);
      // Signed as it is, also where no signer of ours would: by hand, over the encoding of the envelope.
      const payloadType = "application/vnd.in-toto+json";
      const payload = Buffer.from(JSON.stringify(statement));
      const sig = Buffer.from(stranger.sign(pae(payloadType, payload))).toString("base64");
      const { keyId } = stranger.publicKey;
      const bundle = {
        mediaType: "application/vnd.dev.sigstore.bundle.v0.3+json",
        verificationMaterial: { publicKey: { hint: Buffer.from(keyId, "hex").toString("base64") } },
        dsseEnvelope: { payload: payload.toString("base64"), payloadType, signatures: [{ sig }] },
      };
      return written(Buffer.from(JSON.stringify(bundle)), `${name.replaceAll(/[^a-z]+/g, "-")}.json`, keyId);
    }

    /** A name, the change, and whether it passes: in both, or in ours and in slsa-verifier. */
    const corpus: [string, (statement: Statement) => void, boolean | { ours: boolean; theirs: boolean }][] = [
      ["whole", () => undefined, true],
      ["of an older statement", (it) => (it._type = "https://in-toto.io/Statement/v0.1"), true],
      ["with fields that nobody knows", (it) => (it.predicate["x"] = { y: 1 }), true],
      ["with a second subject", (it) => it.subject.push({ digest: { sha256: "a".repeat(64) } }), true],
      [
        "with a second digest",
        (it) =>
          (it.subject = [{ digest: { ...(it.subject[0] as { digest: object }).digest, sha512: "b".repeat(128) } }]),
        true,
      ],
      ["with the level asked for", (it) => (it.predicate["verifiedLevels"] = ["SLSA_BUILD_LEVEL_2"]), true],
      [
        "with levels of two tracks",
        (it) => (it.predicate["verifiedLevels"] = ["SLSA_BUILD_LEVEL_2", "SLSA_SOURCE_LEVEL_3"]),
        true,
      ],
      ["with a word of its own", (it) => (it.predicate["verifiedLevels"] = ["SLSA_BUILD_LEVEL_2", "ORG_A"]), true],
      ["without a time", (it) => delete it.predicate["timeVerified"], true],
      ["of no time", (it) => (it.predicate["timeVerified"] = "yesterday"), false],
      ["failed", (it) => (it.predicate["verificationResult"] = "FAILED"), false],
      ["passed in small letters", (it) => (it.predicate["verificationResult"] = "passed"), false],
      ["without a result", (it) => delete it.predicate["verificationResult"], false],
      ["without a verifier", (it) => delete it.predicate["verifier"], false],
      ["of a verifier without a name", (it) => (it.predicate["verifier"] = { id: "" }), false],
      ["of another verifier", (it) => (it.predicate["verifier"] = { id: "https://verifier.example.com/v2" }), false],
      ["without a resource", (it) => delete it.predicate["resourceUri"], false],
      ["about another resource", (it) => (it.predicate["resourceUri"] = "oci://registry.example.com/app/"), false],
      ["without levels", (it) => delete it.predicate["verifiedLevels"], false],
      ["with no level", (it) => (it.predicate["verifiedLevels"] = []), false],
      ["with a lower level", (it) => (it.predicate["verifiedLevels"] = ["SLSA_BUILD_LEVEL_1"]), false],
      ["with a level that is none", (it) => (it.predicate["verifiedLevels"] = ["SLSA_BUILD_LEVEL_x"]), false],
      ["with a level in small letters", (it) => (it.predicate["verifiedLevels"] = ["slsa_build_level_3"]), false],
      ["with levels in one text", (it) => (it.predicate["verifiedLevels"] = "SLSA_BUILD_LEVEL_3"), false],
      ["about another artifact", (it) => (it.subject = [{ digest: { sha256: "a".repeat(64) } }]), false],
      ["about a name", (it) => (it.subject = [{ name: artifact, digest: { sha256: "a".repeat(64) } }]), false],
      [
        "about the digits as another algorithm's",
        (it) => (it.subject = [{ digest: { sha512: artifact.slice(7) } }]),
        false,
      ],
      ["about capital digits", (it) => (it.subject = [{ digest: { sha256: artifact.slice(7).toUpperCase() } }]), false],
      ["about nothing", (it) => (it.subject = []), false],
      ["of another type", (it) => (it.predicateType = "https://slsa.dev/provenance/v1"), false],
      ["of an older version", (it) => (it.predicateType = "https://slsa.dev/verification_summary/v0.2"), false],
      ["of a statement that is none", (it) => (it._type = "https://in-toto.io/Statement/v9"), false],
      // Where they differ, and which words of the specification speak for us.
      // "MUST NOT include more than one level per SLSA track": theirs takes the higher one.
      [
        "with two levels of one track",
        (it) => (it.predicate["verifiedLevels"] = ["SLSA_BUILD_LEVEL_1", "SLSA_BUILD_LEVEL_3"]),
        { ours: false, theirs: true },
      ],
      // PASSED beside FAILED: theirs looks at the levels that are asked for alone.
      [
        "that passed and failed",
        (it) => (it.predicate["verifiedLevels"] = ["SLSA_BUILD_LEVEL_3", "FAILED"]),
        { ours: false, theirs: true },
      ],
      // "policy: required": theirs does not read it.
      ["without a policy", (it) => delete it.predicate["policy"], { ours: false, theirs: true }],
      // Words that SLSA defines and that hold no number: theirs takes each for a level that cannot be read.
      [
        "with a property of SLSA's",
        (it) => (it.predicate["verifiedLevels"] = ["SLSA_BUILD_LEVEL_3", "SLSA_SOURCE_TWO_PARTY_REVIEWED"]),
        { ours: true, theirs: false },
      ],
      [
        "with a track that was not evaluated",
        (it) => (it.predicate["verifiedLevels"] = ["SLSA_BUILD_LEVEL_3", "SLSA_SOURCE_LEVEL_UNEVALUATED"]),
        { ours: true, theirs: false },
      ],
    ];

    it.each(corpus)("both say the same, or differ as is written here: %s", async (name, change, passes) => {
      const one = await signed(name, change);
      const [wanted, wantedOfTheirs] = typeof passes === "boolean" ? [passes, passes] : [passes.ours, passes.theirs];
      expect([await ours(asked, one), await theirs(asked, one)]).toEqual([wanted, wantedOfTheirs]);
    });
  });
});
