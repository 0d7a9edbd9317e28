import { ed25519 } from "@noble/curves/ed25519.js";
import { sha256, sha384, sha512 } from "@noble/hashes/sha2.js";
import type { SyncCrypto } from "./crypto.ts";
import { concatBytes, equalBytes, utf8Encode } from "./encoding.ts";
import { EC_CURVES, type PublicKey } from "./keys.ts";
import { verifyRsaPkcs1, verifyRsaPss } from "./rsa.ts";
import { type HashName, ownScheme, type SignatureScheme, schemeParts } from "./scheme.ts";
import { decodeSignature, toBigInt } from "./signature.ts";

/**
 * The crypto port in plain JavaScript (@noble): needs nothing of its host, so it is the fallback where WebCrypto is
 * absent (pages without TLS) and the second opinion in tests. Some hundred ECDSA or Ed25519 verifications a second.
 */
export const nobleCrypto: SyncCrypto = {
  sha256: (data) => sha256(data),
  verify: (key, signature, data) => nobleCrypto.verifyAs(key, ownScheme(key.algorithm), signature, data),
  verifyAs(key, scheme, signature, data) {
    const decoded = decodeSignature(key, scheme, signature);
    return decoded !== undefined && verifyDecoded(key, scheme, decoded, data);
  },
};

/** The three hashes of signatures, by name. */
export const HASHES: Readonly<Record<HashName, typeof sha256 | typeof sha384 | typeof sha512>> = {
  sha256,
  sha384,
  sha512,
};

/** Verifies a signature that `decodeSignature` let through for this key and scheme. */
export function verifyDecoded(
  key: PublicKey,
  scheme: SignatureScheme,
  signature: Uint8Array,
  data: Uint8Array,
): boolean {
  const { hash } = schemeParts(scheme);
  return verifyHashed(key, scheme, signature, hash === null ? data : HASHES[hash](data));
}

/**
 * Whether `signature` is `key`'s under `scheme` over a message of which only the digest by the scheme's hash is known: what message
 * signatures need when the bytes are elsewhere, or too many to hold. Undefined for "ed25519", which signs the message itself. Neither
 * Node nor WebCrypto can do this, so it is part of no port, and the same everywhere.
 */
export function verifyDigest(
  key: PublicKey,
  scheme: SignatureScheme,
  signature: Uint8Array,
  digest: Uint8Array,
): boolean | undefined {
  const { hash } = schemeParts(scheme);
  if (hash === null) return undefined;
  const decoded = decodeSignature(key, scheme, signature);
  if (decoded === undefined || digest.length !== HASHES[hash].outputLen) return false;
  return verifyHashed(key, scheme, decoded, digest);
}

/** What a signature rests on: the hash of a prefix of its own and the message. */
export type MessageHash = { readonly hash: HashName; readonly prefix: Uint8Array };

/**
 * The hash of a message that decides whether `signature` is `key`'s under `scheme`, for {@link verifyMessageHash}: so that a message of any
 * length passes by once and is not held. Undefined when it is none over any message.
 */
export function messageHash(key: PublicKey, scheme: SignatureScheme, signature: Uint8Array): MessageHash | undefined {
  const decoded = decodeSignature(key, scheme, signature);
  if (decoded === undefined) return undefined;
  const { hash } = schemeParts(scheme);
  if (hash !== null) return { hash, prefix: NO_BYTES };
  if (key.material.kind !== "ed25519") return undefined;
  return { hash: "sha512", prefix: challengePrefix(key.material.point, decoded, NO_BYTES) };
}

/** Whether `signature` is `key`'s under `scheme` over the message whose {@link messageHash} is `hashed`. */
export function verifyMessageHash(
  key: PublicKey,
  scheme: SignatureScheme,
  signature: Uint8Array,
  hashed: Uint8Array,
): boolean {
  if (schemeParts(scheme).hash !== null) return verifyDigest(key, scheme, signature, hashed) === true;
  const decoded = decodeSignature(key, scheme, signature);
  if (decoded === undefined || key.material.kind !== "ed25519" || hashed.length !== HASHES.sha512.outputLen)
    return false;
  return verifyChallenge(key.material.point, decoded, hashed);
}

/** `hashed` is the digest by the scheme's hash; for pure Ed25519 the message. */
function verifyHashed(key: PublicKey, scheme: SignatureScheme, signature: Uint8Array, hashed: Uint8Array): boolean {
  const { material } = key;
  const parts = schemeParts(scheme);
  switch (material.kind) {
    case "ec": {
      if (key.algorithm === "ed25519" || key.algorithm === "rsa-pkcs1-sha256") return false;
      // High s is standard ECDSA. Without `prehash` the digest is taken as it is, cut to the order's length.
      const options = { prehash: false, lowS: false, format: "compact" } as const;
      return EC_CURVES[key.algorithm].curve.verify(signature, hashed, material.point, options);
    }
    case "ed25519":
      return verifyEd25519(material.point, signature, parts.kind === "ed25519ph" ? DOM2_PH : NO_BYTES, hashed);
    case "rsa":
      if (parts.kind === "rsa-pss") return verifyRsaPss(material, signature, hashed, HASHES[parts.hash]);
      return parts.kind === "rsa-pkcs1" && verifyRsaPkcs1(material, signature, hashed, parts.hash);
  }
}

const NO_BYTES = new Uint8Array(0);
/** RFC 8032 §2 and §5.1: dom2(1, "") sets pre-hashed signatures apart from pure ones. */
const DOM2_PH = concatBytes(utf8Encode("SigEd25519 no Ed25519 collisions"), Uint8Array.of(1, 0));

function verifyEd25519(publicKey: Uint8Array, signature: Uint8Array, domain: Uint8Array, data: Uint8Array): boolean {
  const challenge = sha512(concatBytes(challengePrefix(publicKey, signature, domain), data));
  return verifyChallenge(publicKey, signature, challenge);
}

/** What RFC 8032 §5.1.7 hashes before the message: dom2 ‖ R ‖ A. */
function challengePrefix(publicKey: Uint8Array, signature: Uint8Array, domain: Uint8Array): Uint8Array {
  return concatBytes(domain, signature.subarray(0, 32), publicKey);
}

/**
 * RFC 8032 §5.1.7 without the cofactor, comparing encodings: R = [S]B - [k]A. This is what OpenSSL and BoringSSL compute;
 * noble's own verify multiplies by the cofactor and would accept signatures that they refuse.
 */
function verifyChallenge(publicKey: Uint8Array, signature: Uint8Array, challenge: Uint8Array): boolean {
  const { Point } = ed25519;
  const r = signature.subarray(0, 32);
  const s = toBigInt(signature.slice(32).reverse());
  const k = toBigInt(challenge.toReversed()) % Point.Fn.ORDER;
  const minusA = Point.fromBytes(publicKey, false).negate();
  const computed = Point.BASE.multiplyUnsafe(s).add(minusA.multiplyUnsafe(k));
  return equalBytes(computed.toBytes(), r);
}
