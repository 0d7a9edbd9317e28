import { sha256 } from "@noble/hashes/sha2.js";
import type { Crypto as CryptoPort } from "./crypto.ts";
import type { PublicKey } from "./keys.ts";
import { verifyDecoded } from "./noblecrypto.ts";
import { decodeSignature } from "./signature.ts";

/**
 * The crypto port for browsers and every other host with WebCrypto. What WebCrypto does everywhere and alike (ECDSA on P-256
 * and P-384, RSA) it does; the rest (P-521, Ed25519, pages without a secure context, SHA-256 at once) falls to @noble, so
 * that the answer depends on the question alone.
 */
export const webCrypto: CryptoPort = {
  sha256: (data) => sha256(data),
  async verify(key, signature, data) {
    const decoded = decodeSignature(key, signature);
    if (decoded === undefined) return false;
    const native = nativeAlgorithm(key);
    // Absent outside secure contexts, whatever the type says.
    const subtle: Subtle | undefined = globalThis.crypto?.subtle;
    if (native === undefined || subtle === undefined) return verifyDecoded(key, decoded, data);
    const imported = await importKey(subtle, key, native.import);
    return subtle.verify(native.verify, imported, Uint8Array.from(decoded), Uint8Array.from(data));
  },
};

// Written out or derived instead of named: the names of WebCrypto's types differ between the type libraries of browsers and Node.
type Subtle = (typeof globalThis.crypto)["subtle"];
type ImportedKey = Parameters<Subtle["verify"]>[1];
type NativeAlgorithm = {
  readonly import: { name: "ECDSA"; namedCurve: "P-256" | "P-384" } | { name: "RSASSA-PKCS1-v1_5"; hash: "SHA-256" };
  readonly verify: { name: "ECDSA"; hash: "SHA-256" | "SHA-384" } | "RSASSA-PKCS1-v1_5";
};

function nativeAlgorithm(key: PublicKey): NativeAlgorithm | undefined {
  switch (key.algorithm) {
    case "ecdsa-p256-sha256":
      return { import: { name: "ECDSA", namedCurve: "P-256" }, verify: { name: "ECDSA", hash: "SHA-256" } };
    case "ecdsa-p384-sha384":
      return { import: { name: "ECDSA", namedCurve: "P-384" }, verify: { name: "ECDSA", hash: "SHA-384" } };
    case "rsa-pkcs1-sha256":
      return { import: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" }, verify: "RSASSA-PKCS1-v1_5" };
    case "ecdsa-p521-sha512":
    case "ed25519":
      return undefined;
  }
}

/** Importing costs more than verifying; keys are immutable, so each is imported once. */
const importedKeys = new WeakMap<PublicKey, Promise<ImportedKey>>();

function importKey(subtle: Subtle, key: PublicKey, algorithm: NativeAlgorithm["import"]): Promise<ImportedKey> {
  let imported = importedKeys.get(key);
  if (imported === undefined) {
    imported = subtle.importKey("spki", Uint8Array.from(key.spki), algorithm, false, ["verify"]);
    importedKeys.set(key, imported);
  }
  return imported;
}
