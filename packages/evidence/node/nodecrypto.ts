import {
  constants,
  createHash,
  createPublicKey,
  type Hash,
  hash,
  type KeyObject,
  verify as nodeVerify,
} from "node:crypto";
import type { Hasher, KeyAlgorithm, PublicKey, SyncCrypto } from "../src/index.ts";
import { verifyDecoded } from "../src/noblecrypto.ts";
import { ownScheme, schemeParts } from "../src/scheme.ts";
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
    // Node makes a text of one byte a character in less than half the time it takes it to make a Buffer, and a tree hashes by the million.
    // A plain Uint8Array besides: a Buffer would compare and print differently from the other ports' answers.
    const text = hash("sha256", data, "latin1");
    const digest = new Uint8Array(text.length);
    for (let index = 0; index < digest.length; index += 1) digest[index] = text.charCodeAt(index);
    return digest;
  },
  createHash: (name) => hasherOf(createHash(name)),
  verify: (key, signature, data) => nodeCrypto.verifyAs(key, ownScheme(key.algorithm), signature, data),
  verifyAs(key, scheme, signature, data) {
    const decoded = decodeSignature(key, scheme, signature);
    if (decoded === undefined) return false;
    const parts = schemeParts(scheme);
    // Node does not offer OpenSSL's Ed25519ph.
    if (parts.kind === "ed25519ph") return verifyDecoded(key, scheme, decoded, data);
    const padding = parts.kind === "rsa-pss" ? PSS : { dsaEncoding: "ieee-p1363" as const };
    return nodeVerify(parts.hash, data, { key: keyObject(key), ...padding }, decoded);
  },
};

/** A salt as long as the hash; MGF1 takes the same hash by default. */
const PSS = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };

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

/** Node's hash as the package knows hashes. Its digest is asked once, as of any other. */
function hasherOf(inner: Hash): Hasher {
  return {
    update: (data) => inner.update(data),
    clone: () => hasherOf(inner.copy()),
    digest: () => Uint8Array.from(inner.digest()),
  };
}
