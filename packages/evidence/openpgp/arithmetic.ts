/**
 * The public-key arithmetic, which is the library's. It is asked one question: is this the key's signature of this digest? Everything that
 * decides on time, purpose and strength is ours, because it must depend on proven times, and on no clock.
 */
import { config, PublicKeyPacket as LibraryKey, SignaturePacket as LibrarySignature } from "openpgp";
import { concatBytes, ed25519FromRaw, EvidenceError, ownScheme, type PublicKey } from "../src/index.ts";
import { decodeSignature } from "../src/signature.ts";
import { ED25519, EDDSA_LEGACY } from "./algorithms.ts";
import { ByteReader } from "./packets.ts";
import type { SignaturePacket } from "./signature-packet.ts";

export type { LibraryKey };

/** The library's reading of a key packet's body. Rejects, in whatever way the library does, if it cannot read it. */
export async function libraryKey(body: Uint8Array): Promise<LibraryKey> {
  const key = new LibraryKey();
  await key.read(body);
  return key;
}

/** The library's own lists of what to refuse, emptied: algorithms.ts decides. */
const ARITHMETIC_ONLY = {
  ...config,
  rejectHashAlgorithms: new Set<never>(),
  rejectMessageHashAlgorithms: new Set<never>(),
};

/** A binary document signature of version 4 that states its time (1970) and its issuer: RFC 9580 §5.2.3. */
const SHELL_TYPE = 0;

/**
 * Whether a signature's numbers are the key's signature of the digest. They are put into a version 4 packet of our making whose digest is
 * given, as the library itself does with one-pass signatures: so version 3, which it does not read, takes the same path, and its own
 * rules on time, purpose and subpackets have nothing to hold on to. INVARIANT: if the library ignored the given digest, it would hash
 * nothing and refuse.
 */
export async function isSignatureOf(key: LibraryKey, signature: SignaturePacket, digest: Uint8Array): Promise<boolean> {
  if (key.algorithm !== signature.publicKeyAlgorithm) return false;
  if (!passesGate(key, signature)) return false;
  const { digestStart } = signature;
  if (digest[0] !== digestStart[0] || digest[1] !== digestStart[1]) return false;
  const issuer = Uint8Array.from(key.getKeyID().bytes, (character) => character.charCodeAt(0));
  const created = Uint8Array.of(5, 2, 0, 0, 0, 0);
  const hashed = concatBytes(created, Uint8Array.of(9, 16), issuer);
  const shell = new LibrarySignature();
  try {
    shell.read(
      concatBytes(
        Uint8Array.of(4, SHELL_TYPE, signature.publicKeyAlgorithm, signature.hash, 0, hashed.length),
        hashed,
        Uint8Array.of(0, 0),
        digestStart,
        signature.numbers,
      ),
    );
    Object.assign(shell, { hashed: Promise.resolve(digest) });
    // The date is the library's own: the shell was made in 1970 and never expires, so nothing depends on it.
    await shell.verify(key, SHELL_TYPE, new Uint8Array(0), undefined, true, ARITHMETIC_ONLY);
    return true;
  } catch (error) {
    // The library has no typed errors: what is wrong with numbers or key, and a signature that is simply another's, are all thrown.
    if (error instanceof Error) return false;
    throw error;
  }
}

const EDWARDS_BYTES = 32;

/**
 * Ed25519 signatures pass the gate that all of this package's do. The library asks the platform's crypto where it has Ed25519, and one
 * that accepts malleable signatures where not: the answer must not depend on where it is asked.
 */
function passesGate(key: LibraryKey, { numbers, publicKeyAlgorithm }: SignaturePacket): boolean {
  let signature = numbers;
  if (publicKeyAlgorithm === EDDSA_LEGACY) {
    // Two MPIs, R and S, each without its leading zeros (RFC 9580 §5.2.3.3); their form was checked when they were read.
    const reader = new ByteReader(numbers);
    signature = new Uint8Array(2 * EDWARDS_BYTES);
    for (const end of [EDWARDS_BYTES, 2 * EDWARDS_BYTES]) {
      const number = reader.bytes(Math.ceil(reader.number(2) / 8));
      if (number.length > EDWARDS_BYTES) return false;
      signature.set(number, end - number.length);
    }
  } else if (publicKeyAlgorithm !== ED25519) {
    return true;
  }
  // The point is the end of the key's material in both forms (§5.5.5.5, §5.5.5.9).
  let point: PublicKey;
  try {
    point = ed25519FromRaw(key.write().slice(-EDWARDS_BYTES));
  } catch (error) {
    if (error instanceof EvidenceError) return false;
    throw error;
  }
  return decodeSignature(point, ownScheme("ed25519"), signature) !== undefined;
}
