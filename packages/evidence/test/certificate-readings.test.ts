/** For whose certificate an artifact is read, when its digest cannot decide the signature. */
import { describe, expect, test } from "vitest";
import { nodeCrypto } from "../node/index.ts";
import { type ArtifactSource, type TrustVersion, utf8Encode, verify } from "../src/index.ts";
import { artifactOf, keyOf } from "./virtual.ts";
import { bundleBytes, bundleJson, certificate, SUBJECT, trustRoot } from "./virtual-sigstore.ts";
import { certificateEntry, trustInCertified } from "./virtual-trust.ts";

const { bytes: message, digest: artifact } = artifactOf();
const key = keyOf("certified", "ecdsa-p384-sha384");
const holder = certificate({ key });

const ROOT = trustRoot({ profile: "sigstore", tlogs: [], ctlogs: [] });

const trusting = (value: string, root = ROOT): TrustVersion =>
  trustInCertified(root, certificateEntry({ subject: { kind: "exact", value } }));

const trust = trusting(SUBJECT);

/** The outcome, how often the artifact was read for it, and which checks it names. */
async function judged(bundle: Uint8Array, whom: TrustVersion) {
  let reads = 0;
  const artifactSource: ArtifactSource = {
    size: message.length,
    async *read() {
      reads++;
      yield message;
    },
  };
  const verdict = await verify(nodeCrypto, { bundle, artifact, trust: whom, times: [], artifactSource });
  const checks = verdict.steps.map(({ check, outcome }) => `${check} ${outcome}`);
  return { outcome: verdict.status === "verified" ? "verified" : verdict.code, reads, checks };
}

const signed = (terms: Parameters<typeof bundleJson>[0]): Uint8Array => bundleBytes(bundleJson({ message, ...terms }));

describe("an artifact is read", () => {
  test("for the holder of a certificate whom trust means, whose signature is then good or not", async () => {
    expect(await judged(signed({ holder }), trust)).toEqual({
      outcome: "verified",
      reads: 1,
      checks: [
        "form passed",
        "root passed",
        "signature passed",
        "signer passed",
        "statement passed",
        "subject passed",
        "trust passed",
      ],
    });
    const json = bundleJson({ holder, message });
    const other = bundleJson({ holder, message: utf8Encode("other") });
    const json2 = {
      ...json,
      // Stamped and signed by the holder, over other bytes than the digest beside it says.
      verificationMaterial: other.verificationMaterial,
      messageSignature: { ...json.messageSignature, signature: other.messageSignature?.signature },
    };
    expect(await judged(bundleBytes(json2), trust)).toEqual({
      outcome: "signature-invalid",
      reads: 1,
      checks: ["form passed", "root passed", "signature failed"],
    });
  });

  test.each<[string, TrustVersion, string]>([
    ["while no certificate is trusted", { ...trust, entries: [] }, "unknown-signer"],
    ["whom no entry means", trusting("https://example.com/another"), "unknown-signer"],
    [
      "whose certificate comes of no trusted authority",
      trusting(SUBJECT, { ...ROOT, certificateAuthorities: [] }),
      "chain-untrusted",
    ],
    ["whose time nobody proves", trusting(SUBJECT, { ...ROOT, timestampAuthorities: [] }), "time-unproven"],
  ])("for nobody %s", async (_who, whom, outcome) => {
    expect(await judged(signed({ holder }), whom)).toMatchObject({ outcome, reads: 0 });
  });

  test("for no signature that its digest decides, whoever made it: what it is refused for is the signature", async () => {
    const p256 = certificate();
    expect(await judged(signed({ holder: p256 }), trust)).toMatchObject({ outcome: "verified", reads: 0 });
    const forged = { holder: { ...p256, key: keyOf("another") } };
    expect(await judged(signed(forged), { ...trust, entries: [] })).toMatchObject({
      outcome: "signature-invalid",
      reads: 0,
    });
  });
});
