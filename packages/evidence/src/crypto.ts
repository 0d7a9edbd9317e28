import type { DocumentHashName, Hasher } from "./document-hash.ts";
import type { PublicKey } from "./keys.ts";
import type { SignatureScheme } from "./scheme.ts";

/**
 * What evidence needs of cryptography. Implementations: `nodeCrypto` (@assay/evidence/node), `webCrypto`, `nobleCrypto`.
 *
 * All of them give the same answer to every question; test/crypto-corpus.test.ts holds them to it. They share one gate,
 * `decodeSignature` (signature.ts), which refuses every form on which libraries are known to differ.
 */
export interface Crypto {
  /** SHA-256 (FIPS 180-4): 32 bytes. */
  sha256(data: Uint8Array): Uint8Array;
  /** An incremental hash for what is too long to hold; absent where the host has none that is faster than plain JavaScript. */
  createHash?(name: DocumentHashName): Hasher;
  /**
   * Whether `signature` is `key`'s signature over `data`, by the key's one algorithm. ECDSA signatures are DER.
   * A malformed signature is `false`, never an exception.
   */
  verify(key: PublicKey, signature: Uint8Array, data: Uint8Array): boolean | Promise<boolean>;
  /**
   * The same under the algorithm that the signed structure names (X.509, CMS, JOSE, COSE), which need not be the key's own: a P-384
   * key may sign a certificate with SHA-256. A key of another family than the scheme's is `false`.
   */
  verifyAs(
    key: PublicKey,
    scheme: SignatureScheme,
    signature: Uint8Array,
    data: Uint8Array,
  ): boolean | Promise<boolean>;
  /**
   * `verifyMessageHash`, which is the same everywhere and slow: for a host that remembers what it said, or lets others have their turn
   * before it is asked. Absent: it is asked as it is.
   */
  verifyHashed?(
    key: PublicKey,
    scheme: SignatureScheme,
    signature: Uint8Array,
    hashed: Uint8Array,
  ): boolean | Promise<boolean>;
}

/** A port that answers at once. */
export interface SyncCrypto extends Crypto {
  verify(key: PublicKey, signature: Uint8Array, data: Uint8Array): boolean;
  verifyAs(key: PublicKey, scheme: SignatureScheme, signature: Uint8Array, data: Uint8Array): boolean;
}
