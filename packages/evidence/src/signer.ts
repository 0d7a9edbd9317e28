/** Who signed a bundle: which trusted keys it may mean, and which of them made its signature. */
import { sha256, sha384, sha512 } from "@noble/hashes/sha2.js";
import type { Bundle, BundleContent, MessageDigest } from "./bundle.ts";
import type { Crypto } from "./crypto.ts";
import { pae } from "./dsse.ts";
import { equalBytes, fromBase64, toHex } from "./encoding.ts";
import type { PublicKey } from "./keys.ts";
import { verifySha256Digest } from "./noblecrypto.ts";
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

export type SignerSearch =
  | { readonly outcome: "signed"; readonly key: PublicKey }
  /** None of the keys made the signature. */
  | { readonly outcome: "none" }
  /** The message signature is over a digest other than that of the bytes given. */
  | { readonly outcome: "mismatch" }
  /** A message signature that cannot be decided from the SHA-256 digest. */
  | { readonly outcome: "bytes-needed" };

/**
 * Which of `keys` made the bundle's signature. `artifactBytes` are the bytes a message signature is expected to be over;
 * without them it is decided from the SHA-256 digest that the bundle states, where the key's algorithm allows that.
 */
export async function findSigner(
  crypto: Crypto,
  content: BundleContent,
  keys: readonly PublicKey[],
  artifactBytes: Uint8Array | undefined,
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
    // Only a key that signs the message itself may leave the digest out; else dropping it would go unnoticed.
    const able = keys.filter((key) => messageDigest !== undefined || key.algorithm === "ed25519");
    // Sigstore states a SHA-512 digest for Ed25519 where the key signed that digest (Ed25519ph, RFC 8032 §5.1), not the bytes.
    const isPrehashed = (key: PublicKey): boolean =>
      key.algorithm === "ed25519" && messageDigest?.algorithm === "SHA2_512";
    return firstKey(
      able,
      (key, signed) =>
        isPrehashed(key) ? crypto.verifyAs(key, "ed25519ph", signature, signed) : crypto.verify(key, signature, signed),
      artifactBytes,
    );
  }
  let undecided = false;
  for (const key of keys) {
    const isSigner =
      messageDigest?.algorithm === "SHA2_256" ? verifySha256Digest(key, signature, messageDigest.digest) : undefined;
    if (isSigner) return { outcome: "signed", key };
    undecided ||= isSigner === undefined;
  }
  return { outcome: undecided ? "bytes-needed" : "none" };
}

/** Whether the bundle's signature may be one that its SHA-256 digest cannot decide: by a key that signs other than that digest. */
export function needsBytes({ content, material }: Bundle, trust: TrustVersion): boolean {
  if (content.kind !== "message") return false;
  if (material.kind === "certificate" || content.messageDigest?.algorithm !== "SHA2_256") return true;
  return trust.entries.some((entry) => entry.kind === "key" && !signsSha256(trustedKey(entry)));
}

function signsSha256({ algorithm }: PublicKey): boolean {
  return algorithm === "ecdsa-p256-sha256" || algorithm === "rsa-pkcs1-sha256";
}

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
