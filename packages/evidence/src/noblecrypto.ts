import { ed25519 } from "@noble/curves/ed25519.js";
import { p256 } from "@noble/curves/nist.js";
import { sha256, sha512 } from "@noble/hashes/sha2.js";
import type { SyncCrypto } from "./crypto.ts";
import { concatBytes, equalBytes, fromHex } from "./encoding.ts";
import { EC_CURVES, type PublicKey } from "./keys.ts";
import { decodeSignature, fromBigInt, toBigInt } from "./signature.ts";

/**
 * The crypto port in plain JavaScript (@noble): needs nothing of its host, so it is the fallback where WebCrypto is
 * absent (pages without TLS) and the second opinion in tests. Some hundred ECDSA or Ed25519 verifications a second.
 */
export const nobleCrypto: SyncCrypto = {
  sha256: (data) => sha256(data),
  verify(key, signature, data) {
    const decoded = decodeSignature(key, signature);
    return decoded !== undefined && verifyDecoded(key, decoded, data);
  },
};

/** Verifies a signature that `decodeSignature` let through. */
export function verifyDecoded(key: PublicKey, signature: Uint8Array, data: Uint8Array): boolean {
  const { material } = key;
  switch (material.kind) {
    case "ec": {
      if (key.algorithm === "ed25519" || key.algorithm === "rsa-pkcs1-sha256") return false;
      // The curve's own hash (SHA-256/384/512) is the key's algorithm; high s is standard ECDSA.
      return EC_CURVES[key.algorithm].curve.verify(signature, data, material.point, { lowS: false, format: "compact" });
    }
    case "ed25519":
      return verifyEd25519(material.point, signature, data);
    case "rsa":
      return verifyRsaDigest(material.modulus, material.exponent, signature, sha256(data));
  }
}

/**
 * Whether `signature` is `key`'s over a message of which only the SHA-256 digest is known: what message signatures need
 * when the bytes are elsewhere. Undefined for keys that do not sign a SHA-256 digest (P-384, P-521, Ed25519). Neither Node nor
 * WebCrypto can do this, so it is part of no port, and the same everywhere.
 */
export function verifySha256Digest(key: PublicKey, signature: Uint8Array, digest: Uint8Array): boolean | undefined {
  const { material } = key;
  if (material.kind === "ed25519" || key.algorithm === "ecdsa-p384-sha384" || key.algorithm === "ecdsa-p521-sha512") {
    return undefined;
  }
  const decoded = decodeSignature(key, signature);
  if (decoded === undefined || digest.length !== 32) return false;
  if (material.kind === "rsa") return verifyRsaDigest(material.modulus, material.exponent, decoded, digest);
  return p256.verify(decoded, digest, material.point, { prehash: false, lowS: false, format: "compact" });
}

/**
 * RFC 8032 §5.1.7 without the cofactor, comparing encodings: R = [S]B - [k]A. This is what OpenSSL and BoringSSL compute;
 * noble's own verify multiplies by the cofactor and would accept signatures that they refuse.
 */
function verifyEd25519(publicKey: Uint8Array, signature: Uint8Array, data: Uint8Array): boolean {
  const { Point } = ed25519;
  const r = signature.subarray(0, 32);
  const s = toBigInt(signature.slice(32).reverse());
  const k = toBigInt(sha512(concatBytes(r, publicKey, data)).reverse()) % Point.Fn.ORDER;
  const minusA = Point.fromBytes(publicKey, false).negate();
  const computed = Point.BASE.multiplyUnsafe(s).add(minusA.multiplyUnsafe(k));
  return equalBytes(computed.toBytes(), r);
}

/** DigestInfo of SHA-256 up to the hash itself: RFC 8017 §9.2, note 1. */
const SHA256_DIGEST_INFO = fromHex("3031300d060960864801650304020105000420");

/** RFC 8017 §8.2.2 by comparison of encodings: what the signature must decrypt to is built, never parsed. */
function verifyRsaDigest(modulus: Uint8Array, exponent: number, signature: Uint8Array, digest: Uint8Array): boolean {
  const hashed = concatBytes(SHA256_DIGEST_INFO, digest);
  const expected = new Uint8Array(modulus.length).fill(0xff);
  expected.set([0x00, 0x01], 0);
  expected[modulus.length - hashed.length - 1] = 0x00;
  expected.set(hashed, modulus.length - hashed.length);
  const decrypted = powMod(toBigInt(signature), exponent, toBigInt(modulus));
  return equalBytes(fromBigInt(decrypted, modulus.length), expected);
}

function powMod(base: bigint, exponent: number, modulus: bigint): bigint {
  let result = 1n;
  for (const bit of exponent.toString(2)) {
    result = (result * result) % modulus;
    if (bit === "1") result = (result * base) % modulus;
  }
  return result;
}
