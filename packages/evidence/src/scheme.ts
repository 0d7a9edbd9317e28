/** Signature schemes: what a format names beside a signature, apart from the key. */
import type { KeyAlgorithm, KeyMaterial } from "./keys.ts";

/** Hashes that signatures may use. SHA-1 and MD5 have no name here: signatures over them cannot be asked about. */
export type HashName = "sha256" | "sha384" | "sha512";

/**
 * What a signature was made with, apart from the key:
 * - `ecdsa-*`: ECDSA in DER (RFC 3279 §2.2.3) on the key's curve, over any of the three hashes (FIPS 186-5 §6.4: the leftmost bits).
 * - `rsa-pkcs1-*`: RSASSA-PKCS1-v1_5 (RFC 8017 §8.2).
 * - `rsa-pss-*`: RSASSA-PSS (RFC 8017 §8.1) with MGF1 over the same hash and a salt exactly as long as the hash, as JOSE
 *   (RFC 7518 §3.5) and COSE (RFC 8230 §2) demand.
 * - `ed25519`, `ed25519ph`: RFC 8032 §5.1, the second over SHA-512 of the data with an empty context.
 */
export type SignatureScheme =
  | `ecdsa-${HashName}`
  | `rsa-pkcs1-${HashName}`
  | `rsa-pss-${HashName}`
  | "ed25519"
  | "ed25519ph";

/** How a scheme is computed: the family of key it takes, and the hash it applies to the data first (none for pure Ed25519). */
export type SchemeParts =
  | { readonly kind: "ec" | "rsa-pkcs1" | "rsa-pss"; readonly hash: HashName }
  | { readonly kind: "ed25519"; readonly hash: null }
  | { readonly kind: "ed25519ph"; readonly hash: "sha512" };

const PARTS: Readonly<Record<SignatureScheme, SchemeParts>> = {
  "ecdsa-sha256": { kind: "ec", hash: "sha256" },
  "ecdsa-sha384": { kind: "ec", hash: "sha384" },
  "ecdsa-sha512": { kind: "ec", hash: "sha512" },
  "rsa-pkcs1-sha256": { kind: "rsa-pkcs1", hash: "sha256" },
  "rsa-pkcs1-sha384": { kind: "rsa-pkcs1", hash: "sha384" },
  "rsa-pkcs1-sha512": { kind: "rsa-pkcs1", hash: "sha512" },
  "rsa-pss-sha256": { kind: "rsa-pss", hash: "sha256" },
  "rsa-pss-sha384": { kind: "rsa-pss", hash: "sha384" },
  "rsa-pss-sha512": { kind: "rsa-pss", hash: "sha512" },
  ed25519: { kind: "ed25519", hash: null },
  ed25519ph: { kind: "ed25519ph", hash: "sha512" },
};

export function schemeParts(scheme: SignatureScheme): SchemeParts {
  return PARTS[scheme];
}

/** Whether keys of this kind can make signatures of the scheme at all. */
export function schemeTakes(scheme: SignatureScheme, material: KeyMaterial): boolean {
  const { kind } = PARTS[scheme];
  switch (material.kind) {
    case "ec":
      return kind === "ec";
    case "rsa":
      return kind === "rsa-pkcs1" || kind === "rsa-pss";
    case "ed25519":
      return kind === "ed25519" || kind === "ed25519ph";
  }
}

const OWN_SCHEMES: Readonly<Record<KeyAlgorithm, SignatureScheme>> = {
  "ecdsa-p256-sha256": "ecdsa-sha256",
  "ecdsa-p384-sha384": "ecdsa-sha384",
  "ecdsa-p521-sha512": "ecdsa-sha512",
  "rsa-pkcs1-sha256": "rsa-pkcs1-sha256",
  ed25519: "ed25519",
};

/** The scheme of a key's one algorithm: what `Crypto.verify` uses, where no format names another. */
export function ownScheme(algorithm: KeyAlgorithm): SignatureScheme {
  return OWN_SCHEMES[algorithm];
}
