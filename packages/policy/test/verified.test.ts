import {
  buildStatement,
  digestOf,
  formatPublicKeyPem,
  formatTrustFile,
  parseTrustFile,
  signStatement,
  utf8Encode,
  verify,
} from "@assay/evidence";
import type { Digest, JsonObject, TrustVersion } from "@assay/evidence";
import { generateKeyPair, nodeCrypto } from "@assay/evidence/node";
import { expect, it } from "vitest";
import type { Candidate } from "../src/index.ts";
import { evaluate, parsePolicy } from "../src/index.ts";
import { COSIGN, NOW } from "./world.ts";

/** From real signatures to a decision: what verification says is what policy reads. */

const release = generateKeyPair("ecdsa-p256-sha256");
const ci = generateKeyPair("ed25519");
const stranger = generateKeyPair("ed25519");
const artifact = digestOf(nodeCrypto, utf8Encode("the artifact"));
const altered = digestOf(nodeCrypto, utf8Encode("the artifacT"));

const entry = (name: string, key: typeof ci): TrustVersion["entries"][number] => ({
  id: `id-${name}`,
  name,
  kind: "key",
  publicKeyPem: formatPublicKeyPem(key.publicKey),
  keyId: key.publicKey.keyId,
  scope: { repositories: ["default/*"], predicateTypes: ["*"] },
  validFrom: null,
  validUntil: null,
  primary: false,
});
const trust = parseTrustFile(
  formatTrustFile({
    org: "default",
    version: 7,
    entries: [entry("release-key", release), entry("ci", ci)],
    logs: [],
    roots: [],
  }),
);

const parsed = parsePolicy(`version: 1
name: production
rules:
  - id: signed
    evidence: { predicateType: "${COSIGN}", identities: [release-key] }
  - id: tests
    tests: { identities: [ci], maximumAge: 7d }
  - id: provenance
    provenance:
      identities: [ci]
      builders: [https://ci.example.com/builder/v1]
      source: { repository: https://github.com/example/app, ref: refs/heads/main }
`);

const world = { trust, parsed };

async function attest(key: typeof ci, predicateType: string, predicate: JsonObject): Promise<Uint8Array> {
  const payloadBytes = buildStatement({
    subjects: [{ name: "app", digest: { sha256: artifact.slice(7) } }],
    predicateType,
    predicate,
  });
  return signStatement({ payloadBytes, sign: (bytes) => key.sign(bytes), publicKey: key.publicKey });
}

async function bundles(releaseKey = release): Promise<Uint8Array[]> {
  const source = { repository: "https://github.com/example/app", ref: "refs/heads/main" };
  return [
    await attest(releaseKey, COSIGN, {}),
    await attest(ci, "https://in-toto.io/attestation/test-result/v0.1", { result: "PASSED", configuration: [] }),
    await attest(ci, "https://slsa.dev/provenance/v1", {
      buildDefinition: { buildType: "https://example.com/build/v1", externalParameters: { workflow: source } },
      runDetails: { builder: { id: "https://ci.example.com/builder/v1" } },
    }),
  ];
}

async function decide(about: Digest, stored: readonly Uint8Array[], { trust, parsed } = world) {
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors));
  const candidates: Candidate[] = [];
  for (const bundle of stored) {
    const times = [{ source: "received-here" as const, time: NOW - 1000, evidence: "record 17" }];
    candidates.push(await verify(nodeCrypto, { bundle, artifact: about, repository: "default/app", trust, times }));
  }
  const { policy, digest: policyDigest } = parsed;
  return evaluate({ policy, policyDigest, artifact: { digest: about }, candidates, trust, asOf: null, time: NOW });
}

it("allows an artifact that is signed, tested and built as asked", async () => {
  expect(await decide(artifact, await bundles())).toMatchObject({
    result: "allowed",
    trust: { org: "default", version: 7 },
  });
});

it("denies it with one byte altered, and says that the evidence is about another artifact", async () => {
  const decision = await decide(altered, await bundles());
  expect(decision.result).toBe("denied");
  for (const rule of decision.rules) {
    expect(rule).toMatchObject({ outcome: "unsatisfied", satisfiedBy: [] });
    expect(rule.rejected).toContainEqual(expect.objectContaining({ code: "refused", observed: '"subject-mismatch"' }));
  }
});

it("denies it if a stranger signed in the release key's place", async () => {
  const decision = await decide(artifact, await bundles(stranger));
  expect(decision.result).toBe("denied");
  expect(decision.rules.map((rule) => rule.outcome)).toEqual(["unsatisfied", "satisfied", "satisfied"]);
  expect(decision.rules[0]?.rejected[0]).toMatchObject({ code: "refused", observed: '"unknown-signer"' });
});

it("takes a key that trust lists under two names for either, and for neither where one is excepted", async () => {
  const both = { ...trust, entries: [entry("first", release), entry("second", release)] };
  const rule = (more: string) =>
    parsePolicy(`version: 1
name: production
rules:
  - id: signed
    evidence: { predicateType: "${COSIGN}", ${more} }
`);
  const stored = [await attest(release, COSIGN, {})];
  const ask = (more: string) => decide(artifact, stored, { trust: both, parsed: rule(more) });
  expect((await ask("identities: [first]")).result).toBe("allowed");
  expect((await ask("identities: [second]")).result).toBe("allowed");
  expect((await ask("identities: [first, second], atLeast: 2")).result).toBe("denied");
  const excepted = await ask("identities: [first], except: [second]");
  expect(excepted.result).toBe("denied");
  expect(excepted.rules[0]?.rejected[0]).toMatchObject({ code: "excepted-signer" });
});
