/**
 * Which certificate a timestamp's signer meant (RFC 3161 §2.4.2, RFC 5816): the signed attribute that holds the certificate's hash, so
 * that nobody can put another certificate for the same key in its place.
 */
import { readHash, readSerial } from "./cms.ts";
import { contextTag, DerReader, TAG_INTEGER, TAG_OCTET_STRING, TAG_SEQUENCE } from "./der.ts";
import { equalBytes } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { HASHES } from "./noblecrypto.ts";
import type { HashName } from "./scheme.ts";
import type { Certificate } from "./x509.ts";

/** id-aa-signingCertificate with ESSCertID, always SHA-1 (RFC 2634 §5.4), and id-aa-signingCertificateV2 (RFC 5035 §3). */
const OID_SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.12";
const OID_SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47";

type Bound = { readonly ok: true; readonly detail: string } | { readonly ok: false; readonly message: string };

export type SignerBinding = {
  /**
   * Whether the signer meant this certificate. `pinned` says that the trust root itself names the certificate: then nothing is left to
   * bind, and a token that knows only the SHA-1 of its certificate will do, as it does for Sigstore's timestamp-authority,
   * which compares certificates alone. Without it SHA-1 binds nothing: two certificates with one SHA-1 can be made.
   */
  binds(certificate: Certificate, pinned: boolean): Bound;
};

/** Reads the signed attributes. Throws `timestamp-invalid` when neither form is there, and `der-invalid`. */
export function readSignerBinding(attributes: ReadonlyMap<string, Uint8Array>): SignerBinding {
  const v2 = attributes.get(OID_SIGNING_CERTIFICATE_V2);
  if (v2 !== undefined) {
    const id = readCertificateId(v2);
    return { binds: (certificate) => bindsByHash(id, certificate) };
  }
  if (attributes.has(OID_SIGNING_CERTIFICATE)) return { binds: (_, pinned) => bindsByRoot(pinned) };
  throw new EvidenceError("timestamp-invalid", "Timestamp: its signer does not say which certificate it means.");
}

type CertificateId = {
  readonly hash: HashName;
  readonly certHash: Uint8Array;
  readonly issuerSerial: { readonly issuer: Uint8Array; readonly serial: string } | undefined;
};

/** SigningCertificateV2: the first ESSCertIDv2 is the signer's (RFC 5035 §3); others limit the path, which the trust root does here. */
function readCertificateId(der: Uint8Array): CertificateId {
  const outer = new DerReader(der);
  const body = outer.sequence();
  outer.end();
  const list = body.sequence();
  const id = list.sequence();
  // DEFAULT id-sha256 (RFC 5816 §2.2.1); who writes it out all the same means the same.
  const hash = id.tag === TAG_SEQUENCE ? readHash(id.readEncoded(TAG_SEQUENCE)) : "sha256";
  const certHash = id.read(TAG_OCTET_STRING);
  const issuerSerial = id.done ? undefined : readIssuerSerial(id.sequence());
  id.end();
  return { hash, certHash, issuerSerial };
}

/** IssuerSerial: the issuer is one directory name. */
function readIssuerSerial(pair: DerReader): CertificateId["issuerSerial"] {
  const names = pair.sequence();
  const name = names.sequence(contextTag(4, true));
  const issuer = name.readEncoded(TAG_SEQUENCE);
  name.end();
  names.end();
  if (pair.tag !== TAG_INTEGER) throw new EvidenceError("timestamp-invalid", "Timestamp: a serial number is missing.");
  const serial = readSerial(pair);
  pair.end();
  return { issuer, serial };
}

function bindsByHash({ hash, certHash, issuerSerial }: CertificateId, certificate: Certificate): Bound {
  if (!equalBytes(HASHES[hash](certificate.der), certHash)) {
    return { ok: false, message: "The timestamp's signer meant a certificate with another hash." };
  }
  const named =
    issuerSerial === undefined ||
    (equalBytes(issuerSerial.issuer, certificate.issuer) && issuerSerial.serial === certificate.serial);
  if (!named) return { ok: false, message: "The timestamp's signer meant a certificate of another issuer or number." };
  return { ok: true, detail: `The signer names it by its ${hash}.` };
}

function bindsByRoot(pinned: boolean): Bound {
  return pinned
    ? { ok: true, detail: "The signer names it by SHA-1, which proves nothing; the trust root names it too." }
    : { ok: false, message: "The timestamp's signer names its certificate by SHA-1 alone, which binds it to nothing." };
}
