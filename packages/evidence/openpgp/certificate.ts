/**
 * Certificates (transferable public keys): RFC 9580 §10.1. This is their structure only; verified-certificate.ts finds out which of their
 * signatures are good.
 */
import { sha1 } from "@noble/hashes/legacy.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { concatBytes, EvidenceError, LIMITS, readArmorBlocks, toHex, utf8Encode } from "../src/index.ts";
import {
  ByteReader,
  type Packet,
  readPackets,
  TAG_MARKER,
  TAG_PADDING,
  TAG_PUBLIC_KEY,
  TAG_PUBLIC_SUBKEY,
  TAG_SIGNATURE,
  TAG_TRUST,
  TAG_USER_ATTRIBUTE,
  TAG_USER_ID,
} from "./packets.ts";
import { readSignaturePacket, type SignaturePacket } from "./signature-packet.ts";

/** A primary key or subkey. */
export type KeyPacket = {
  readonly version: 4 | 6;
  /** Seconds since 1970. */
  readonly created: number;
  /** 40 (v4) or 64 (v6) lower-case hexadecimal digits. */
  readonly fingerprint: string;
  /** 16 lower-case hexadecimal digits. */
  readonly keyId: string;
  readonly body: Uint8Array;
  /** What is hashed of it, for fingerprints and signatures alike: RFC 9580 §5.2.4, §5.5.4. */
  readonly hashed: Uint8Array;
};

/** What a certificate holds beside its primary key, with the signatures that claim to be of the primary key. */
export type Component<T> = T & { readonly signatures: SignaturePacket[] };
export type User = Component<{ readonly attribute: boolean; readonly id: Uint8Array }>;
export type Subkey = Component<{ readonly key: KeyPacket }>;

export type Certificate = {
  readonly primary: KeyPacket;
  /** Signatures on the primary key itself. */
  readonly signatures: SignaturePacket[];
  readonly users: User[];
  readonly subkeys: Subkey[];
};

/** Reads one armoured certificate. Throws `key-invalid`, `too-large`. */
export function parseCertificate(armored: string): Certificate {
  if (armored.length > LIMITS.openPgpCertificate) {
    throw new EvidenceError(
      "too-large",
      `An OpenPGP certificate is larger than ${LIMITS.openPgpCertificate} characters.`,
    );
  }
  try {
    const blocks = readArmorBlocks(utf8Encode(armored), "PUBLIC KEY BLOCK");
    if (blocks.length > 1) throw new EvidenceError("key-invalid", "There is more than one armoured certificate.");
    return readCertificate(readPackets(concatBytes(...blocks), LIMITS.openPgpPackets));
  } catch (cause) {
    if (!(cause instanceof EvidenceError) || cause.code === "too-large" || cause.code === "key-invalid") throw cause;
    throw new EvidenceError("key-invalid", `Not an armoured OpenPGP certificate: ${cause.message}`, { cause });
  }
}

function readCertificate(packets: readonly Packet[]): Certificate {
  const [first, ...others] = packets;
  if (first?.tag !== TAG_PUBLIC_KEY)
    throw new EvidenceError("key-invalid", "An OpenPGP certificate begins with a public key; this does not.");
  const primary = readKeyPacket(first.body);
  const certificate: Certificate = { primary, signatures: [], users: [], subkeys: [] };
  let signatures = certificate.signatures;
  for (const { tag, body } of others) {
    switch (tag) {
      case TAG_SIGNATURE: {
        const signature = ownSignature(body, primary);
        if (signature === undefined) break;
        signatures.push(signature);
        if (signatures.length > LIMITS.openPgpComponents) throw tooMany("signatures of its own on one key or name");
        break;
      }
      case TAG_USER_ID:
      case TAG_USER_ATTRIBUTE: {
        const user: User = { attribute: tag === TAG_USER_ATTRIBUTE, id: body, signatures: [] };
        certificate.users.push(user);
        if (certificate.users.length > LIMITS.openPgpComponents) throw tooMany("user ids");
        signatures = user.signatures;
        break;
      }
      case TAG_PUBLIC_SUBKEY: {
        const subkey: Subkey = { key: readKeyPacket(body), signatures: [] };
        certificate.subkeys.push(subkey);
        if (certificate.subkeys.length > LIMITS.openPgpComponents) throw tooMany("subkeys");
        signatures = subkey.signatures;
        break;
      }
      case TAG_PUBLIC_KEY:
        throw new EvidenceError("key-invalid", "There is more than one certificate in one block.");
      case TAG_MARKER:
      case TAG_PADDING:
      case TAG_TRUST:
        break;
      default:
        // §4.3: tags from 40 on may be ignored.
        if (tag < 40) throw new EvidenceError("key-invalid", `A packet of tag ${tag} is no part of a certificate.`);
    }
  }
  return certificate;
}

function tooMany(what: string): EvidenceError {
  return new EvidenceError("too-large", `An OpenPGP certificate has too many ${what}.`);
}

/**
 * A signature that may be the primary key's own. Others' are left out, and so are those that cannot be read: no key makes signatures on
 * its own certificate in a form or by an algorithm that it cannot be asked to verify.
 */
function ownSignature(body: Uint8Array, primary: KeyPacket): SignaturePacket | undefined {
  try {
    const signature = readSignaturePacket(body);
    return mayBeOf(signature, primary) || isByRevoker(signature) ? signature : undefined;
  } catch (error) {
    if (error instanceof EvidenceError) return undefined;
    throw error;
  }
}

/** Key revocations by others are kept: a key may name who else may revoke it (§5.2.3.23). */
function isByRevoker({ type }: SignaturePacket): boolean {
  return type === 0x20;
}

/** Whether what a signature says of its issuer fits the key. Signatures that say nothing fit every key. */
export function mayBeOf({ version, issuerIds, issuerFingerprints }: SignaturePacket, key: KeyPacket): boolean {
  return (
    (version === 6) === (key.version === 6) &&
    issuerIds.every((id) => id === key.keyId || id === WILDCARD) &&
    issuerFingerprints.every((fingerprint) => fingerprint === key.fingerprint)
  );
}

/** A key id of zeros says nothing: RFC 9580 §5.1.8 of encrypted messages, and some programs of signatures. */
const WILDCARD = "0000000000000000";

/** Reads the body of a public key or subkey packet: RFC 9580 §5.5.2. The library reads the key material. Throws `key-invalid`. */
function readKeyPacket(body: Uint8Array): KeyPacket {
  const reader = new ByteReader(body);
  const version = reader.number(1);
  if (version !== 4 && version !== 6) {
    throw new EvidenceError("key-invalid", `OpenPGP keys of version ${version} are not supported.`);
  }
  const created = reader.number(4);
  const size = version === 6 ? 4 : 2;
  if (size === 2 && body.length > 0xffff) throw new EvidenceError("key-invalid", "An OpenPGP key is too large.");
  const hashed = new Uint8Array(1 + size + body.length);
  const view = new DataView(hashed.buffer);
  hashed[0] = version === 6 ? 0x9b : 0x99;
  if (size === 4) view.setUint32(1, body.length);
  else view.setUint16(1, body.length);
  hashed.set(body, 1 + size);
  const fingerprint = toHex(version === 6 ? sha256(hashed) : sha1(hashed));
  const keyId = version === 6 ? fingerprint.slice(0, 16) : fingerprint.slice(-16);
  return { version, created, fingerprint, keyId, body, hashed };
}

/** Certificates of one primary key made into one with all that any of them holds: what one copy says is revoked is not trusted by another. */
export function mergeCertificates(certificates: readonly Certificate[]): Certificate[] {
  const merged = new Map<string, Certificate>();
  for (const certificate of certificates) {
    const known = merged.get(certificate.primary.fingerprint);
    if (known === undefined) {
      merged.set(certificate.primary.fingerprint, certificate);
      continue;
    }
    merged.set(certificate.primary.fingerprint, {
      primary: known.primary,
      signatures: union(known.signatures, certificate.signatures),
      users: mergeComponents(
        [...known.users, ...certificate.users],
        ({ attribute, id }) => `${attribute} ${toHex(id)}`,
      ),
      subkeys: mergeComponents([...known.subkeys, ...certificate.subkeys], ({ key }) => key.fingerprint),
    });
  }
  return [...merged.values()];
}

function mergeComponents<T extends Component<object>>(components: readonly T[], name: (component: T) => string): T[] {
  const merged = new Map<string, T>();
  for (const component of components) {
    const known = merged.get(name(component));
    const signatures = union(known?.signatures ?? [], component.signatures);
    merged.set(name(component), { ...component, signatures });
  }
  return [...merged.values()];
}

function union(a: readonly SignaturePacket[], b: readonly SignaturePacket[]): SignaturePacket[] {
  const seen = new Set(a.map(({ body }) => toHex(body)));
  return [...a, ...b.filter(({ body }) => !seen.has(toHex(body)))];
}
