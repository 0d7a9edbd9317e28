import type { Crypto } from "./crypto.ts";
import { concatBytes, utf8Encode } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";

/** Separates commitments of the record from every other use of SHA-256. */
export const COMMITMENT_DOMAIN = "assay/record/v1\n";
/** Bytes of an event's random salt. */
export const SALT_SIZE = 32;

const DOMAIN = utf8Encode(COMMITMENT_DOMAIN);

/**
 * What the record log holds of an event: SHA-256(domain ‖ salt ‖ event bytes), 32 bytes. This is the log's *entry*; its
 * Merkle leaf is `leafHash(entry)`. The salt hides the event from those who see only the log, and the fixed lengths of
 * domain and salt make the three parts unambiguous. Throws `receipt-invalid` unless the salt has 32 bytes.
 */
export function recordCommitment(crypto: Crypto, salt: Uint8Array, event: Uint8Array): Uint8Array {
  if (salt.length !== SALT_SIZE)
    throw new EvidenceError("receipt-invalid", `A salt has ${SALT_SIZE} bytes, not ${salt.length}.`);
  return crypto.sha256(concatBytes(DOMAIN, salt, event));
}
