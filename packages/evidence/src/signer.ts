/** Who signed a bundle: which trusted keys it may mean, and which of them made its signature. */
import { sha256, sha384, sha512 } from "@noble/hashes/sha2.js";
import type { ArtifactHashes } from "./artifact-hashes.ts";
import type { Bundle, BundleContent, MessageDigest } from "./bundle.ts";
import type { Crypto } from "./crypto.ts";
import { pae } from "./dsse.ts";
import { equalBytes, fromBase64, toHex } from "./encoding.ts";
import type { PublicKey } from "./keys.ts";
import { messageHash, verifyMessageHash } from "./noblecrypto.ts";
import { ownScheme, schemeParts, type SignatureScheme } from "./scheme.ts";
import { type TrustVersion, trustedKey } from "./trust.ts";

/** All names the bundle gives its key: the bundle's hint and the envelope's keyid. None, one or two. */
export function namedKeys(bundle: Bundle): string[] {
  const hint = bundle.material.kind === "publicKey" ? bundle.material.hint : undefined;
  const keyid = bundle.content.kind === "dsse" ? bundle.content.envelope.keyid : undefined;
  return [hint, keyid].filter((name) => name !== undefined);
}

/** The trusted keys that fit *every* name; all of them if there is no name. Each once, however many entries it has. */
export function candidateKeys(trust: TrustVersion, names: readonly string[]): PublicKey[] {
  const wanted = names.map(keyIdOfName);
  const keys = new Map<string, PublicKey>();
  for (const entry of trust.entries) {
    if (entry.kind !== "key" || keys.has(entry.keyId) || !wanted.every((keyId) => keyId === entry.keyId)) continue;
    keys.set(entry.keyId, trustedKey(entry));
  }
  return [...keys.values()];
}

const HEX_KEY_ID = /^[0-9a-f]{64}$/;
/** Base64 of 32 bytes in its one canonical spelling. */
const BASE64_KEY_ID = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/;

/** Keys are named by SHA-256 of their SPKI, in base64 (cosign) or hex (keyid); any other name names no key of ours. */
function keyIdOfName(name: string): string | undefined {
  if (HEX_KEY_ID.test(name)) return name;
  return BASE64_KEY_ID.test(name) ? toHex(fromBase64(name)) : undefined;
}

/** A name of a key as people read it: one of a key that is written in full alike in whatever spelling it comes, another as it is, quoted. */
export function showKeyName(name: string): string {
  const keyId = keyIdOfName(name);
  return keyId === undefined ? JSON.stringify(name.slice(0, 100)) : `sha256:${keyId}`;
}

export type SignerSearch =
  | { readonly outcome: "signed"; readonly key: PublicKey }
  /** None of the keys made the signature. */
  | { readonly outcome: "none" }
  /** The message signature is over a digest other than that of the bytes given. */
  | { readonly outcome: "mismatch" }
  /** A message signature that cannot be decided from the SHA-256 digest. */
  | { readonly outcome: "bytes-needed" };

/**
 * Which of `keys` made the bundle's signature. `artifactBytes` are the bytes a message signature is expected to be over, or `artifactHashes`
 * knows them; without either it is decided from the SHA-256 digest that the bundle states, where the key's algorithm allows that.
 * Throws `ArtifactUnread`, and what reading the artifact throws.
 */
export async function findSigner(
  crypto: Crypto,
  content: BundleContent,
  keys: readonly PublicKey[],
  artifactBytes: Uint8Array | undefined,
  artifactHashes?: ArtifactHashes,
): Promise<SignerSearch> {
  if (content.kind === "dsse") {
    const { payloadType, payload, signature } = content.envelope;
    return firstKey(keys, (key, signed) => crypto.verify(key, signature, signed), pae(payloadType, payload));
  }
  if (content.kind === "simple-signing") {
    return firstKey(keys, (key, signed) => crypto.verify(key, content.signature, signed), content.payload);
  }
  const { messageDigest, signature } = content;
  if (artifactBytes !== undefined) {
    if (messageDigest !== undefined && !isDigestOf(messageDigest, artifactBytes)) return { outcome: "mismatch" };
    return firstKey(
      ableKeys(keys, messageDigest),
      (key, signed) => {
        const scheme = schemeOf(key, messageDigest);
        return scheme === "ed25519ph"
          ? crypto.verifyAs(key, scheme, signature, signed)
          : crypto.verify(key, signature, signed);
      },
      artifactBytes,
    );
  }
  const undecided: PublicKey[] = [];
  for (const key of keys) {
    const scheme = ownScheme(key.algorithm);
    if (messageDigest?.algorithm !== "SHA2_256" || schemeParts(scheme).hash !== "sha256") undecided.push(key);
    else if (await isOver(crypto, key, scheme, signature, messageDigest.digest)) return { outcome: "signed", key };
  }
  if (undecided.length === 0) return { outcome: "none" };
  if (artifactHashes === undefined) return { outcome: "bytes-needed" };
  return firstByHash(crypto, content, undecided, artifactHashes);
}

/** Only a key that signs the message itself may leave the digest out; else dropping it would go unnoticed. */
function ableKeys(keys: readonly PublicKey[], messageDigest: MessageDigest | undefined): PublicKey[] {
  return keys.filter((key) => messageDigest !== undefined || key.algorithm === "ed25519");
}

/** Sigstore states a SHA-512 digest for Ed25519 where the key signed that digest (Ed25519ph, RFC 8032 §5.1), not the bytes. */
function schemeOf({ algorithm }: PublicKey, messageDigest: MessageDigest | undefined): SignatureScheme {
  return algorithm === "ed25519" && messageDigest?.algorithm === "SHA2_512" ? "ed25519ph" : ownScheme(algorithm);
}

/** Keys for which one reading of the artifact hashes it at most. */
const KEYS_PER_READING = 4;

/** The same search over an artifact that passes by. A signature that no message could have is told by its form, before anything is read. */
async function firstByHash(
  crypto: Crypto,
  { messageDigest, signature }: Extract<BundleContent, { kind: "message" }>,
  keys: readonly PublicKey[],
  artifact: ArtifactHashes,
): Promise<SignerSearch> {
  if (messageDigest !== undefined) {
    const [actual] = await artifact.digests([{ hash: STATED[messageDigest.algorithm], prefix: new Uint8Array(0) }]);
    if (actual === undefined || !equalBytes(actual, messageDigest.digest)) return { outcome: "mismatch" };
  }
  const asked = ableKeys(keys, messageDigest).flatMap((key) => {
    const scheme = schemeOf(key, messageDigest);
    const rest = messageHash(key, scheme, signature);
    return rest === undefined ? [] : [{ key, scheme, rest }];
  });
  for (let from = 0; from < asked.length; from += KEYS_PER_READING) {
    const some = asked.slice(from, from + KEYS_PER_READING);
    const digests = await artifact.digests(some.map(({ rest }) => rest));
    for (const [index, { key, scheme }] of some.entries()) {
      const digest = digests[index];
      if (digest !== undefined && (await isOver(crypto, key, scheme, signature, digest)))
        return { outcome: "signed", key };
    }
  }
  return { outcome: "none" };
}

/** Whether a signature is over the message of which only the deciding hash is known. */
function isOver(
  crypto: Crypto,
  key: PublicKey,
  scheme: SignatureScheme,
  signature: Uint8Array,
  hashed: Uint8Array,
): boolean | Promise<boolean> {
  return crypto.verifyHashed === undefined
    ? verifyMessageHash(key, scheme, signature, hashed)
    : crypto.verifyHashed(key, scheme, signature, hashed);
}

const STATED = { SHA2_256: "sha256", SHA2_384: "sha384", SHA2_512: "sha512" } as const;

async function firstKey(
  keys: readonly PublicKey[],
  isSigner: (key: PublicKey, signed: Uint8Array) => boolean | Promise<boolean>,
  signed: Uint8Array,
): Promise<SignerSearch> {
  for (const key of keys) if (await isSigner(key, signed)) return { outcome: "signed", key };
  return { outcome: "none" };
}

const HASHES = { SHA2_256: sha256, SHA2_384: sha384, SHA2_512: sha512 };

function isDigestOf({ algorithm, digest }: MessageDigest, bytes: Uint8Array): boolean {
  return equalBytes(HASHES[algorithm](bytes), digest);
}
