/** Certificates read and verified once. What is kept depends on no time: see verified-certificate.ts. */
import { type Certificate, parseCertificate } from "./certificate.ts";
import { type VerifiedCertificate, verifyCertificate } from "./verified-certificate.ts";

/** By their exact text, so that no later change of a text can meet a stale reading. */
const parsed = new Map<string, Certificate>();
const verified = new WeakMap<Certificate, Map<string, Promise<VerifiedCertificate | undefined>>>();
const PARSED_CERTIFICATES = 256;

/** The certificate of this text. Throws as {@link parseCertificate}. */
export function certificateOf(armored: string): Certificate {
  let certificate = parsed.get(armored);
  if (certificate === undefined) {
    certificate = parseCertificate(armored);
    if (parsed.size >= PARSED_CERTIFICATES) parsed.clear();
    parsed.set(armored, certificate);
  }
  return certificate;
}

/** The certificate verified, as far as one of its keys is concerned: see {@link verifyCertificate}. */
export function verifiedCertificateOf(
  certificate: Certificate,
  fingerprint: string,
): Promise<VerifiedCertificate | undefined> {
  let byKey = verified.get(certificate);
  if (byKey === undefined) {
    byKey = new Map<string, Promise<VerifiedCertificate | undefined>>();
    verified.set(certificate, byKey);
  }
  let found = byKey.get(fingerprint);
  if (found === undefined) {
    found = verifyCertificate(certificate, fingerprint);
    byKey.set(fingerprint, found);
  }
  return found;
}
