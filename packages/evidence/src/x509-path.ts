/** Whether a chain of certificates, whose signatures are good, entitles its leaf: RFC 5280 §6.1.3 to §6.1.5, in that order for each rule. */
import type { Step } from "./verdict.ts";
import { type Certificate, isSelfIssued } from "./x509.ts";
import { constrainedName } from "./x509-constraints.ts";
import {
  OID_AUTHORITY_KEY_ID,
  OID_BASIC_CONSTRAINTS,
  OID_CERTIFICATE_POLICIES,
  OID_EXTENDED_KEY_USAGE,
  OID_KEY_USAGE,
  OID_NAME_CONSTRAINTS,
  OID_SUBJECT_ALT_NAME,
  OID_SUBJECT_KEY_ID,
} from "./x509-extensions.ts";

/**
 * What the leaf was used for:
 * - "code-signing": it must name that usage, and so must each issuer that names any (fulcio: docs/certificate-specification.md).
 * - "timestamping": it must name that usage alone and critically (RFC 3161 §2.3), and each issuer that names any must name it.
 * - "any": a signature; extended key usage is not asked for.
 */
export type ChainPurpose = "code-signing" | "timestamping" | "any";

export type ChainRefusal = {
  readonly code: "chain-untrusted" | "certificate-expired" | "certificate-invalid" | "weak-algorithm";
  readonly message: string;
};

export const EKU_CODE_SIGNING = "1.3.6.1.5.5.7.3.3";
export const EKU_TIMESTAMPING = "1.3.6.1.5.5.7.3.8";
const EKU_ANY = "2.5.29.37.0";

/**
 * Extensions that are evaluated here or need no evaluating: key identifiers are hints, and policies (RFC 5280 §4.2.1.4) restrict only whoever
 * asks for one, which nobody here does. An issuer that demands that one be asked for (policyConstraints, critical) is refused.
 */
const UNDERSTOOD: ReadonlySet<string> = new Set([
  OID_KEY_USAGE,
  OID_EXTENDED_KEY_USAGE,
  OID_BASIC_CONSTRAINTS,
  OID_SUBJECT_ALT_NAME,
  OID_NAME_CONSTRAINTS,
  OID_SUBJECT_KEY_ID,
  OID_AUTHORITY_KEY_ID,
  OID_CERTIFICATE_POLICIES,
]);

type Rule = {
  readonly check: string;
  readonly passed: string;
  /** Undefined when the rule holds. */
  readonly fails: () => ChainRefusal | undefined;
};

/** Judges a path: leaf first, anchor last, at least two. The steps end with the rule that failed, if one did. */
export function judgePath(
  path: readonly Certificate[],
  time: number,
  purpose: ChainPurpose,
): { readonly refusal: ChainRefusal | undefined; readonly steps: readonly Step[] } {
  const [leaf, ...issuers] = path;
  if (leaf === undefined || issuers.length === 0) {
    return { refusal: { code: "chain-untrusted", message: "A certificate cannot vouch for itself." }, steps: [] };
  }
  const rules: readonly Rule[] = [
    {
      check: "certificate-validity",
      passed: "Every certificate of the chain was valid then.",
      fails: () => first(path, (one) => outsideValidity(one, time), "certificate-expired"),
    },
    {
      check: "certificate-authorities",
      passed: "Every issuer may issue certificates, and no path is longer than its issuer allows.",
      fails: () => first(issuers, (one, i) => noAuthority(one, path.slice(1, i + 1)), "certificate-invalid"),
    },
    {
      check: "certificate-extensions",
      passed: "Every critical extension is understood.",
      fails: () => first(path, unknownCritical, "certificate-invalid"),
    },
    {
      check: "certificate-names",
      passed: "No issuer is barred from the names below it.",
      fails: () => first(issuers, (one, i) => barredName(one, path.slice(0, i + 1)), "certificate-invalid"),
    },
    {
      check: "certificate-usage",
      passed: `The certificate is for what it was used for (${purpose}).`,
      fails: () =>
        first([leaf], (one) => wrongLeaf(one, purpose), "certificate-invalid") ??
        first(issuers, (one) => wrongIssuerUsage(one, purpose), "certificate-invalid"),
    },
  ];
  const steps: Step[] = [];
  for (const { check, passed, fails } of rules) {
    const refusal = fails();
    steps.push({
      check,
      outcome: refusal === undefined ? "passed" : "failed",
      detail: refusal === undefined ? passed : refusal.message,
    });
    if (refusal !== undefined) return { refusal, steps };
  }
  return { refusal: undefined, steps };
}

/** The first certificate against which there is something to say. */
function first(
  certificates: readonly Certificate[],
  objection: (certificate: Certificate, index: number) => string | undefined,
  code: ChainRefusal["code"],
): ChainRefusal | undefined {
  for (const [index, certificate] of certificates.entries()) {
    const what = objection(certificate, index);
    if (what === undefined) continue;
    const name = certificate.subjectText !== "" ? certificate.subjectText : `serial ${certificate.serial}`;
    return { code, message: `The certificate of ${JSON.stringify(name)} ${what}.` };
  }
  return undefined;
}

function outsideValidity({ notBefore, notAfter }: Certificate, time: number): string | undefined {
  // Said positively, so that what is no number is within no validity.
  if (notBefore <= time && time <= notAfter) return undefined;
  if (time < notBefore) return `is valid only from ${new Date(notBefore).toISOString()}`;
  return `was valid only until ${new Date(notAfter).toISOString()}`;
}

/** `below` are the issuers between the leaf and this one. */
function noAuthority(issuer: Certificate, below: readonly Certificate[]): string | undefined {
  if (!issuer.isCa) return "is no certificate authority's";
  if (issuer.keyUsage !== null && !issuer.keyUsage.has("keyCertSign")) return "may not be used to issue certificates";
  const counted = below.filter((one) => !isSelfIssued(one)).length;
  if (issuer.pathLength !== null && counted > issuer.pathLength)
    return `allows ${issuer.pathLength} issuers below it, and there are ${counted}`;
  return undefined;
}

function unknownCritical({ extensions }: Certificate): string | undefined {
  for (const [oid, { critical }] of extensions) {
    if (critical && !UNDERSTOOD.has(oid)) return `has the critical extension ${oid}, which is not understood here`;
  }
  return undefined;
}

/** `below` are all certificates under this issuer, the leaf first. */
function barredName({ nameConstraints }: Certificate, below: readonly Certificate[]): string | undefined {
  if (nameConstraints === null) return undefined;
  for (const [index, certificate] of below.entries()) {
    // RFC 5280 §6.1.3 (b): an authority's own successor is exempt, so that keys can be rolled over.
    if (index > 0 && isSelfIssued(certificate)) continue;
    const name = constrainedName(nameConstraints, certificate);
    if (name !== undefined) return `may not vouch for names below it: there is ${name}`;
  }
  return undefined;
}

function wrongLeaf(leaf: Certificate, purpose: ChainPurpose): string | undefined {
  const { keyUsage, extendedKeyUsage } = leaf;
  if (leaf.isCa) return "is a certificate authority's, and signs other things than certificates";
  if (keyUsage !== null && !keyUsage.has("digitalSignature") && !keyUsage.has("contentCommitment"))
    return "may not be used for signatures";
  if (purpose === "code-signing") {
    if (keyUsage !== null && !keyUsage.has("digitalSignature")) return "may not be used for digital signatures";
    if (extendedKeyUsage === null || !extendedKeyUsage.includes(EKU_CODE_SIGNING)) return "is not for code signing";
  }
  if (purpose === "timestamping") {
    const alone = extendedKeyUsage?.length === 1 && extendedKeyUsage[0] === EKU_TIMESTAMPING;
    if (!alone || leaf.extensions.get(OID_EXTENDED_KEY_USAGE)?.critical !== true)
      return "is not for timestamping alone, by a critical extension";
  }
  return undefined;
}

/** An issuer that names usages passes on none but those. */
function wrongIssuerUsage({ extendedKeyUsage }: Certificate, purpose: ChainPurpose): string | undefined {
  if (purpose === "any" || extendedKeyUsage === null || extendedKeyUsage.includes(EKU_ANY)) return undefined;
  const wanted = purpose === "code-signing" ? EKU_CODE_SIGNING : EKU_TIMESTAMPING;
  return extendedKeyUsage.includes(wanted) ? undefined : `may not issue certificates for ${purpose}`;
}
