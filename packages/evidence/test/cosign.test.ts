import { describe, expect, test } from "vitest";
import { nodeCrypto } from "../node/index.ts";
import { digestOf, parseDigest, parsePublicKeyPem, readEvidence, type TrustVersion, verify } from "../src/index.ts";
import { fixture, fixtureBytes } from "./fixtures.ts";
import { entryFor, keyOf, outcomeOf, trustIn } from "./virtual.ts";

const image = parseDigest("sha256:42a521ad12733bd5e56ef80d7c4cf00ae9d7a6f731286486cb30168ee2431d83");
const artifactBytes = fixtureBytes("artifact.txt");
const blob = digestOf(nodeCrypto, artifactBytes);
const MESSAGE = "https://assay.dev/message-signature/v1";
const SIGN = "https://sigstore.dev/cosign/sign/v1";
const CUSTOM = "https://example.com/pred/v1";

function trustInFile(name: string): TrustVersion {
  const publicKeyPem = fixture(name);
  return trustIn(entryFor(keyOf("any"), { publicKeyPem, keyId: parsePublicKeyPem(publicKeyPem).keyId }));
}

describe("bundles of cosign 3 with a key pair verify", () => {
  test.each([
    ["sign.p256.bundle", "cosign.pub", image, SIGN],
    ["attest.p256.bundle", "cosign.pub", image, CUSTOM],
    ["sign-blob.p256.bundle", "cosign.pub", blob, MESSAGE],
    ["sign-blob.rsa.bundle", "rsa.pub", blob, MESSAGE],
    ["attest-blob.p256.bundle", "cosign.pub", blob, CUSTOM],
    ["attest-blob.p384.bundle", "p384.pub", blob, CUSTOM],
    ["attest-blob.p521.bundle", "p521.pub", blob, CUSTOM],
    ["attest-blob.rsa.bundle", "rsa.pub", blob, CUSTOM],
  ])("%s", async (file, key, artifact, predicateType) => {
    const bundle = fixtureBytes(file);
    const verdict = await verify(nodeCrypto, { bundle, artifact, trust: trustInFile(key), times: [] });
    expect(verdict).toMatchObject({ status: "verified", statement: { predicateType } });
    expect(readEvidence(nodeCrypto, bundle)).toMatchObject({ predicateType, subjects: [artifact] });
    expect(await outcomeOf(bundle, parseDigest(`sha256:${"0".repeat(64)}`), trustInFile(key))).toBe("subject-mismatch");
    expect(await outcomeOf(bundle, artifact, trustIn(entryFor(keyOf("stranger"))))).toBe("unknown-signer");
  });

  test.each([
    ["sign-blob.p384.bundle", "p384.pub"],
    ["sign-blob.p521.bundle", "p521.pub"],
    ["sign-blob.ed25519.bundle", "ed25519.pub"],
  ])("%s, given the bytes that its key signed", async (file, key) => {
    const bundle = fixtureBytes(file);
    expect(await outcomeOf(bundle, blob, trustInFile(key), { artifactBytes })).toBe("verified");
    expect(await outcomeOf(bundle, blob, trustInFile(key))).toBe("bytes-needed");
    expect(await outcomeOf(bundle, blob, trustInFile(key), { artifactBytes: artifactBytes.with(0, 0) })).toBe(
      "subject-mismatch",
    );
  });
});

test("cosign attests with Ed25519ph under an Ed25519 key: another algorithm, which it does not verify itself either", async () => {
  expect(await outcomeOf(fixtureBytes("attest-blob.ed25519.bundle"), blob, trustInFile("ed25519.pub"))).toBe(
    "signature-invalid",
  );
});
