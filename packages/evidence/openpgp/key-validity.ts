/**
 * What a signing key was worth when the signature is proven to have existed. A pure function: it knows no clock, and believes no time that
 * the signer claims, with one exception, that what is claimed against the signer's own interest is believed.
 */
import type { RefusalCode } from "../src/index.ts";
import { DSA, ECDSA, ECDSA_CURVES, LEAST_RSA_BITS, RSA, RSA_SIGN_ONLY } from "./algorithms.ts";
import type { LibraryKey } from "./arithmetic.ts";
import type { KeyPacket } from "./certificate.ts";
import type { SignaturePacket } from "./signature-packet.ts";
import type { Sayings, VerifiedCertificate } from "./verified-certificate.ts";

/** What stands against a key. */
export type Fault = { readonly code: RefusalCode; readonly message: string };

/** When the signature was made. Seconds since 1970. */
export type SigningTime = {
  /** The earliest proven time; null if none is. */
  readonly proven: number | null;
  /** What the signature says. */
  readonly claimed: number;
};

const MAY_SIGN = 0x02;

/** Reasons for which a key is no longer used, but was good until then (RFC 9580 §5.2.3.31): superseded, retired; of a user id: no longer valid. */
const SOFT_KEY_REASONS: readonly number[] = [1, 3];
const SOFT_USER_REASONS: readonly number[] = [32];

/**
 * The first thing that stands against a document signature by the key of this fingerprint, a primary key or subkey of the certificate;
 * undefined if nothing does.
 */
export function faultOf(certificate: VerifiedCertificate, fingerprint: string, time: SigningTime): Fault | undefined {
  return (
    weakness(certificate.key, certificate.material) ??
    revocation(certificate.revocations, "primary key", SOFT_KEY_REASONS, time) ??
    (certificate.key.fingerprint === fingerprint
      ? primaryFault(certificate, time, true)
      : (primaryFault(certificate, time, false) ?? subkeyFault(certificate, fingerprint, time)))
  );
}

function primaryFault(certificate: VerifiedCertificate, time: SigningTime, signs: boolean): Fault | undefined {
  const { key } = certificate;
  const direct = newest(certificate.self, time);
  const named = selfCertification(certificate, time);
  if ("code" in named) {
    if (direct === undefined) return named;
  }
  const certification = "code" in named ? undefined : named.signature;
  const expires = direct?.keyExpires ?? certification?.keyExpires ?? null;
  const flags = direct?.keyFlags ?? certification?.keyFlags ?? null;
  const expired = expiry(key, expires, "primary key", time);
  if (expired !== undefined) return expired;
  // Keys from before there were flags may do all that their algorithm can; version 6 has always had them.
  if (signs && (flags === null ? key.version === 6 : (flags & MAY_SIGN) === 0)) return notForSigning("primary key");
  return undefined;
}

/** The newest certification of a user id that is not revoked, or why there is none. Version 6 keys need none (§10.1.1). */
function selfCertification({ users }: VerifiedCertificate, time: SigningTime): { signature: SignaturePacket } | Fault {
  const found: SignaturePacket[] = [];
  let fault: Fault | undefined;
  for (const { self, revocations } of users) {
    const certification = newest(self, time);
    if (certification === undefined) continue;
    const later = revocations.filter(({ created }) => created >= certification.created);
    const revoked = revocation(later, "user id", SOFT_USER_REASONS, time);
    if (revoked === undefined) found.push(certification);
    else fault = revoked;
  }
  const signature = newest(found, time);
  if (signature !== undefined) return { signature };
  return fault ?? { code: "certificate-invalid", message: "The primary key has certified no user id, nor itself." };
}

function subkeyFault(certificate: VerifiedCertificate, fingerprint: string, time: SigningTime): Fault | undefined {
  const subkey = certificate.subkeys.find(({ key }) => key.fingerprint === fingerprint);
  const binding = subkey && newest(subkey.self, time);
  if (subkey === undefined || binding === undefined) {
    return { code: "certificate-invalid", message: "The primary key has not bound the subkey that signed." };
  }
  const { key, material, revocations, agreed } = subkey;
  const fault =
    weakness(key, material) ??
    revocation(revocations, "subkey", SOFT_KEY_REASONS, time) ??
    expiry(key, binding.keyExpires, "subkey", time);
  if (fault !== undefined) return fault;
  if (((binding.keyFlags ?? 0) & MAY_SIGN) === 0) return notForSigning("subkey");
  if (!agreed.has(binding)) {
    return {
      code: "certificate-invalid",
      message: "The subkey that signed has not signed its binding to the primary key.",
    };
  }
  return undefined;
}

/** The newest that had not expired itself. One that expires counts only if it is proven that it had not. */
function newest(signatures: Sayings["self"], { proven }: SigningTime): SignaturePacket | undefined {
  return signatures
    .filter(({ created, expires }) => expires === null || (proven !== null && proven < created + expires))
    .reduce<SignaturePacket | undefined>(
      (best, one) => (best === undefined || one.created > best.created ? one : best),
      undefined,
    );
}

/**
 * What revocations mean. A compromised key, or one revoked for no reason given, was perhaps never its owner's: nothing it signed counts, at
 * no time (hard). A superseded or retired one was good: what is *proven* to be older than the revocation counts (soft).
 */
function revocation(
  revocations: readonly SignaturePacket[],
  what: string,
  softReasons: readonly number[],
  { proven, claimed }: SigningTime,
): Fault | undefined {
  let unproven = false;
  for (const { revocationReason, created } of revocations) {
    if (revocationReason === null || !softReasons.includes(revocationReason)) {
      return {
        code: "key-revoked",
        message: `The ${what} was revoked, as compromised or without saying why: nothing counts that it signed.`,
      };
    }
    const when = dateOf(created);
    if (claimed >= created || (proven !== null && proven >= created)) {
      return {
        code: "key-revoked",
        message: `The ${what} was revoked on ${when}, and the signature is not proven to be older.`,
      };
    }
    unproven ||= proven === null;
  }
  if (!unproven) return undefined;
  return { code: "time-unproven", message: `The ${what} was revoked, and nothing proves that the signature is older.` };
}

function expiry(
  key: KeyPacket,
  seconds: number | null,
  what: string,
  { proven, claimed }: SigningTime,
): Fault | undefined {
  if (seconds === null || seconds === 0) return undefined;
  const end = key.created + seconds;
  if (claimed >= end || (proven !== null && proven >= end)) {
    return {
      code: "key-expired",
      message: `The ${what} expired on ${dateOf(end)}, and the signature is not proven to be older.`,
    };
  }
  if (proven !== null) return undefined;
  return {
    code: "time-unproven",
    message: `The ${what} expires on ${dateOf(end)}, and nothing proves when the signature was made.`,
  };
}

function weakness({ version }: KeyPacket, material: LibraryKey): Fault | undefined {
  const { bits, curve } = material.getAlgorithmInfo();
  switch (material.algorithm as number) {
    case RSA:
    case RSA_SIGN_ONLY:
      if (bits !== undefined && bits >= LEAST_RSA_BITS) return undefined;
      return {
        code: "weak-algorithm",
        message: `RSA keys of ${bits} bits are too short: ${LEAST_RSA_BITS} are the least.`,
      };
    case DSA:
      return { code: "weak-algorithm", message: "DSA keys are not believed." };
    case ECDSA:
      if (curve !== undefined && ECDSA_CURVES.includes(curve)) return undefined;
      return {
        code: "unsupported",
        message: `ECDSA keys on the curve ${curve} are not supported (version ${version}).`,
      };
    default:
      return undefined;
  }
}

function notForSigning(what: string): Fault {
  return { code: "certificate-invalid", message: `The ${what} that signed is not for signing.` };
}

/** Seconds since 1970 as an ISO 8601 date and time. */
export function dateOf(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace(".000", "");
}
