/** The algorithm that an X.509 or CMS AlgorithmIdentifier names for a signature. */
import { oidText, smallNumber } from "./asn1.ts";
import { contextTag, DerReader, derValue, TAG_NULL, TAG_OID, TAG_SEQUENCE } from "./der.ts";
import { equalBytes } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import type { HashName, SignatureScheme } from "./scheme.ts";

/** What an AlgorithmIdentifier says: a scheme that can be verified, or why not. */
export type NamedAlgorithm =
  | { readonly kind: "scheme"; readonly oid: string; readonly scheme: SignatureScheme }
  /** Broken: rests on MD2, MD4, MD5 or SHA-1. */
  | { readonly kind: "weak"; readonly oid: string }
  | { readonly kind: "unsupported"; readonly oid: string };

/** RFC 5758 §3.2, RFC 8017 Appendix C, RFC 8410 §3: whether the parameters are NULL or absent. */
const SCHEMES: Readonly<Record<string, { scheme: SignatureScheme; parameters: "null" | "absent" }>> = {
  "1.2.840.10045.4.3.2": { scheme: "ecdsa-sha256", parameters: "absent" },
  "1.2.840.10045.4.3.3": { scheme: "ecdsa-sha384", parameters: "absent" },
  "1.2.840.10045.4.3.4": { scheme: "ecdsa-sha512", parameters: "absent" },
  "1.2.840.113549.1.1.11": { scheme: "rsa-pkcs1-sha256", parameters: "null" },
  "1.2.840.113549.1.1.12": { scheme: "rsa-pkcs1-sha384", parameters: "null" },
  "1.2.840.113549.1.1.13": { scheme: "rsa-pkcs1-sha512", parameters: "null" },
  "1.3.101.112": { scheme: "ed25519", parameters: "absent" },
};

/** md2, md4, md5 and sha1 with RSA (two of them in OIW's names too), sha1 with ECDSA and DSA. */
const WEAK: ReadonlySet<string> = new Set([
  "1.2.840.113549.1.1.2",
  "1.2.840.113549.1.1.3",
  "1.2.840.113549.1.1.4",
  "1.2.840.113549.1.1.5",
  "1.3.14.3.2.3",
  "1.3.14.3.2.29",
  "1.2.840.10045.4.1",
  "1.2.840.10040.4.3",
]);

const RSA_PSS = "1.2.840.113549.1.1.10";
const SHA1 = "1.3.14.3.2.26";
const MGF1 = "1.2.840.113549.1.1.8";
const HASHES: Readonly<Record<string, HashName>> = {
  "2.16.840.1.101.3.4.2.1": "sha256",
  "2.16.840.1.101.3.4.2.2": "sha384",
  "2.16.840.1.101.3.4.2.3": "sha512",
};
const HASH_BYTES: Readonly<Record<HashName, number>> = { sha256: 32, sha384: 48, sha512: 64 };
const EMPTY_NULL = derValue(TAG_NULL);

/** The hash that an AlgorithmIdentifier names (RFC 5754 §2); undefined for others. Throws `der-invalid`. */
export function readHashAlgorithm(encoded: Uint8Array): { oid: string; hash: HashName | undefined } {
  const { oid, parameters } = readIdentifier(encoded);
  const empty = parameters === undefined || equalBytes(parameters, EMPTY_NULL);
  return { oid, hash: empty && Object.hasOwn(HASHES, oid) ? HASHES[oid] : undefined };
}

/** Reads an AlgorithmIdentifier (RFC 5280 §4.1.1.2), given with its SEQUENCE tag. Throws `der-invalid`. */
export function readSignatureAlgorithm(encoded: Uint8Array): NamedAlgorithm {
  const { oid, parameters } = readIdentifier(encoded);
  if (WEAK.has(oid)) return { kind: "weak", oid };
  if (oid === RSA_PSS) return readPss(oid, parameters);
  const known = Object.hasOwn(SCHEMES, oid) ? SCHEMES[oid] : undefined;
  if (known === undefined) return { kind: "unsupported", oid };
  const fits =
    known.parameters === "null"
      ? parameters !== undefined && equalBytes(parameters, EMPTY_NULL)
      : parameters === undefined;
  return fits ? { kind: "scheme", oid, scheme: known.scheme } : { kind: "unsupported", oid };
}

/** RSASSA-PSS-params of RFC 4055 §3.1. Their defaults are SHA-1: whatever is left out is weak. */
function readPss(oid: string, parameters: Uint8Array | undefined): NamedAlgorithm {
  const weak = { kind: "weak", oid } as const;
  const unsupported = { kind: "unsupported", oid } as const;
  if (parameters === undefined) return unsupported;
  const outer = new DerReader(parameters);
  const body = outer.sequence();
  outer.end();
  const hashField = body.optional(contextTag(0, true));
  const maskField = body.optional(contextTag(1, true));
  const saltField = body.optionalSequence(contextTag(2, true));
  const trailerField = body.optionalSequence(contextTag(3, true));
  body.end();
  if (hashField === undefined || maskField === undefined) return weak;

  const { oid: hashOid, hash } = readHashAlgorithm(hashField);
  if (hashOid === SHA1) return weak;
  const mask = readIdentifier(maskField);
  if (hash === undefined || mask.oid !== MGF1 || mask.parameters === undefined) return unsupported;
  const saltBytes = saltField === undefined ? 20 : smallNumber(saltField.readUnsigned());
  saltField?.end();
  const trailer = trailerField === undefined ? 1 : smallNumber(trailerField.readUnsigned());
  trailerField?.end();
  // One hash for both, a salt as long as it: what the scheme of this name means everywhere in this package.
  if (readHashAlgorithm(mask.parameters).hash !== hash || saltBytes !== HASH_BYTES[hash] || trailer !== 1)
    return unsupported;
  return { kind: "scheme", oid, scheme: `rsa-pss-${hash}` };
}

function readIdentifier(encoded: Uint8Array): { oid: string; parameters: Uint8Array | undefined } {
  const outer = new DerReader(encoded);
  const body = outer.sequence(TAG_SEQUENCE);
  outer.end();
  const oid = oidText(body.read(TAG_OID));
  const parameters = body.done ? undefined : body.next().encoded;
  if (!body.done) throw new EvidenceError("der-invalid", "DER: an algorithm has more than one parameter.");
  return { oid, parameters };
}
