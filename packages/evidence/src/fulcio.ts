/** What Fulcio writes into a certificate about who asked for it (sigstore/fulcio: docs/oid-info.md). */
import { stringValue, TAG_UTF8_STRING } from "./asn1.ts";
import { DerReader } from "./der.ts";
import { utf8Decode } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";

/** The arc under which all of them lie: 1.3.6.1.4.1.57264.1. */
const ARC = "1.3.6.1.4.1.57264.1.";

/** Type of the otherName that carries a user name (fulcio: pkg/certificate; "user!domain"). */
export const FULCIO_USERNAME = `${ARC}7`;

/** 1 to 6: the text as raw bytes, without DER. Deprecated, and still written beside the newer ones. */
const RAW: readonly string[] = [
  "issuerV1",
  "githubWorkflowTrigger",
  "githubWorkflowSha",
  "githubWorkflowName",
  "githubWorkflowRepository",
  "githubWorkflowRef",
];

/** 8 to 24: a DER UTF8String. */
const TEXTS: readonly string[] = [
  "issuer",
  "buildSignerUri",
  "buildSignerDigest",
  "runnerEnvironment",
  "sourceRepositoryUri",
  "sourceRepositoryDigest",
  "sourceRepositoryRef",
  "sourceRepositoryIdentifier",
  "sourceRepositoryOwnerUri",
  "sourceRepositoryOwnerIdentifier",
  "buildConfigUri",
  "buildConfigDigest",
  "buildTrigger",
  "runInvocationUri",
  "sourceRepositoryVisibilityAtSigning",
  "deploymentEnvironment",
  "tokenSubject",
];

type Reading = { readonly name: string; readonly raw: boolean };
const NAMES: ReadonlyMap<string, Reading> = new Map([
  ...RAW.map((name, i): [string, Reading] => [`${ARC}${i + 1}`, { name, raw: true }]),
  ...TEXTS.map((name, i): [string, Reading] => [`${ARC}${i + 8}`, { name, raw: false }]),
]);

const VALUE_LENGTH = 4_096;

/** The claims by name. `issuer` is the OIDC issuer: of extension 8, or where it is missing of extension 1. */
export type FulcioClaims = Readonly<Record<string, string>> & { readonly issuer?: string };

/**
 * Reads Fulcio's extensions among those of a certificate, by dotted identifier. Certificates of before 2022 name their issuer in extension
 * 1 only; where both are there they must agree, because clients differ in which of them they read. Unknown numbers of the arc are left
 * out. Throws `certificate-invalid`, `der-invalid`, `encoding-invalid`.
 */
export function readFulcioClaims(extensions: ReadonlyMap<string, { readonly value: Uint8Array }>): FulcioClaims {
  const claims = Object.create(null) as Record<string, string>;
  for (const [oid, { value }] of extensions) {
    const known = NAMES.get(oid);
    if (known === undefined) continue;
    const text = known.raw ? utf8Decode(value) : utf8String(value);
    if (text.length > VALUE_LENGTH)
      throw new EvidenceError("certificate-invalid", `The certificate's ${known.name} is too long.`);
    claims[known.name] = text;
  }
  const { issuer, issuerV1 } = claims;
  if (issuer !== undefined && issuerV1 !== undefined && issuer !== issuerV1)
    throw new EvidenceError("certificate-invalid", "The certificate names two different OIDC issuers.");
  const named = issuer ?? issuerV1;
  if (named !== undefined) claims["issuer"] = named;
  return Object.freeze(claims);
}

function utf8String(value: Uint8Array): string {
  const reader = new DerReader(value);
  const text = stringValue(TAG_UTF8_STRING, reader.read(TAG_UTF8_STRING));
  reader.end();
  return text ?? "";
}
