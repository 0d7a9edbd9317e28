import { createPublicKey, hash, type KeyObject, verify as nodeVerify } from "node:crypto";
import type { KeyAlgorithm, PublicKey, SyncCrypto } from "../src/index.ts";
import { decodeSignature } from "../src/signature.ts";

/** Hash name that OpenSSL is to use; Ed25519 brings its own. */
export const NODE_HASH: Record<KeyAlgorithm, string | null> = {
  "ecdsa-p256-sha256": "sha256",
  "ecdsa-p384-sha384": "sha384",
  "ecdsa-p521-sha512": "sha512",
  "rsa-pkcs1-sha256": "sha256",
  ed25519: null,
};

/** The crypto port over Node's OpenSSL: synchronous, and tens of thousands of P-256 verifications a second. */
export const nodeCrypto: SyncCrypto = {
  sha256(data) {
    const digest = hash("sha256", data, "buffer");
    // A plain Uint8Array: a Buffer would compare and print differently from the other ports' answers.
    return new Uint8Array(digest.buffer, digest.byteOffset, digest.byteLength);
  },
  verify(key, signature, data) {
    const decoded = decodeSignature(key, signature);
    if (decoded === undefined) return false;
    return nodeVerify(NODE_HASH[key.algorithm], data, { key: keyObject(key), dsaEncoding: "ieee-p1363" }, decoded);
  },
};

/** Parsing a key costs more than verifying with it; keys are immutable, so each is parsed once. */
const keyObjects = new WeakMap<PublicKey, KeyObject>();

function keyObject(key: PublicKey): KeyObject {
  let object = keyObjects.get(key);
  if (object === undefined) {
    object = createPublicKey({ key: Buffer.from(key.spki), format: "der", type: "spki" });
    keyObjects.set(key, object);
  }
  return object;
}
