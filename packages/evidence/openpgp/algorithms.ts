/** Algorithms by their numbers (RFC 9580 §9.1, §9.5), and which of them a signature may rest on. */
import { md5, ripemd160, sha1 } from "@noble/hashes/legacy.js";
import { sha224, sha256, sha384, sha512 } from "@noble/hashes/sha2.js";
import { sha3_256, sha3_512 } from "@noble/hashes/sha3.js";
import type { Hasher } from "../src/index.ts";

export type HashAlgorithm = {
  readonly id: number;
  /** As in the registry, without the dash: "SHA512". */
  readonly name: string;
  readonly create: () => Hasher;
  /** Bytes of a v6 signature's salt; null where v6 signatures must not use the hash. */
  readonly salt: number | null;
  /**
   * What may rest on it. Collisions of SHA-1 can be made, but only by whom lets another choose what is signed: it still binds keys and names
   * of one's own, as nearly all keys made before 2017 do. Revocations are believed by any hash: doubting one would be failing open.
   */
  readonly fit: "documents" | "certificates" | "revocations";
};

const HASHES: readonly HashAlgorithm[] = [
  { id: 1, name: "MD5", create: () => md5.create(), salt: null, fit: "revocations" },
  { id: 2, name: "SHA1", create: () => sha1.create(), salt: null, fit: "certificates" },
  { id: 3, name: "RIPEMD160", create: () => ripemd160.create(), salt: null, fit: "revocations" },
  { id: 8, name: "SHA256", create: () => sha256.create(), salt: 16, fit: "documents" },
  { id: 9, name: "SHA384", create: () => sha384.create(), salt: 24, fit: "documents" },
  { id: 10, name: "SHA512", create: () => sha512.create(), salt: 32, fit: "documents" },
  { id: 11, name: "SHA224", create: () => sha224.create(), salt: 16, fit: "documents" },
  { id: 12, name: "SHA3-256", create: () => sha3_256.create(), salt: 16, fit: "documents" },
  { id: 14, name: "SHA3-512", create: () => sha3_512.create(), salt: 32, fit: "documents" },
];

/** The hash algorithm of this number; undefined if it is not known. */
export function hashAlgorithm(id: number): HashAlgorithm | undefined {
  return HASHES.find((hash) => hash.id === id);
}

/** Public-key algorithms that sign. */
export const RSA = 1;
export const RSA_SIGN_ONLY = 3;
export const DSA = 17;
export const ECDSA = 19;
export const EDDSA_LEGACY = 22;
export const ED25519 = 27;
export const ED448 = 28;

/** Form of a signature's numbers, by public-key algorithm: so many MPIs, or so many bytes; undefined of an algorithm we do not know. */
export function signatureForm(algorithm: number): { mpis: number } | { bytes: number } | undefined {
  switch (algorithm) {
    case RSA:
    case RSA_SIGN_ONLY:
      return { mpis: 1 };
    case DSA:
    case ECDSA:
    case EDDSA_LEGACY:
      return { mpis: 2 };
    case ED25519:
      return { bytes: 64 };
    case ED448:
      return { bytes: 114 };
    default:
      return undefined;
  }
}

/** Bits of the shortest RSA key that may sign. */
export const LEAST_RSA_BITS = 2048;

/** Curves of ECDSA keys by the library's names. secp256k1 is left out: RFC 9580 does not know it. */
export const ECDSA_CURVES: readonly string[] = [
  "nistP256",
  "nistP384",
  "nistP521",
  "brainpoolP256r1",
  "brainpoolP384r1",
  "brainpoolP512r1",
];
