import { sha256 } from "@noble/hashes/sha2.js";
import type { Crypto as CryptoPort } from "./crypto.ts";
import type { PublicKey } from "./keys.ts";
import { HASHES, verifyDecoded } from "./noblecrypto.ts";
import { type HashName, ownScheme, type SignatureScheme, schemeParts } from "./scheme.ts";
import { decodeSignature } from "./signature.ts";

/**
 * The crypto port for browsers and every other host with WebCrypto. What WebCrypto does everywhere and alike (ECDSA on P-256
 * and P-384, RSA) it does; the rest (P-521, Ed25519, pages without a secure context, SHA-256 at once) falls to @noble, so
 * that the answer depends on the question alone.
 */
export const webCrypto: CryptoPort = {
  sha256: (data) => sha256(data),
  verify: (key, signature, data) => webCrypto.verifyAs(key, ownScheme(key.algorithm), signature, data),
  async verifyAs(key, scheme, signature, data) {
    const decoded = decodeSignature(key, scheme, signature);
    if (decoded === undefined) return false;
    const native = nativeAlgorithm(key, scheme);
    // Absent outside secure contexts, whatever the type says.
    const subtle: Subtle | undefined = globalThis.crypto?.subtle;
    if (native === undefined || subtle === undefined) return verifyDecoded(key, scheme, decoded, data);
    const imported = await importKey(subtle, key, native.import);
    return subtle.verify(native.verify, imported, Uint8Array.from(decoded), Uint8Array.from(data));
  },
};

// Written out or derived instead of named: the names of WebCrypto's types differ between the type libraries of browsers and Node.
type Subtle = (typeof globalThis.crypto)["subtle"];
type ImportedKey = Parameters<Subtle["verify"]>[1];
type Hash = "SHA-256" | "SHA-384" | "SHA-512";
type NativeAlgorithm = {
  readonly import:
    | { name: "ECDSA"; namedCurve: "P-256" | "P-384" }
    | { name: "RSASSA-PKCS1-v1_5" | "RSA-PSS"; hash: Hash };
  readonly verify: { name: "ECDSA"; hash: Hash } | { name: "RSA-PSS"; saltLength: number } | "RSASSA-PKCS1-v1_5";
};

const NATIVE_HASH: Readonly<Record<HashName, Hash>> = { sha256: "SHA-256", sha384: "SHA-384", sha512: "SHA-512" };

function nativeAlgorithm(key: PublicKey, scheme: SignatureScheme): NativeAlgorithm | undefined {
  const parts = schemeParts(scheme);
  switch (parts.kind) {
    case "ec": {
      const namedCurve = NATIVE_CURVES.get(key.algorithm);
      if (namedCurve === undefined) return undefined;
      return { import: { name: "ECDSA", namedCurve }, verify: { name: "ECDSA", hash: NATIVE_HASH[parts.hash] } };
    }
    case "rsa-pkcs1":
      return { import: { name: "RSASSA-PKCS1-v1_5", hash: NATIVE_HASH[parts.hash] }, verify: "RSASSA-PKCS1-v1_5" };
    case "rsa-pss":
      return {
        import: { name: "RSA-PSS", hash: NATIVE_HASH[parts.hash] },
        verify: { name: "RSA-PSS", saltLength: HASHES[parts.hash].outputLen },
      };
    case "ed25519":
    case "ed25519ph":
      return undefined;
  }
}

const NATIVE_CURVES = new Map<string, "P-256" | "P-384">([
  ["ecdsa-p256-sha256", "P-256"],
  ["ecdsa-p384-sha384", "P-384"],
]);

/** Importing costs more than verifying; keys are immutable, so each is imported once for each algorithm that it is imported for. */
const importedKeys = new WeakMap<PublicKey, Map<string, Promise<ImportedKey>>>();

function importKey(subtle: Subtle, key: PublicKey, algorithm: NativeAlgorithm["import"]): Promise<ImportedKey> {
  const forKey = importedKeys.get(key) ?? new Map<string, Promise<ImportedKey>>();
  importedKeys.set(key, forKey);
  const use = `${algorithm.name} ${"hash" in algorithm ? algorithm.hash : ""}`;
  let imported = forKey.get(use);
  if (imported === undefined) {
    imported = subtle.importKey("spki", Uint8Array.from(key.spki), algorithm, false, ["verify"]);
    forKey.set(use, imported);
  }
  return imported;
}
