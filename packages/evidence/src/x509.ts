/**
 * X.509 version 3 certificates (RFC 5280 §4). A {@link Certificate} says only what is written in it; whether anybody should
 * believe it is found out in x509-chain.ts.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { oidText, optionalBoolean, smallNumber, timeValue } from "./asn1.ts";
import { contextTag, DerReader, TAG_OCTET_STRING, TAG_OID, TAG_SEQUENCE } from "./der.ts";
import { equalBytes, toHex } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { type FulcioClaims, readFulcioClaims } from "./fulcio.ts";
import { type PublicKey, parseSpki } from "./keys.ts";
import { LIMITS } from "./limits.ts";
import { parsePem, parsePemBlocks } from "./pem.ts";
import { type NamedAlgorithm, readSignatureAlgorithm } from "./signature-algorithm.ts";
import {
  type AlternativeName,
  alternativeName,
  type GeneralName,
  type KeyUsage,
  OID_AUTHORITY_KEY_ID,
  OID_BASIC_CONSTRAINTS,
  OID_EXTENDED_KEY_USAGE,
  OID_KEY_USAGE,
  OID_NAME_CONSTRAINTS,
  OID_SCT_LIST,
  OID_SUBJECT_ALT_NAME,
  OID_SUBJECT_KEY_ID,
  readAuthorityKeyId,
  readBasicConstraints,
  readExtendedKeyUsage,
  readGeneralNames,
  readKeyUsage,
  readSubjectKeyId,
} from "./x509-extensions.ts";
import { type Name, nameText, parseName } from "./x509-name.ts";
import { type NameConstraints, readNameConstraints } from "./x509-constraints.ts";

/** One extension as written. */
export type Extension = {
  readonly critical: boolean;
  /** What the OCTET STRING holds. */
  readonly value: Uint8Array;
  /** The whole extension with tag and length. */
  readonly encoded: Uint8Array;
};

/** A certificate as parsed. Made by {@link parseCertificate} only. */
export type Certificate = {
  /** All of it, and the part that is signed. */
  readonly der: Uint8Array;
  readonly tbs: Uint8Array;
  /** Names with tag and length, as they are compared. */
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  readonly subjectName: Name;
  /** RFC 4514: "CN=build,O=Acme"; empty when the subject is. */
  readonly issuerText: string;
  readonly subjectText: string;
  /** Lower-case hex of the serial number without leading zero bytes; "00" for zero. */
  readonly serial: string;
  /** First and last moment of validity, both inclusive, in ms since 1970. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly publicKey: PublicKey;
  readonly signatureAlgorithm: NamedAlgorithm;
  readonly signature: Uint8Array;
  readonly isCa: boolean;
  /** Most intermediates that may follow below this authority; null = any number. */
  readonly pathLength: number | null;
  /** Null when the certificate does not restrict it. */
  readonly keyUsage: ReadonlySet<KeyUsage> | null;
  /** Dotted identifiers; null when the certificate does not restrict it. */
  readonly extendedKeyUsage: readonly string[] | null;
  /** Subject alternative names in order. */
  readonly names: readonly AlternativeName[];
  readonly generalNames: readonly GeneralName[];
  readonly nameConstraints: NameConstraints | null;
  readonly fulcio: FulcioClaims;
  /** SignedCertificateTimestampList (RFC 6962 §3.3) as in the extension. */
  readonly sctList?: Uint8Array;
  readonly subjectKeyId?: Uint8Array;
  readonly authorityKeyId?: Uint8Array;
  /** By dotted identifier, in order; each identifier once. */
  readonly extensions: ReadonlyMap<string, Extension>;
  /** Lower-case hex SHA-256 of `der`. */
  readonly fingerprint: string;
};

/** Magnitude of a serial number: RFC 5280 §4.1.2.2. */
const SERIAL_BYTES = 20;

/**
 * Reads a certificate: strict DER, version 3, nothing after it, each extension once, the same algorithm inside and outside the signed
 * part, a key that `parseSpki` takes. Throws `certificate-invalid` for all that is wrong, and `too-large`.
 */
export function parseCertificate(der: Uint8Array): Certificate {
  if (der.length > LIMITS.certificateBytes)
    throw new EvidenceError("too-large", `A certificate has at most ${LIMITS.certificateBytes} bytes.`);
  try {
    return readCertificate(Uint8Array.from(der));
  } catch (cause) {
    if (!(cause instanceof EvidenceError) || cause.code === "certificate-invalid") throw cause;
    throw new EvidenceError("certificate-invalid", `The certificate cannot be read. ${cause.message}`, { cause });
  }
}

/** Reads a PEM "CERTIFICATE". Throws `certificate-invalid`, `too-large`. */
export function parseCertificatePem(pem: string): Certificate {
  return parseCertificate(parsePem(pem, ["CERTIFICATE"], "certificate-invalid"));
}

/** Reads a text of one or more PEM "CERTIFICATE" blocks, in order. Throws `certificate-invalid`, `too-large`. */
export function parseCertificatesPem(pem: string): Certificate[] {
  const blocks = parsePemBlocks(pem, ["CERTIFICATE"], LIMITS.chainPool, "certificate-invalid");
  if (blocks.length === 0) throw new EvidenceError("certificate-invalid", "There is no PEM certificate.");
  return blocks.map(parseCertificate);
}

/** Whether issuer and subject are the same name: a root, or a key that signed its successor. */
export function isSelfIssued(certificate: Certificate): boolean {
  return equalBytes(certificate.issuer, certificate.subject);
}

function readCertificate(der: Uint8Array): Certificate {
  const outer = new DerReader(der);
  const certificate = outer.sequence();
  outer.end();
  const tbs = certificate.readEncoded(TAG_SEQUENCE);
  const algorithm = certificate.readEncoded(TAG_SEQUENCE);
  const signature = certificate.readBitString();
  certificate.end();

  const body = new DerReader(tbs).sequence();
  const version = body.optionalSequence(contextTag(0, true));
  if (version === undefined || smallNumber(version.readUnsigned()) !== 2)
    throw new EvidenceError("certificate-invalid", "The certificate is not of version 3.");
  version.end();
  const serial = body.readUnsigned();
  if (serial.length > SERIAL_BYTES)
    throw new EvidenceError("certificate-invalid", "The certificate's serial number is too long.");
  // RFC 5280 §4.1.1.2: only the inner one is signed.
  if (!equalBytes(body.readEncoded(TAG_SEQUENCE), algorithm))
    throw new EvidenceError("certificate-invalid", "The certificate names two different signature algorithms.");
  const issuer = body.readEncoded(TAG_SEQUENCE);
  const validity = body.sequence();
  const notBefore = readTime(validity);
  const notAfter = readTime(validity);
  validity.end();
  const subject = body.readEncoded(TAG_SEQUENCE);
  const publicKey = parseSpki(body.readEncoded(TAG_SEQUENCE));
  // issuerUniqueID and subjectUniqueID would stand here: RFC 5280 §4.1.2.8 forbids them.
  const extensions = readExtensions(body.sequence(contextTag(3, true)));
  body.end();

  const subjectName = parseName(subject);
  return Object.freeze({
    der,
    tbs,
    issuer,
    subject,
    subjectName,
    issuerText: nameText(parseName(issuer)),
    subjectText: nameText(subjectName),
    serial: serial.length === 0 ? "00" : toHex(serial),
    notBefore,
    notAfter,
    publicKey,
    signatureAlgorithm: readSignatureAlgorithm(algorithm),
    signature,
    ...readMeaning(extensions),
    extensions,
    fingerprint: toHex(sha256(der)),
  });
}

function readTime(validity: DerReader): number {
  const { tag, contents } = validity.next();
  return timeValue(tag, contents);
}

function readExtensions(wrapper: DerReader): ReadonlyMap<string, Extension> {
  const list = wrapper.sequence();
  wrapper.end();
  const extensions = new Map<string, Extension>();
  do {
    const { tag, contents, encoded } = list.next();
    if (tag !== TAG_SEQUENCE) throw new EvidenceError("der-invalid", "DER: an extension is no sequence.");
    const extension = new DerReader(contents);
    const oid = oidText(extension.read(TAG_OID));
    const critical = optionalBoolean(extension);
    const value = extension.read(TAG_OCTET_STRING);
    extension.end();
    // RFC 5280 §4.2: of two, readers would see one or the other.
    if (extensions.has(oid))
      throw new EvidenceError("certificate-invalid", `The certificate repeats the extension ${oid}.`);
    if (extensions.size >= LIMITS.certificateExtensions)
      throw new EvidenceError("certificate-invalid", "The certificate has too many extensions.");
    extensions.set(oid, { critical, value, encoded });
  } while (!list.done);
  return extensions;
}

type Meaning = Pick<
  Certificate,
  | "isCa"
  | "pathLength"
  | "keyUsage"
  | "extendedKeyUsage"
  | "names"
  | "generalNames"
  | "nameConstraints"
  | "fulcio"
  | "sctList"
  | "subjectKeyId"
  | "authorityKeyId"
>;

function readMeaning(extensions: ReadonlyMap<string, Extension>): Meaning {
  const read = <T, N>(oid: string, reader: (value: Uint8Array) => T, otherwise: N): T | N => {
    const extension = extensions.get(oid);
    return extension === undefined ? otherwise : reader(extension.value);
  };
  const generalNames = read(OID_SUBJECT_ALT_NAME, readGeneralNames, []);
  const sctList = read(OID_SCT_LIST, readSubjectKeyId, undefined);
  const subjectKeyId = read(OID_SUBJECT_KEY_ID, readSubjectKeyId, undefined);
  const authorityKeyId = read(OID_AUTHORITY_KEY_ID, readAuthorityKeyId, undefined);
  return {
    ...read(OID_BASIC_CONSTRAINTS, readBasicConstraints, { isCa: false, pathLength: null }),
    keyUsage: read(OID_KEY_USAGE, readKeyUsage, null),
    extendedKeyUsage: read(OID_EXTENDED_KEY_USAGE, readExtendedKeyUsage, null),
    names: generalNames.map(alternativeName),
    generalNames,
    nameConstraints: read(OID_NAME_CONSTRAINTS, readNameConstraints, null),
    fulcio: readFulcioClaims(extensions),
    ...(sctList === undefined ? {} : { sctList }),
    ...(subjectKeyId === undefined ? {} : { subjectKeyId }),
    ...(authorityKeyId === undefined ? {} : { authorityKeyId }),
  };
}
