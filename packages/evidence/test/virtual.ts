/**
 * A virtual instance: keys, trust, statements and bundles, good or damaged in a named way, made in memory. Tests ask it
 * for exactly the situation they are about.
 */
import { createHash } from "node:crypto";
import { generateKeyPair, nodeCrypto, type PrivateKey } from "../node/index.ts";
import {
  buildStatement,
  type Digest,
  digestHex,
  digestOf,
  formatBundle,
  formatPublicKeyPem,
  IN_TOTO_PAYLOAD_TYPE,
  type JsonObject,
  type KeyAlgorithm,
  type KeyEntry,
  keyHint,
  type ProvenTime,
  pae,
  parseDigest,
  signMessage,
  signStatement,
  type TrustEntry,
  type TrustVersion,
  utf8Decode,
  utf8Encode,
  type Verdict,
  verify,
} from "../src/index.ts";

export const PREDICATE_TYPE = "https://example.com/test-result/v1";

/** Keys are slow to make (RSA) and harmless to share: one per algorithm and name. */
const keys = new Map<string, PrivateKey>();

export function keyOf(name: string, algorithm: KeyAlgorithm = "ecdsa-p256-sha256"): PrivateKey {
  const id = `${algorithm} ${name}`;
  const key = keys.get(id) ?? generateKeyPair(algorithm);
  keys.set(id, key);
  return key;
}

/** A trust entry for a key, trusted for everything and for ever unless said otherwise. */
export function entryFor(key: PrivateKey, changes: Partial<KeyEntry> = {}): KeyEntry {
  return {
    kind: "key",
    id: `entry-${key.publicKey.keyId.slice(0, 8)}`,
    name: "build",
    publicKeyPem: formatPublicKeyPem(key.publicKey),
    keyId: key.publicKey.keyId,
    scope: { repositories: ["**"], predicateTypes: ["*"] },
    validFrom: null,
    validUntil: null,
    primary: false,
    ...changes,
  };
}

export function trustIn(...entries: TrustEntry[]): TrustVersion {
  return { org: "acme", version: 7, entries, logs: [], roots: [] };
}

export function receivedAt(time: number): ProvenTime {
  return { source: "received-here", time, evidence: `record at ${time}` };
}

/** An artifact with its bytes. */
export function artifactOf(text = "the artifact"): { bytes: Uint8Array; digest: Digest } {
  const bytes = utf8Encode(text);
  return { bytes, digest: digestOf(nodeCrypto, bytes) };
}

export function sha256Of(text: string): Digest {
  return parseDigest(`sha256:${createHash("sha256").update(text).digest("hex")}`);
}

export type StatementChanges = { predicateType?: string; predicate?: JsonObject; subjects?: readonly Digest[] };

export function payloadAbout(artifact: Digest, changes: StatementChanges = {}): Uint8Array {
  return buildStatement({
    subjects: (changes.subjects ?? [artifact]).map((digest, i) => ({
      name: `file-${i}`,
      digest: { sha256: digestHex(digest) },
    })),
    predicateType: changes.predicateType ?? PREDICATE_TYPE,
    predicate: changes.predicate ?? { result: "PASSED" },
  });
}

/** A DSSE bundle whose payload is any bytes at all: also ones that no statement of ours would be. */
export function bundleOfPayload(key: PrivateKey, payload: Uint8Array, payloadType = IN_TOTO_PAYLOAD_TYPE): Uint8Array {
  const envelope = { payloadType, payload, signature: key.sign(pae(payloadType, payload)), keyid: undefined };
  return formatBundle({ hint: keyHint(key.publicKey), content: { kind: "dsse", envelope } });
}

export function statementBundle(
  key: PrivateKey,
  artifact: Digest,
  changes: StatementChanges = {},
): Promise<Uint8Array> {
  return signStatement({
    payloadBytes: payloadAbout(artifact, changes),
    sign: (bytes) => key.sign(bytes),
    publicKey: key.publicKey,
  });
}

export function messageBundle(key: PrivateKey, message: Uint8Array): Promise<Uint8Array> {
  return signMessage({ message, sign: (bytes) => key.sign(bytes), publicKey: key.publicKey });
}

/** A bundle after a change to its JSON. The change may return a new value or alter the one it is given. */
export function changed(bundle: Uint8Array, change: (json: MutableBundle) => unknown): Uint8Array {
  const json = JSON.parse(utf8Decode(bundle)) as MutableBundle;
  const result = change(json);
  return utf8Encode(JSON.stringify(result === undefined ? json : result));
}

/** A bundle's JSON as tests alter it: loosely typed on purpose, since damage is the point. */
export type MutableBundle = {
  mediaType: unknown;
  verificationMaterial: Record<string, unknown> & { publicKey: { hint?: unknown } };
  dsseEnvelope: { payload: string; payloadType: unknown; signatures: { sig: string; keyid?: unknown }[] };
  messageSignature: { messageDigest: Record<string, unknown>; signature: string };
  [member: string]: unknown;
};

/** "verified", or the code of the refusal. */
export function outcome(verdict: Verdict): string {
  return verdict.status === "verified" ? "verified" : verdict.code;
}

/** Verifies with Node's crypto and gives the {@link outcome}. */
export async function outcomeOf(
  bundle: Uint8Array,
  artifact: Digest,
  trust: TrustVersion,
  more: { repository?: string; times?: ProvenTime[]; artifactBytes?: Uint8Array } = {},
): Promise<string> {
  return outcome(await verify(nodeCrypto, { bundle, artifact, trust, times: [], ...more }));
}
