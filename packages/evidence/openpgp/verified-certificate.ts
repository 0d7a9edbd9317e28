/**
 * Which signatures of a certificate are good: RFC 9580 §5.2.1, §10.1. No time is looked at here, so the answer holds for ever;
 * key-validity.ts judges by it what a key was worth at a time.
 */
import { concatBytes, EvidenceError, LIMITS } from "../src/index.ts";
import { hashAlgorithm, RSA, RSA_SIGN_ONLY } from "./algorithms.ts";
import { isSignatureOf, type LibraryKey, libraryKey } from "./arithmetic.ts";
import { type Certificate, type KeyPacket, mayBeOf, type User } from "./certificate.ts";
import { readSignaturePacket, type SignaturePacket } from "./signature-packet.ts";

/** What was truly said by the primary key of one key or name. */
export type Sayings = {
  /** Certifications, direct signatures, bindings. */
  readonly self: readonly SignaturePacket[];
  readonly revocations: readonly SignaturePacket[];
};

export type VerifiedSubkey = Sayings & {
  readonly key: KeyPacket;
  readonly material: LibraryKey;
  /** The bindings under which the subkey itself agreed to sign for the primary key (a back signature, §5.2.1.9). */
  readonly agreed: ReadonlySet<SignaturePacket>;
};

export type VerifiedCertificate = Sayings & {
  readonly key: KeyPacket;
  readonly material: LibraryKey;
  readonly users: readonly Sayings[];
  readonly subkeys: readonly VerifiedSubkey[];
};

const CERTIFICATIONS: readonly number[] = [0x10, 0x11, 0x12, 0x13];
const SUBKEY_BINDING = 0x18;
const PRIMARY_KEY_BINDING = 0x19;
const DIRECT_KEY = 0x1f;
const KEY_REVOCATION = 0x20;
const SUBKEY_REVOCATION = 0x28;
const CERTIFICATION_REVOCATION = 0x30;

/** Verifies a certificate's own signatures; of subkeys, only those of one subkey, if it is named. Undefined if the library knows no such key. */
export async function verifyCertificate(
  certificate: Certificate,
  subkeyFingerprint: string,
): Promise<VerifiedCertificate | undefined> {
  const { primary } = certificate;
  const material = await tryLibraryKey(primary);
  if (material === undefined) return undefined;
  const by: Signer = { key: primary, material };
  const direct = await sayings(by, certificate.signatures, [DIRECT_KEY], KEY_REVOCATION, () => primary.hashed);
  const users: Sayings[] = [];
  for (const user of certificate.users) {
    users.push(
      await sayings(by, user.signatures, CERTIFICATIONS, CERTIFICATION_REVOCATION, (signature) =>
        concatBytes(primary.hashed, hashedUser(user, signature.version)),
      ),
    );
  }
  const subkeys: VerifiedSubkey[] = [];
  for (const { key, signatures } of certificate.subkeys) {
    if (key.fingerprint !== subkeyFingerprint) continue;
    const data = concatBytes(primary.hashed, key.hashed);
    const found = await sayings(by, signatures, [SUBKEY_BINDING], SUBKEY_REVOCATION, () => data);
    const own = await tryLibraryKey(key);
    if (own === undefined) continue;
    const agreed = new Set<SignaturePacket>();
    for (const binding of found.self) {
      if (await hasBackSignature(binding, { key, material: own }, data)) agreed.add(binding);
    }
    subkeys.push({ ...found, key, material: own, agreed });
  }
  const revocations = [...direct.revocations, ...designated(certificate, direct)];
  return { ...direct, revocations, key: primary, material, users, subkeys };
}

type Signer = { readonly key: KeyPacket; readonly material: LibraryKey };

async function sayings(
  by: Signer,
  signatures: readonly SignaturePacket[],
  types: readonly number[],
  revocation: number,
  data: (signature: SignaturePacket) => Uint8Array,
): Promise<Sayings> {
  const self: SignaturePacket[] = [];
  const revocations: SignaturePacket[] = [];
  for (const signature of signatures) {
    if (!mayBeOf(signature, by.key)) continue;
    if (signature.type === revocation) {
      if (!canBeChecked(signature) || (await isGood(signature, by, data(signature)))) revocations.push(signature);
    } else if (types.includes(signature.type) && isFit(signature) && (await isGood(signature, by, data(signature)))) {
      if (signature.created >= by.key.created) self.push(signature);
    }
  }
  return { self, revocations };
}

/**
 * Whether it can be found out that a revocation is none; where not, it is one (fail closed). The library refuses short hashes under keys
 * other than RSA, whether the signature is good or not.
 */
function canBeChecked({ hash, publicKeyAlgorithm }: SignaturePacket): boolean {
  const fit = hashAlgorithm(hash)?.fit;
  return (
    fit === "documents" || (fit !== undefined && (publicKeyAlgorithm === RSA || publicKeyAlgorithm === RSA_SIGN_ONLY))
  );
}

/** Whether what a certificate says may rest on this signature: see `fit` in algorithms.ts. */
function isFit(signature: SignaturePacket): boolean {
  const fit = hashAlgorithm(signature.hash)?.fit;
  return (fit === "documents" || fit === "certificates") && signature.critical === null;
}

async function isGood(signature: SignaturePacket, by: Signer, data: Uint8Array): Promise<boolean> {
  const hash = hashAlgorithm(signature.hash);
  if (hash === undefined) return false;
  if (signature.version === 6 && signature.salt.length !== hash.salt) return false;
  const hasher = hash.create();
  hasher.update(signature.salt);
  hasher.update(data);
  hasher.update(signature.trailer);
  return isSignatureOf(by.material, signature, hasher.digest());
}

/** §5.2.4: since version 4 a name is hashed with its kind and length. */
function hashedUser({ attribute, id }: User, version: number): Uint8Array {
  if (version === 3) return id;
  const head = new Uint8Array(5);
  head[0] = attribute ? 0xd1 : 0xb4;
  new DataView(head.buffer).setUint32(1, id.length);
  return concatBytes(head, id);
}

/** Without it, whoever owns a certificate could bind another's signing key to it and claim that one's signatures. */
async function hasBackSignature(binding: SignaturePacket, by: Signer, data: Uint8Array): Promise<boolean> {
  for (const body of binding.embedded) {
    let back: SignaturePacket;
    try {
      back = readSignaturePacket(body);
    } catch (error) {
      if (error instanceof EvidenceError) continue;
      throw error;
    }
    if (back.type === PRIMARY_KEY_BINDING && back.expires === null && isFit(back) && mayBeOf(back, by.key)) {
      if (await isGood(back, by, data)) return true;
    }
  }
  return false;
}

/**
 * Revocations by keys that the certificate lets revoke it (§5.2.3.23). Those keys are not at hand, so such revocations cannot be checked,
 * and are believed: a certificate can only lose by it.
 */
function designated({ signatures, primary }: Certificate, { self }: Sayings): SignaturePacket[] {
  const revokers = self.flatMap(({ revokers: named }) => named);
  if (revokers.length === 0) return [];
  return signatures.filter(
    (signature) =>
      signature.type === KEY_REVOCATION &&
      !mayBeOf(signature, primary) &&
      revokers.some(
        (revoker) =>
          signature.issuerFingerprints.includes(revoker) || signature.issuerIds.some((id) => revoker.endsWith(id)),
      ),
  );
}

/**
 * The key as the library reads it. It has no typed errors: whatever it cannot read is a key with which nothing can be verified, and so is
 * one so large that a single calculation would take seconds.
 */
async function tryLibraryKey({ body }: KeyPacket): Promise<LibraryKey | undefined> {
  if (body.length > LIMITS.openPgpKeyBytes) return undefined;
  try {
    return await libraryKey(body);
  } catch (error) {
    if (error instanceof Error) return undefined;
    throw error;
  }
}
