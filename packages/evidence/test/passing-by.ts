import { nodeCrypto } from "@assay/evidence/node";
import { nobleCrypto, type PublicKey, type SignatureScheme } from "../src/index.ts";
import { HASHES, messageHash, verifyMessageHash } from "../src/noblecrypto.ts";

/** Whether a signature is good by the hash of a message that passes by in pieces, taken by plain JavaScript and by Node. */
export function passingBy(key: PublicKey, scheme: SignatureScheme, signature: Uint8Array, data: Uint8Array): boolean[] {
  const asked = messageHash(key, scheme, signature);
  if (asked === undefined) return [false];
  const { hash, prefix } = asked;
  return [nobleCrypto, nodeCrypto].map((port) => {
    const hasher = port.createHash?.(hash) ?? HASHES[hash].create();
    hasher.update(prefix);
    for (const part of [data.subarray(0, 3), data.subarray(3)]) hasher.update(part);
    const clone = hasher.clone();
    hasher.update(Uint8Array.of(1));
    return verifyMessageHash(key, scheme, signature, clone.digest());
  });
}
