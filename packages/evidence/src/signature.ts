/**
 * The gate that every signature passes before any library sees it. Libraries agree on the arithmetic and disagree on
 * forms: BER, out-of-range and malleable numbers, small-order points. Those are decided here, once, for all crypto ports.
 */
import { DerReader, derValue, TAG_INTEGER, TAG_SEQUENCE } from "./der.ts";
import { fromHex, toHex } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { EC_CURVES, type PublicKey } from "./keys.ts";
import { type SignatureScheme, schemeTakes } from "./scheme.ts";

/** Order of Ed25519's base point: RFC 8032 §5.1. */
const ED25519_ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;

/** The eight points of small order on Ed25519, in canonical encoding. */
const SMALL_ORDER_POINTS: ReadonlySet<string> = new Set([
  "0100000000000000000000000000000000000000000000000000000000000000",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0000000000000000000000000000000000000000000000000000000000000080",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
]);

/**
 * The signature in the form that libraries take, or undefined if it is none for this key under this scheme:
 * - ECDSA: strict DER SEQUENCE of two INTEGERs r, s in [1, n-1] (SEC 1 §4.1.4) → r ‖ s of fixed width (IEEE P1363).
 *   High s is standard ECDSA and allowed.
 * - Ed25519: 64 bytes, S below the group order (RFC 8032 §5.1.7), R not of small order. Unchanged.
 * - RSA: exactly as long as the modulus, and below it (RFC 8017 §8.1.2, §8.2.2, §5.2.2). Unchanged.
 */
export function decodeSignature(
  key: PublicKey,
  scheme: SignatureScheme,
  signature: Uint8Array,
): Uint8Array | undefined {
  if (!schemeTakes(scheme, key.material)) return undefined;
  switch (key.algorithm) {
    case "ecdsa-p256-sha256":
    case "ecdsa-p384-sha384":
    case "ecdsa-p521-sha512":
      return decodeEcdsa(signature, EC_CURVES[key.algorithm]);
    case "ed25519":
      return isEd25519(signature) ? signature : undefined;
    case "rsa-pkcs1-sha256":
      return key.material.kind === "rsa" && isBelow(signature, key.material.modulus) ? signature : undefined;
  }
}

/**
 * What stays the same of a signature however it is written down: of an ECDSA signature r and the smaller of s and n-s, because whoever sees
 * (r, s) can write the equally good (r, n-s); of any other all bytes. Two pieces of evidence that agree in it hold one act of signing. The
 * key is not needed: no RSA or Ed25519 signature is, but with a negligible chance, strict DER of two integers, and none of two numbers of
 * P-384 is as short as those of P-256.
 *
 * INVARIANT: r alone would not do. Whoever comes by a private key can compute the nonce of any of its old signatures, and make another of the
 * same r over what he likes, which would pass for as old as that one.
 */
export function signatureCore(signature: Uint8Array): Uint8Array {
  const numbers = readEcdsa(signature);
  if (numbers === undefined) return signature;
  const { r, s } = numbers;
  const longest = Math.max(r.length, s.length);
  const curve = Object.values(EC_CURVES).find(({ bytes }) => longest <= bytes);
  if (curve === undefined) return signature;
  const value = toBigInt(s);
  const negated = curve.order - value;
  const smaller = negated > 0n && negated < value ? negated : value;
  const fixed = new Uint8Array(2 * curve.bytes);
  fixed.set(r, curve.bytes - r.length);
  fixed.set(fromBigInt(smaller, curve.bytes), curve.bytes);
  return fixed;
}

/** DER form of an ECDSA signature r ‖ s of fixed width. */
export function ecdsaToDer(rs: Uint8Array): Uint8Array {
  const integer = (bytes: Uint8Array): Uint8Array => {
    const start = bytes.findIndex((byte) => byte !== 0);
    const magnitude = start < 0 ? new Uint8Array(1) : bytes.subarray(start);
    const sign = (magnitude[0] ?? 0) >= 0x80 ? Uint8Array.of(0) : new Uint8Array(0);
    return derValue(TAG_INTEGER, sign, magnitude);
  };
  return derValue(TAG_SEQUENCE, integer(rs.subarray(0, rs.length / 2)), integer(rs.subarray(rs.length / 2)));
}

function decodeEcdsa(signature: Uint8Array, curve: { bytes: number; order: bigint }): Uint8Array | undefined {
  const numbers = readEcdsa(signature);
  if (numbers === undefined) return undefined;
  const { r, s } = numbers;
  for (const number of [r, s]) {
    if (number.length === 0 || number.length > curve.bytes || toBigInt(number) >= curve.order) return undefined;
  }
  const fixed = new Uint8Array(2 * curve.bytes);
  fixed.set(r, curve.bytes - r.length);
  fixed.set(s, 2 * curve.bytes - s.length);
  return fixed;
}

/** The two numbers of strict DER SEQUENCE { r INTEGER, s INTEGER }, without leading zeros; undefined for anything else. */
function readEcdsa(signature: Uint8Array): { r: Uint8Array; s: Uint8Array } | undefined {
  try {
    const outer = new DerReader(signature);
    const body = outer.sequence();
    outer.end();
    const r = body.readUnsigned();
    const s = body.readUnsigned();
    body.end();
    return { r, s };
  } catch (error) {
    if (error instanceof EvidenceError) return undefined;
    throw error;
  }
}

function isEd25519(signature: Uint8Array): boolean {
  if (signature.length !== 64) return false;
  if (toBigInt(signature.slice(32).reverse()) >= ED25519_ORDER) return false;
  return !SMALL_ORDER_POINTS.has(toHex(signature.subarray(0, 32)));
}

/** Whether two numbers of equal width, big-endian, satisfy a < b. */
function isBelow(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  const at = a.findIndex((byte, i) => byte !== b[i]);
  return at >= 0 && (a[at] ?? 0) < (b[at] ?? 0);
}

/** The number that big-endian bytes write. */
export function toBigInt(bytes: Uint8Array): bigint {
  return bytes.length === 0 ? 0n : BigInt(`0x${toHex(bytes)}`);
}

/** Big-endian bytes of a number, `length` of them. */
export function fromBigInt(value: bigint, length: number): Uint8Array {
  return fromHex(value.toString(16).padStart(2 * length, "0"));
}
