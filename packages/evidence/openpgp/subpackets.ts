/** Subpackets of signatures: RFC 9580 §5.2.3.7 and following. */
import { EvidenceError, LIMITS, toHex } from "../src/index.ts";
import { ByteReader, readSubpacketLength } from "./packets.ts";

export type Subpacket = {
  readonly type: number;
  /** Whether whoever does not understand it must not believe the signature. */
  readonly critical: boolean;
  readonly body: Uint8Array;
  /** Whether the signature covers it. */
  readonly hashed: boolean;
};

const CREATED = 2;
const EXPIRES = 3;
const KEY_EXPIRES = 9;
const REVOCATION_KEY = 12;
const ISSUER = 16;
const NOTATION = 20;
const KEY_FLAGS = 27;
const REVOCATION_REASON = 29;
const EMBEDDED_SIGNATURE = 32;
const ISSUER_FINGERPRINT = 33;

/** Types that RFC 9580 §5.2.3.7, table 5, gives a meaning. What those mean that are not evaluated cannot make a good signature bad. */
const KNOWN: ReadonlySet<number> = new Set([
  2, 3, 4, 5, 6, 7, 9, 11, 12, 16, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 39,
]);

/** One area of subpackets. Throws `openpgp-invalid`, `too-large`. */
export function readSubpackets(area: Uint8Array, hashed: boolean): Subpacket[] {
  const reader = new ByteReader(area);
  const subpackets: Subpacket[] = [];
  while (reader.left > 0) {
    if (subpackets.length >= LIMITS.openPgpSubpackets)
      throw new EvidenceError("too-large", "An OpenPGP signature has too many subpackets.");
    const length = readSubpacketLength(reader);
    if (length === 0)
      throw new EvidenceError("openpgp-invalid", "An OpenPGP signature has a subpacket without a type.");
    const body = reader.bytes(length);
    const type = body[0] ?? 0;
    subpackets.push({ type: type & 0x7f, critical: (type & 0x80) !== 0, body: body.subarray(1), hashed });
  }
  return subpackets;
}

/** What a signature states, as far as something depends on it. Times in seconds, as written. */
export type Statements = {
  /** When it says it was made, seconds since 1970. */
  readonly created: number;
  /** Seconds from its making until it expires; null = never. */
  readonly expires: number | null;
  /** Seconds from the making of the key until that expires; null = not stated. Zero, which means never, is kept. */
  readonly keyExpires: number | null;
  /** The first byte of key flags (§5.2.3.29); null = not stated. */
  readonly keyFlags: number | null;
  /** The code of the reason for revocation (§5.2.3.31); null = none. */
  readonly revocationReason: number | null;
  /** Fingerprints of keys that may revoke this one (§5.2.3.23, deprecated): lower-case hex. */
  readonly revokers: readonly string[];
  /** Key ids and fingerprints of the issuer, as many as are stated in either area: lower-case hex. Hints only. */
  readonly issuerIds: readonly string[];
  readonly issuerFingerprints: readonly string[];
  /** Bodies of embedded signatures: back signatures of subkeys. Good or bad by themselves, whatever area holds them. */
  readonly embedded: readonly Uint8Array[];
  /** A subpacket that must be understood and is not, for people. */
  readonly critical: string | null;
};

/** What the subpackets state. Only hashed ones count, but for hints and embedded signatures. Throws `openpgp-invalid`. */
export function readStatements(subpackets: readonly Subpacket[]): Statements {
  const covered = subpackets.filter(({ hashed }) => hashed);
  const created = single(covered, CREATED, 4);
  if (created === null)
    throw new EvidenceError("openpgp-invalid", "An OpenPGP signature does not say when it was made.");
  const expires = single(covered, EXPIRES, 4);
  const ids = subpackets.filter(({ type }) => type === ISSUER).map(({ body }) => toHex(body));
  const fingerprints = subpackets
    .filter(({ type }) => type === ISSUER_FINGERPRINT)
    .map(({ body }) => toHex(body.subarray(1)));
  if (
    ids.some((id) => id.length !== 16) ||
    fingerprints.some((fingerprint) => ![40, 64].includes(fingerprint.length))
  ) {
    throw new EvidenceError("openpgp-invalid", "An OpenPGP signature names its issuer in no known way.");
  }
  return {
    created,
    expires: expires === 0 ? null : expires,
    keyExpires: single(covered, KEY_EXPIRES, 4),
    keyFlags: flags(covered),
    revocationReason: covered.find(({ type }) => type === REVOCATION_REASON)?.body[0] ?? null,
    revokers: covered.filter(({ type }) => type === REVOCATION_KEY).map(({ body }) => toHex(body.subarray(2))),
    issuerIds: ids,
    issuerFingerprints: fingerprints,
    embedded: subpackets.filter(({ type }) => type === EMBEDDED_SIGNATURE).map(({ body }) => body),
    critical: notUnderstood(subpackets),
  };
}

/** The number of the one subpacket of a type; null if there is none. Two of one would let readers pick different ones. */
function single(subpackets: readonly Subpacket[], type: number, size: 4): number | null {
  const found = subpackets.filter((subpacket) => subpacket.type === type);
  const [first] = found;
  if (first === undefined) return null;
  if (found.length > 1 || first.body.length !== size) {
    throw new EvidenceError(
      "openpgp-invalid",
      `An OpenPGP signature has subpacket ${type} twice, or one of a wrong size.`,
    );
  }
  return new ByteReader(first.body).number(size);
}

function flags(subpackets: readonly Subpacket[]): number | null {
  const found = subpackets.filter(({ type }) => type === KEY_FLAGS);
  if (found.length > 1) throw new EvidenceError("openpgp-invalid", "An OpenPGP signature has key flags twice.");
  const [first] = found;
  return first === undefined ? null : (first.body[0] ?? 0);
}

function notUnderstood(subpackets: readonly Subpacket[]): string | null {
  for (const { type, critical } of subpackets) {
    if (!critical) continue;
    if (type === NOTATION) return "a critical notation";
    if (!KNOWN.has(type)) return `a critical subpacket of type ${type}`;
  }
  return null;
}
