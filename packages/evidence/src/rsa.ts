/** RSA signatures over a digest (RFC 8017 §8), by arithmetic alone. Signatures have passed `decodeSignature`. */
import { concatBytes, equalBytes, fromHex } from "./encoding.ts";
import type { HashName } from "./scheme.ts";
import { fromBigInt, toBigInt } from "./signature.ts";

type RsaKey = { readonly modulus: Uint8Array; readonly exponent: number };

/** DigestInfo up to the hash itself: RFC 8017 §9.2, note 1. */
const DIGEST_INFO: Readonly<Record<HashName, Uint8Array>> = {
  sha256: fromHex("3031300d060960864801650304020105000420"),
  sha384: fromHex("3041300d060960864801650304020205000430"),
  sha512: fromHex("3051300d060960864801650304020305000440"),
};

/** RFC 8017 §8.2.2 by comparison of encodings: what the signature must decrypt to is built, never parsed. */
export function verifyRsaPkcs1(key: RsaKey, signature: Uint8Array, digest: Uint8Array, hash: HashName): boolean {
  const hashed = concatBytes(DIGEST_INFO[hash], digest);
  const expected = new Uint8Array(key.modulus.length).fill(0xff);
  expected.set([0x00, 0x01], 0);
  expected[key.modulus.length - hashed.length - 1] = 0x00;
  expected.set(hashed, key.modulus.length - hashed.length);
  return equalBytes(encodedMessage(key, signature), expected);
}

/** EMSA-PSS-VERIFY of RFC 8017 §9.1.2, MGF1 and salt length by the same hash. */
export function verifyRsaPss(
  key: RsaKey,
  signature: Uint8Array,
  digest: Uint8Array,
  hash: { (data: Uint8Array): Uint8Array; readonly outputLen: number },
): boolean {
  const hashLength = hash.outputLen;
  const saltLength = hashLength;
  // The encoded message has one bit less than the modulus: a modulus of 8n+1 bits leaves a whole zero byte in front.
  const bits = key.modulus.length * 8 - Math.clz32(key.modulus[0] ?? 0) + 24 - 1;
  const length = Math.ceil(bits / 8);
  const whole = encodedMessage(key, signature);
  if (whole.subarray(0, whole.length - length).some((byte) => byte !== 0)) return false;
  const encoded = whole.subarray(whole.length - length);
  if (length < hashLength + saltLength + 2 || encoded.at(-1) !== 0xbc) return false;

  const maskedDb = encoded.subarray(0, length - hashLength - 1);
  const h = encoded.subarray(length - hashLength - 1, length - 1);
  const topMask = 0xff >>> (8 * length - bits);
  if (((maskedDb[0] ?? 0) & ~topMask & 0xff) !== 0) return false;

  const mask = mgf1(h, maskedDb.length, hash);
  const db = maskedDb.map((byte, i) => byte ^ (mask[i] ?? 0));
  db[0] = (db[0] ?? 0) & topMask;
  const saltAt = db.length - saltLength;
  if (db[saltAt - 1] !== 0x01 || db.subarray(0, saltAt - 1).some((byte) => byte !== 0)) return false;
  return equalBytes(hash(concatBytes(new Uint8Array(8), digest, db.subarray(saltAt))), h);
}

/** RFC 8017 Appendix B.2.1. */
function mgf1(seed: Uint8Array, length: number, hash: (data: Uint8Array) => Uint8Array): Uint8Array {
  const blocks: Uint8Array[] = [];
  for (let made = 0, counter = 0; made < length; counter++) {
    const block = hash(concatBytes(seed, fromBigInt(BigInt(counter), 4)));
    blocks.push(block);
    made += block.length;
  }
  return concatBytes(...blocks).subarray(0, length);
}

/** RSAVP1 of RFC 8017 §5.2.2, as long as the modulus. */
function encodedMessage({ modulus, exponent }: RsaKey, signature: Uint8Array): Uint8Array {
  return fromBigInt(powMod(toBigInt(signature), exponent, toBigInt(modulus)), modulus.length);
}

function powMod(base: bigint, exponent: number, modulus: bigint): bigint {
  let result = 1n;
  for (const bit of exponent.toString(2)) {
    result = (result * result) % modulus;
    if (bit === "1") result = (result * base) % modulus;
  }
  return result;
}
