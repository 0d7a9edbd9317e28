/**
 * What Notary Project asks of the certificates in an envelope before any trust store is asked (notaryproject/specifications:
 * signature-specification.md, "Certificate Requirements"). Trust and time are judged in x509-chain.ts.
 */
import type { Crypto } from "./crypto.ts";
import { equalBytes } from "./encoding.ts";
import { type Certificate, isSelfIssued } from "./x509.ts";
import { type KeyUsage, OID_BASIC_CONSTRAINTS, OID_KEY_USAGE } from "./x509-extensions.ts";

/** Key usages that a signing certificate must not have: it signs artifacts and nothing else. Content commitment is not among them. */
const FORBIDDEN_USAGES: readonly KeyUsage[] = [
  "keyEncipherment",
  "dataEncipherment",
  "keyAgreement",
  "keyCertSign",
  "cRLSign",
  "encipherOnly",
  "decipherOnly",
];

/** anyExtendedKeyUsage, and serverAuth, clientAuth, emailProtection, timeStamping, OCSPSigning (RFC 5280 §4.2.1.12). */
const FORBIDDEN_PURPOSES: readonly string[] = [
  "2.5.29.37.0",
  "1.3.6.1.5.5.7.3.1",
  "1.3.6.1.5.5.7.3.2",
  "1.3.6.1.5.5.7.3.4",
  "1.3.6.1.5.5.7.3.8",
  "1.3.6.1.5.5.7.3.9",
];

/**
 * What is wrong with a chain, the signer's certificate first; undefined if nothing is. The chain must be whole and in order, from the
 * signer to a root that signed itself, each by the next; a chain of one certificate is a root and a signer in one.
 */
export async function chainFault(crypto: Crypto, chain: readonly Certificate[]): Promise<string | undefined> {
  const [leaf, ...authorities] = chain;
  if (leaf === undefined) return "There is no certificate.";
  const fault = leafFault(leaf) ?? firstFault(authorities);
  if (fault !== undefined) return fault;
  for (const [at, certificate] of chain.entries()) {
    const last = at === chain.length - 1;
    if (isSelfIssued(certificate) !== last) {
      return last
        ? "The certificates do not end with a root."
        : "There are certificates behind a root, which do not belong to the chain.";
    }
    const issuer = chain[at + 1] ?? certificate;
    if (!(await isIssuedBy(crypto, certificate, issuer))) {
      return `The certificate of ${certificate.subjectText} is not issued by the one after it.`;
    }
  }
  return undefined;
}

function leafFault(leaf: Certificate): string | undefined {
  if (leaf.isCa) return "The signer's certificate is a certificate authority's.";
  const { keyUsage } = leaf;
  if (keyUsage === null) return "The signer's certificate has no key usage.";
  if (leaf.extensions.get(OID_KEY_USAGE)?.critical !== true) {
    return "The key usage of the signer's certificate is not critical.";
  }
  if (!keyUsage.has("digitalSignature")) return "The signer's certificate is not for digital signatures.";
  const usage = FORBIDDEN_USAGES.find((forbidden) => keyUsage.has(forbidden));
  if (usage !== undefined) return `The signer's certificate is for more than digital signatures: ${usage}.`;
  const purpose = leaf.extendedKeyUsage?.find((oid) => FORBIDDEN_PURPOSES.includes(oid));
  if (purpose !== undefined) return `The signer's certificate is for another purpose (${purpose}).`;
  return undefined;
}

function firstFault(authorities: readonly Certificate[]): string | undefined {
  for (const [below, certificate] of authorities.entries()) {
    const fault = authorityFault(certificate, below);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

/** `below` is the number of authorities between this one and the signer. */
function authorityFault(certificate: Certificate, below: number): string | undefined {
  const who = `The certificate of ${certificate.subjectText}`;
  if (!certificate.isCa) return `${who} is no certificate authority's.`;
  if (certificate.extensions.get(OID_BASIC_CONSTRAINTS)?.critical !== true) {
    return `${who} has basic constraints that are not critical.`;
  }
  if (certificate.pathLength !== null && certificate.pathLength < below) {
    return `${who} allows ${certificate.pathLength} authorities below it, and there are ${below}.`;
  }
  if (certificate.keyUsage === null || certificate.extensions.get(OID_KEY_USAGE)?.critical !== true) {
    return `${who} has no critical key usage.`;
  }
  if (!certificate.keyUsage.has("keyCertSign")) return `${who} is not for signing certificates.`;
  return undefined;
}

/** Names and signature; SHA-1 signatures are no scheme that could be asked about. */
async function isIssuedBy(crypto: Crypto, certificate: Certificate, issuer: Certificate): Promise<boolean> {
  const { signatureAlgorithm } = certificate;
  if (!equalBytes(certificate.issuer, issuer.subject) || signatureAlgorithm.kind !== "scheme") return false;
  return crypto.verifyAs(issuer.publicKey, signatureAlgorithm.scheme, certificate.signature, certificate.tbs);
}
