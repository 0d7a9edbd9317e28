/** The extensions of X.509 certificates that a verdict depends on (RFC 5280 §4.2). Failures are `der-invalid`. */
import { asciiText, bitNumbers, oidText, optionalBoolean, smallNumber, stringValue, TAG_UTF8_STRING } from "./asn1.ts";
import { contextTag, DerReader, TAG_BIT_STRING, TAG_INTEGER, TAG_OCTET_STRING, TAG_OID } from "./der.ts";
import { toHex } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { FULCIO_USERNAME } from "./fulcio.ts";
import { LIMITS } from "./limits.ts";
import { nameText, parseName } from "./x509-name.ts";

export const OID_SUBJECT_KEY_ID = "2.5.29.14";
export const OID_KEY_USAGE = "2.5.29.15";
export const OID_SUBJECT_ALT_NAME = "2.5.29.17";
export const OID_BASIC_CONSTRAINTS = "2.5.29.19";
export const OID_NAME_CONSTRAINTS = "2.5.29.30";
export const OID_CERTIFICATE_POLICIES = "2.5.29.32";
export const OID_AUTHORITY_KEY_ID = "2.5.29.35";
export const OID_EXTENDED_KEY_USAGE = "2.5.29.37";
export const OID_SCT_LIST = "1.3.6.1.4.1.11129.2.4.2";

/** RFC 5280 §4.2.1.3, in the order of its bits. */
const KEY_USAGES = [
  "digitalSignature",
  "contentCommitment",
  "keyEncipherment",
  "dataEncipherment",
  "keyAgreement",
  "keyCertSign",
  "cRLSign",
  "encipherOnly",
  "decipherOnly",
] as const;
export type KeyUsage = (typeof KEY_USAGES)[number];

/**
 * A subject alternative name. "other" holds every kind that no identity is written in, its value marked with the kind ("ip:7f000001"),
 * except Fulcio's user names ("user!domain"), which are as written.
 */
export type AlternativeName = { readonly kind: "email" | "uri" | "dns" | "other"; readonly value: string };

/** One GeneralName (RFC 5280 §4.2.1.6) before anybody decided what it means. */
export type GeneralName = { readonly tag: number; readonly contents: Uint8Array };

export const GENERAL_OTHER = contextTag(0, true);
export const GENERAL_EMAIL = contextTag(1, false);
export const GENERAL_DNS = contextTag(2, false);
/** A Name is a CHOICE, so its tag is explicit: the contents are a whole Name. */
export const GENERAL_DIRECTORY = contextTag(4, true);
export const GENERAL_URI = contextTag(6, false);
export const GENERAL_IP = contextTag(7, false);
const GENERAL_REGISTERED_ID = contextTag(8, false);

/** A reader of exactly one SEQUENCE. */
function only(value: Uint8Array): DerReader {
  const outer = new DerReader(value);
  const sequence = outer.sequence();
  outer.end();
  return sequence;
}

export function readKeyUsage(value: Uint8Array): ReadonlySet<KeyUsage> {
  const reader = new DerReader(value);
  const bits = bitNumbers(reader.read(TAG_BIT_STRING));
  reader.end();
  const usages = bits.map((bit) => KEY_USAGES[bit]).filter((usage) => usage !== undefined);
  if (usages.length === 0 || usages.length !== bits.length) throw invalid("the key usage has no bits, or unknown ones");
  return new Set(usages);
}

/** Dotted identifiers; at least one. */
export function readExtendedKeyUsage(value: Uint8Array): readonly string[] {
  const sequence = only(value);
  const usages: string[] = [];
  do {
    const usage = oidText(sequence.read(TAG_OID));
    if (usages.includes(usage) || usages.length >= LIMITS.certificateNames)
      throw invalid("the extended key usage repeats itself or is too long");
    usages.push(usage);
  } while (!sequence.done);
  return usages;
}

export function readBasicConstraints(value: Uint8Array): { isCa: boolean; pathLength: number | null } {
  const sequence = only(value);
  const isCa = optionalBoolean(sequence);
  const pathLength = sequence.tag === TAG_INTEGER ? smallNumber(sequence.readUnsigned()) : null;
  sequence.end();
  if (pathLength !== null && !isCa) throw invalid("a path length is stated for what is no authority");
  return { isCa, pathLength };
}

export function readSubjectKeyId(value: Uint8Array): Uint8Array {
  const reader = new DerReader(value);
  const id = reader.read(TAG_OCTET_STRING);
  reader.end();
  return id;
}

/** The keyIdentifier, if there is one. Issuer and serial number, the other hint, are not used. */
export function readAuthorityKeyId(value: Uint8Array): Uint8Array | undefined {
  const sequence = only(value);
  const keyId = sequence.optional(contextTag(0, false));
  sequence.optional(contextTag(1, true));
  sequence.optional(contextTag(2, false));
  sequence.end();
  return keyId;
}

/** At least one, at most `LIMITS.certificateNames`. */
export function readGeneralNames(value: Uint8Array): readonly GeneralName[] {
  const sequence = only(value);
  const names: GeneralName[] = [];
  do {
    const { tag, contents } = sequence.next();
    if ((tag & 0xc0) !== 0x80) throw invalid("a general name has no context tag");
    names.push({ tag, contents });
    if (names.length > LIMITS.certificateNames) throw invalid("there are too many names");
  } while (!sequence.done);
  return names;
}

export function alternativeName({ tag, contents }: GeneralName): AlternativeName {
  switch (tag) {
    case GENERAL_EMAIL:
      return { kind: "email", value: visible(contents) };
    case GENERAL_DNS:
      return { kind: "dns", value: visible(contents) };
    case GENERAL_URI:
      return { kind: "uri", value: visible(contents) };
    case GENERAL_OTHER:
      return { kind: "other", value: otherName(contents) };
    case GENERAL_DIRECTORY:
      return { kind: "other", value: `name:${nameText(parseName(contents))}` };
    case GENERAL_IP:
      return { kind: "other", value: `ip:${toHex(contents)}` };
    case GENERAL_REGISTERED_ID:
      return { kind: "other", value: `id:${oidText(contents)}` };
    default:
      return { kind: "other", value: `tag${tag & 0x1f}:${toHex(contents)}` };
  }
}

function otherName(contents: Uint8Array): string {
  const reader = new DerReader(contents);
  const type = oidText(reader.read(TAG_OID));
  const value = reader.read(contextTag(0, true));
  reader.end();
  if (type !== FULCIO_USERNAME) return `other:${type}:${toHex(value)}`;
  const text = new DerReader(value);
  const user = stringValue(TAG_UTF8_STRING, text.read(TAG_UTF8_STRING)) ?? "";
  text.end();
  // A user name is told from all other kinds of name by the sign it must contain.
  if (!/^[^!:]+![^!]+$/.test(user)) throw invalid("a user name has no domain");
  return user;
}

/** A name in IA5String without blanks or control characters: those are there to be misread. */
export function visible(contents: Uint8Array): string {
  const text = asciiText(contents);
  if (!/^[!-~]+$/.test(text)) throw invalid("a name is empty or holds blanks or control characters");
  return text;
}

function invalid(what: string): EvidenceError {
  return new EvidenceError("der-invalid", `DER: ${what}.`);
}
