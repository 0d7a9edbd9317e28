/** A virtual timestamp authority: tokens in any shape, good or damaged in a named way. That good ones are good is said by openssl (interop). */
import { createHash } from "node:crypto";
import { derValue, contextTag, TAG_INTEGER, TAG_NULL, TAG_SET } from "../src/der.ts";
import { toHex, utf8Encode } from "../src/index.ts";
import { parseCertificate } from "../src/x509.ts";
import {
  basicConstraints,
  CA_USAGE,
  DAY,
  extendedKeyUsage,
  type Holder,
  integer,
  issue,
  NOW,
  octets,
  oid,
  SIGNING_USAGE,
  sequence,
  signWith,
  type Terms,
  text,
  TIMESTAMPING,
} from "./virtual-ca.ts";
import { keyOf } from "./virtual.ts";

export type Hash = "sha1" | "sha256" | "sha384" | "sha512";
const HASH_OIDS: Readonly<Record<Hash, string>> = {
  sha1: "1.3.14.3.2.26",
  sha256: "2.16.840.1.101.3.4.2.1",
  sha384: "2.16.840.1.101.3.4.2.2",
  sha512: "2.16.840.1.101.3.4.2.3",
};

export const digest = (hash: Hash, data: Uint8Array): Uint8Array =>
  Uint8Array.from(createHash(hash).update(data).digest());
export const hashAlgorithm = (hash: Hash): Uint8Array => sequence(oid(HASH_OIDS[hash]), derValue(TAG_NULL));
export const attributeOf = (type: string, ...values: Uint8Array[]): Uint8Array =>
  sequence(oid(type), derValue(TAG_SET, ...values));

export const OID_CONTENT_TYPE = "1.2.840.113549.1.9.3";
export const OID_MESSAGE_DIGEST = "1.2.840.113549.1.9.4";
export const OID_CERTIFICATE_V1 = "1.2.840.113549.1.9.16.2.12";
export const OID_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47";
export const OID_TST_INFO = "1.2.840.113549.1.9.16.1.4";

/** Root and certificate of the authority; each may be made otherwise. */
export function timestampChain(changes: { root?: Partial<Terms>; leaf?: Partial<Terms> } = {}): {
  root: Holder;
  leaf: Holder;
} {
  const root = issue({
    name: ["O=Acme", "CN=TSA Root"],
    extensions: [basicConstraints(true), CA_USAGE],
    notBefore: NOW - 3_000 * DAY,
    notAfter: NOW + 3_000 * DAY,
    ...changes.root,
  });
  const leaf = issue({
    name: ["O=Acme", "CN=TSA"],
    key: keyOf("tsa leaf"),
    issuer: root,
    extensions: [basicConstraints(false), SIGNING_USAGE, extendedKeyUsage([TIMESTAMPING], true)],
    ...changes.leaf,
  });
  return { root, leaf };
}

type Change = (fields: Uint8Array[]) => Uint8Array[];
export type StampTerms = {
  readonly signer: Holder;
  readonly message: Uint8Array;
  readonly time?: number;
  readonly hash?: Hash;
  /** Hash of attributes and signature. */
  readonly signingHash?: "sha256" | "sha384" | "sha512";
  /** GeneralizedTime as text instead of `time`. */
  readonly timeText?: string;
  /** What is signed and carried instead of a TSTInfo. */
  readonly content?: Uint8Array;
  readonly contentType?: string;
  readonly certificates?: readonly Holder[];
  /** The ESSCertIDv2 attribute's value, or what stands in its place. */
  readonly certificateId?: Uint8Array;
  readonly info?: Change;
  /** Before they are sorted and signed. */
  readonly attributes?: Change;
  readonly keepOrder?: boolean;
  readonly signerId?: Uint8Array;
  readonly signerVersion?: number;
  readonly signerInfo?: Change;
  readonly signedData?: Change;
};

/** ESSCertIDv2 over SHA-256, which is the default and not written. */
export function certificateIdV2(holder: Holder, hash: Hash = "sha256"): Uint8Array {
  const { issuer, serial } = issuerAndSerial(holder);
  const names = sequence(derValue(contextTag(4, true), issuer));
  const algorithm = hash === "sha256" ? [] : [hashAlgorithm(hash)];
  return sequence(sequence(sequence(...algorithm, octets(digest(hash, holder.der)), sequence(names, serial))));
}

export function issuerAndSerial(holder: Holder): { issuer: Uint8Array; serial: Uint8Array } {
  const { issuer, serial } = parseCertificate(holder.der);
  return { issuer, serial: derValue(TAG_INTEGER, Uint8Array.from(Buffer.from(serial, "hex"))) };
}

/** A TimeStampToken. */
export function token(terms: StampTerms): Uint8Array {
  const { signer, hash = "sha256", signingHash = "sha256", time = NOW } = terms;
  const change = (how: Change | undefined, fields: Uint8Array[]): Uint8Array[] => how?.(fields) ?? fields;
  const timeText = terms.timeText ?? `${new Date(time).toISOString().replaceAll(/[-:T]|\.\d+Z/g, "")}Z`;
  const info = [
    integer(1),
    oid("1.2.3.4.1"),
    sequence(hashAlgorithm(hash), octets(digest(hash, terms.message))),
    integer(7),
    text(0x18, timeText),
    sequence(integer(1), derValue(contextTag(0, false), Uint8Array.of(1, 0xf4))),
  ];
  const content = terms.content ?? sequence(...change(terms.info, info));
  const contentType = terms.contentType ?? OID_TST_INFO;
  const attributes = change(terms.attributes, [
    attributeOf(OID_CONTENT_TYPE, oid(contentType)),
    attributeOf(OID_MESSAGE_DIGEST, octets(digest(signingHash, content))),
    attributeOf(OID_CERTIFICATE_V2, terms.certificateId ?? certificateIdV2(signer)),
  ]);
  if (terms.keepOrder !== true) attributes.sort((a, b) => (toHex(a) < toHex(b) ? -1 : 1));
  const signature = signWith(signer.key, signingHash, derValue(TAG_SET, ...attributes));
  const { issuer, serial } = issuerAndSerial(signer);
  const algorithms = { sha256: "1.2.840.10045.4.3.2", sha384: "1.2.840.10045.4.3.3", sha512: "1.2.840.10045.4.3.4" };
  const signerInfo = change(terms.signerInfo, [
    integer(terms.signerVersion ?? 1),
    terms.signerId ?? sequence(issuer, serial),
    hashAlgorithm(signingHash),
    derValue(contextTag(0, true), ...attributes),
    sequence(oid(algorithms[signingHash])),
    octets(signature),
  ]);
  const certificates = (terms.certificates ?? [signer]).map(({ der }) => der);
  const signedData = change(terms.signedData, [
    integer(3),
    derValue(TAG_SET, hashAlgorithm(signingHash)),
    sequence(oid(contentType), derValue(contextTag(0, true), octets(content))),
    ...(certificates.length === 0 ? [] : [derValue(contextTag(0, true), ...certificates)]),
    derValue(TAG_SET, sequence(...signerInfo)),
  ]);
  return sequence(oid("1.2.840.113549.1.7.2"), derValue(contextTag(0, true), sequence(...signedData)));
}

/** A TimeStampResp with this status around a token. */
export function response(status: number, ...tokens: Uint8Array[]): Uint8Array {
  return sequence(sequence(integer(status), sequence(text(0x0c, "as asked"))), ...tokens);
}

export const bytesOf = (value: string): Uint8Array => utf8Encode(value);
