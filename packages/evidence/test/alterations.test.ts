/**
 * Issue acceptance: every field of a bundle altered, dropped or duplicated in turn is refused, or stands on the list below.
 * The walk is generic over the JSON, so a field that a later version learns to read is covered on the day it is written.
 */
import { describe, expect, test } from "vitest";
import { type Digest, parsePublicKeyPem } from "../src/index.ts";
import { type Alteration, alterations } from "./alter.ts";
import { fixtureBytes } from "./fixtures.ts";
import { artifactOf, changed, entryFor, keyOf, messageBundle, outcomeOf, statementBundle, trustIn } from "./virtual.ts";

/** The reviewed list. `path` ends in "**" to mean everything below; `change` is how the walk names what it did. */
const fieldsNoVerdictDependsOn: readonly { path: string; changes: readonly string[]; reason: string }[] = [
  {
    path: "verificationMaterial.publicKey.hint",
    changes: ["dropped", "emptied"],
    reason: "It only chooses which trusted key to try. Without it all are tried; the signature decides either way.",
  },
  {
    path: "dsseEnvelope.signatures[0].keyid",
    changes: ["dropped", "emptied"],
    reason: "A second hint at the same key (DSSE: an unauthenticated hint). If it is there and not empty, it must fit.",
  },
  {
    path: "mediaType",
    changes: ["altered by one bit at 39"],
    reason:
      "It makes version 0.3 another one that is read; they differ in what they ask of log entries, and nothing else.",
  },
  {
    path: "verificationMaterial.tlogEntries**",
    changes: ["*"],
    reason:
      "Under trust that names no log they are not evaluated: the verdict says so in `notEvaluated`, and no proven time comes of them.",
  },
  {
    path: "verificationMaterial.timestampVerificationData**",
    changes: ["*"],
    reason: "Under trust that names no timestamp authority they are not evaluated, as above.",
  },
];

function isListed({ path, change }: Alteration): boolean {
  return fieldsNoVerdictDependsOn.some((field) => {
    const covers = field.path.endsWith("**") ? path.startsWith(field.path.slice(0, -2)) : path === field.path;
    return covers && (field.changes.includes("*") || field.changes.includes(change));
  });
}

async function unexpectedlyVerified(
  bundle: Uint8Array,
  artifact: Digest,
  trust: ReturnType<typeof trustIn>,
  artifactBytes?: Uint8Array,
): Promise<{ count: number; passed: string[]; listed: Set<string> }> {
  const passed: string[] = [];
  const listed = new Set<string>();
  let count = 0;
  const more = artifactBytes === undefined ? {} : { artifactBytes };
  for (const alteration of alterations(bundle)) {
    count++;
    if ((await outcomeOf(alteration.bundle, artifact, trust, more)) !== "verified") continue;
    const name = `${alteration.path} ${alteration.change}`;
    if (isListed(alteration)) listed.add(name);
    else passed.push(name);
  }
  return { count, passed, listed };
}

const { bytes: artifactBytes, digest: artifact } = artifactOf();
const key = keyOf("build");
// A second trusted key, so that a changed hint has somewhere to lead.
const trust = trustIn(entryFor(key), entryFor(keyOf("second")));

describe("no alteration of a bundle verifies, but those on the list:", () => {
  test("DSSE, as cosign and we write it", async () => {
    const { count, passed, listed } = await unexpectedlyVerified(await statementBundle(key, artifact), artifact, trust);
    expect(passed).toEqual([]);
    expect(count).toBeGreaterThan(400);
    expect([...listed]).toEqual([
      "mediaType altered by one bit at 39",
      "verificationMaterial.publicKey.hint dropped",
      "verificationMaterial.publicKey.hint emptied",
    ]);
  });

  test("DSSE with every optional member", async () => {
    const bundle = changed(await statementBundle(key, artifact), (json) => {
      for (const signature of json.dsseEnvelope.signatures) signature.keyid = key.publicKey.keyId;
      json.verificationMaterial.tlogEntries = [
        { logIndex: "1", inclusionProof: { hashes: ["AAAA"] }, canonicalizedBody: "AAAA" },
      ];
      json.verificationMaterial.timestampVerificationData = { rfc3161Timestamps: [{ signedTimestamp: "AAAA" }] };
    });
    const { passed, listed } = await unexpectedlyVerified(bundle, artifact, trust);
    expect(passed).toEqual([]);
    expect(listed.size).toBeGreaterThan(4);
  });

  test("a message signature, checked from the digest", async () => {
    const { count, passed } = await unexpectedlyVerified(await messageBundle(key, artifactBytes), artifact, trust);
    expect(passed).toEqual([]);
    expect(count).toBeGreaterThan(300);
  });

  test("a message signature, checked from the bytes", async () => {
    const bundle = await messageBundle(key, artifactBytes);
    expect((await unexpectedlyVerified(bundle, artifact, trust, artifactBytes)).passed).toEqual([]);
  });

  test.each(["ed25519", "rsa-pkcs1-sha256", "ecdsa-p384-sha384"] as const)(
    "a message signature with %s",
    async (algorithm) => {
      const signer = keyOf("build", algorithm);
      const bundle = await messageBundle(signer, artifactBytes);
      const { passed } = await unexpectedlyVerified(
        bundle,
        artifact,
        trustIn(entryFor(signer), entryFor(key)),
        artifactBytes,
      );
      expect(passed).toEqual([]);
    },
  );

  test("a bundle that cosign wrote is as tight as ours", async () => {
    const { digest } = artifactOf("hello assay\n");
    const publicKeyPem = new TextDecoder().decode(fixtureBytes("cosign.pub"));
    const trusted = trustIn(entryFor(key, { publicKeyPem, keyId: parsePublicKeyPem(publicKeyPem).keyId }));
    for (const name of ["attest-blob.p256.bundle", "sign-blob.p256.bundle"]) {
      expect(await outcomeOf(fixtureBytes(name), digest, trusted)).toBe("verified");
      expect((await unexpectedlyVerified(fixtureBytes(name), digest, trusted)).passed).toEqual([]);
    }
  });
});

test("the list names no change that is in fact refused, and gives each its reason", async () => {
  expect(fieldsNoVerdictDependsOn.length).toBeLessThanOrEqual(5);
  const bundle = changed(await statementBundle(key, artifact), (json) => {
    for (const signature of json.dsseEnvelope.signatures) signature.keyid = key.publicKey.keyId;
    json.verificationMaterial.tlogEntries = [{ logIndex: "1" }];
    json.verificationMaterial.timestampVerificationData = { rfc3161Timestamps: [{ signedTimestamp: "AAAA" }] };
  });
  const { listed } = await unexpectedlyVerified(bundle, artifact, trust);
  for (const { path, reason } of fieldsNoVerdictDependsOn) {
    expect(reason.length).toBeGreaterThan(40);
    expect([...listed].some((name) => name.startsWith(path.replace("**", "")))).toBe(true);
  }
});
