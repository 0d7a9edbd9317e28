/**
 * Public keys. A {@link PublicKey} is made by the strict parsers of this file only, so whoever holds one knows that its
 * encoding is the one canonical DER, its point is on its curve, and its strength is within bounds.
 */
import { ed25519 } from "@noble/curves/ed25519.js";
import { p256, p384, p521 } from "@noble/curves/nist.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { DerReader, derValue, TAG_BIT_STRING, TAG_NULL, TAG_OID, TAG_SEQUENCE } from "./der.ts";
import { equalBytes, fromHex, toBase64, toHex } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { LIMITS } from "./limits.ts";
import { formatPem, parsePem } from "./pem.ts";

/** A key's own signature algorithm: the only one, unless the signed format itself names another (`Crypto.verifyAs`). */
export type KeyAlgorithm =
  | "ecdsa-p256-sha256"
  | "ecdsa-p384-sha384"
  | "ecdsa-p521-sha512"
  | "rsa-pkcs1-sha256"
  | "ed25519";

/** The mathematics of a key, read out of its SPKI once. */
export type KeyMaterial =
  | { readonly kind: "ec"; readonly point: Uint8Array }
  | { readonly kind: "rsa"; readonly modulus: Uint8Array; readonly exponent: number }
  | { readonly kind: "ed25519"; readonly point: Uint8Array };

declare const parsedKey: unique symbol;

/** A public key that passed {@link parseSpki}. */
export type PublicKey = {
  readonly algorithm: KeyAlgorithm;
  /** DER SubjectPublicKeyInfo (RFC 5280 §4.1.2.7). */
  readonly spki: Uint8Array;
  /** Lower-case hex SHA-256 of `spki`. */
  readonly keyId: string;
  readonly material: KeyMaterial;
  readonly [parsedKey]: true;
};

const OID_EC = fromHex("2a8648ce3d0201");
const OID_RSA = fromHex("2a864886f70d010101");
const OID_ED25519 = fromHex("2b6570");

/** Named curves (RFC 5480 §2.1.1.1) with what the two ends of the package need of them. */
export const EC_CURVES = {
  "ecdsa-p256-sha256": { oid: fromHex("2a8648ce3d030107"), bytes: 32, curve: p256, order: p256.Point.Fn.ORDER },
  "ecdsa-p384-sha384": { oid: fromHex("2b81040022"), bytes: 48, curve: p384, order: p384.Point.Fn.ORDER },
  "ecdsa-p521-sha512": { oid: fromHex("2b81040023"), bytes: 66, curve: p521, order: p521.Point.Fn.ORDER },
} as const;

/** Bits of an RSA modulus. Less is weak; more only costs the verifier time. */
const RSA_BITS = { least: 2048, most: 4096 };
/** RSA exponents are odd, above 2, and fit 32 bits: larger ones are refused by some libraries and used by nobody. */
const RSA_EXPONENT_BYTES = 4;

/** Reads a PEM "PUBLIC KEY". Throws `key-invalid`, `key-unsupported`, `too-large`. */
export function parsePublicKeyPem(pem: string): PublicKey {
  return parseSpki(parsePem(pem, ["PUBLIC KEY"], "key-invalid"));
}

/** A PEM "PUBLIC KEY", as `cosign.pub` is. */
export function formatPublicKeyPem(key: PublicKey): string {
  return formatPem("PUBLIC KEY", key.spki);
}

/**
 * Reads a DER SubjectPublicKeyInfo: strict DER, nothing after it, named curve, uncompressed point on that curve, RSA of
 * 2048 to 4096 bits, Ed25519 point canonical and not of small order. Throws `key-invalid`, `key-unsupported`.
 */
export function parseSpki(der: Uint8Array): PublicKey {
  if (der.length > LIMITS.spkiBytes)
    throw new EvidenceError("key-invalid", "The public key is too long to be a supported one.");
  const spki = Uint8Array.from(der);
  try {
    const { algorithm, material } = readSpki(spki);
    return Object.freeze({ algorithm, spki, keyId: toHex(sha256(spki)), material }) as PublicKey;
  } catch (cause) {
    if (cause instanceof EvidenceError && cause.code !== "der-invalid") throw cause;
    throw new EvidenceError("key-invalid", "The public key is not strict DER SubjectPublicKeyInfo.", { cause });
  }
}

/** The Ed25519 key of 32 raw bytes (RFC 8032 §5.1.5), as signed notes carry it. Throws `key-invalid`. */
export function ed25519FromRaw(raw: Uint8Array): PublicKey {
  if (raw.length !== 32) throw new EvidenceError("key-invalid", `An Ed25519 key has 32 bytes, not ${raw.length}.`);
  const algorithm = derValue(TAG_SEQUENCE, derValue(TAG_OID, OID_ED25519));
  return parseSpki(derValue(TAG_SEQUENCE, algorithm, derValue(TAG_BIT_STRING, Uint8Array.of(0), raw)));
}

/** The hint by which Sigstore bundles of cosign name a key: base64 of SHA-256 of the SPKI. */
export function keyHint(key: PublicKey): string {
  return toBase64(fromHex(key.keyId));
}

function readSpki(spki: Uint8Array): { algorithm: KeyAlgorithm; material: KeyMaterial } {
  const outer = new DerReader(spki);
  const body = outer.sequence();
  outer.end();
  const identifier = body.sequence();
  const subjectPublicKey = body.readBitString();
  body.end();
  const oid = identifier.read(TAG_OID);

  if (equalBytes(oid, OID_EC)) {
    const curveOid = identifier.read(TAG_OID);
    identifier.end();
    return readEc(curveOid, subjectPublicKey);
  }
  if (equalBytes(oid, OID_RSA)) {
    // RFC 3279 §2.3.1: parameters are NULL, present and empty.
    if (identifier.read(TAG_NULL).length !== 0) throw new EvidenceError("key-invalid", "RSA parameters are not NULL.");
    identifier.end();
    return readRsa(subjectPublicKey);
  }
  if (equalBytes(oid, OID_ED25519)) {
    identifier.end();
    return readEd25519(subjectPublicKey);
  }
  throw new EvidenceError("key-unsupported", "The public key's algorithm is not supported.");
}

function readEc(oid: Uint8Array, point: Uint8Array): { algorithm: KeyAlgorithm; material: KeyMaterial } {
  for (const algorithm of ["ecdsa-p256-sha256", "ecdsa-p384-sha384", "ecdsa-p521-sha512"] as const) {
    const { oid: curveOid, bytes, curve } = EC_CURVES[algorithm];
    if (!equalBytes(oid, curveOid)) continue;
    if (point[0] !== 0x04 || point.length !== 1 + 2 * bytes) {
      throw new EvidenceError("key-invalid", "The key's point is not in uncompressed form for its curve.");
    }
    try {
      curve.Point.fromBytes(point).assertValidity();
    } catch (cause) {
      throw new EvidenceError("key-invalid", "The key's point is not on its curve.", { cause });
    }
    return { algorithm, material: { kind: "ec", point } };
  }
  throw new EvidenceError("key-unsupported", "The key's curve is not P-256, P-384 or P-521.");
}

function readRsa(key: Uint8Array): { algorithm: KeyAlgorithm; material: KeyMaterial } {
  const outer = new DerReader(key);
  const body = outer.sequence();
  outer.end();
  const modulus = body.readUnsigned();
  const exponentBytes = body.readUnsigned();
  body.end();
  const bits = modulus.length * 8 - Math.clz32(modulus[0] ?? 0) + 24;
  if (bits < RSA_BITS.least || bits > RSA_BITS.most) {
    throw new EvidenceError("key-unsupported", `The RSA key has ${bits} bits; 2048 to 4096 are supported.`);
  }
  if (((modulus.at(-1) ?? 0) & 1) === 0) throw new EvidenceError("key-invalid", "The RSA modulus is even.");
  if (exponentBytes.length > RSA_EXPONENT_BYTES)
    throw new EvidenceError("key-unsupported", "The RSA exponent is too large.");
  const exponent = exponentBytes.reduce((value, byte) => value * 256 + byte, 0);
  if (exponent < 3 || exponent % 2 === 0)
    throw new EvidenceError("key-invalid", "The RSA exponent is even or below 3.");
  return { algorithm: "rsa-pkcs1-sha256", material: { kind: "rsa", modulus, exponent } };
}

function readEd25519(point: Uint8Array): { algorithm: KeyAlgorithm; material: KeyMaterial } {
  if (point.length !== 32) throw new EvidenceError("key-invalid", "An Ed25519 key has 32 bytes.");
  let smallOrder: boolean;
  try {
    // Second argument false: strict RFC 8032 decoding, no coordinates beyond the field prime.
    smallOrder = ed25519.Point.fromBytes(point, false).isSmallOrder();
  } catch (cause) {
    throw new EvidenceError("key-invalid", "The Ed25519 key is not the canonical encoding of a point.", { cause });
  }
  // Under a small-order key, one signature fits many messages: it would prove nothing.
  if (smallOrder) throw new EvidenceError("key-invalid", "The Ed25519 key is of small order.");
  return { algorithm: "ed25519", material: { kind: "ed25519", point } };
}
