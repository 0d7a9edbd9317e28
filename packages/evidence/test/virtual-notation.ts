/** Notary Project signatures in any shape, good or damaged in a named way, in both envelope formats. */
import { constants, createPrivateKey, sign as nodeSign } from "node:crypto";
import type { PrivateKey } from "../node/index.ts";
import { concatBytes, toBase64, utf8Encode } from "../src/index.ts";
import {
  basicConstraints,
  CA_USAGE,
  CODE_SIGNING,
  DAY,
  extendedKeyUsage,
  type Holder,
  issue,
  keyUsage,
  NOW,
  SIGNING_USAGE,
  type Terms,
} from "./virtual-ca.ts";
import { keyOf } from "./virtual.ts";

export const SCHEME = "io.cncf.notary.signingScheme";
export const SIGNING_TIME = "io.cncf.notary.signingTime";
export const AUTHENTIC_TIME = "io.cncf.notary.authenticSigningTime";
export const EXPIRY = "io.cncf.notary.expiry";
export const TIMESTAMP = "io.cncf.notary.timestampSignature";
export const AGENT = "io.cncf.notary.signingAgent";
export const PAYLOAD_TYPE = "application/vnd.cncf.notary.payload.v1+json";

/** A time, which the two formats write differently. */
export class Moment {
  readonly ms: number;
  constructor(ms: number) {
    this.ms = ms;
  }
}
/** A tagged value in a header. */
export class Tagged {
  readonly tag: number;
  readonly value: HeaderValue;
  constructor(tag: number, value: HeaderValue) {
    this.tag = tag;
    this.value = value;
  }
}
/** A number that is written as floating point. */
export class Float {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}
/** A CBOR map, in order and also with repeated keys. */
export class MapOf {
  readonly headers: Headers;
  constructor(headers: Headers) {
    this.headers = headers;
  }
}
export type HeaderValue =
  | string
  | number
  | boolean
  | null
  | Uint8Array
  | Moment
  | Tagged
  | Float
  | MapOf
  | readonly HeaderValue[]
  | { readonly [key: string]: HeaderValue };
/** Header parameters in order; a number is a label of COSE, and a name may stand there twice. */
export type Headers = (readonly [string | number, HeaderValue])[];

export type Chain = { readonly leaf: Holder; readonly issuers: readonly Holder[] };

/** Root and leaf fit to sign by the specification; each may be made otherwise. Valid around the tests' NOW and around `around`. */
export function signingChain(changes: { root?: Partial<Terms>; leaf?: Partial<Terms>; key?: PrivateKey } = {}): Chain {
  const root = issue({
    name: ["C=DE", "ST=Berlin", "O=Acme", "CN=Notary Root"],
    extensions: [basicConstraints(true), CA_USAGE],
    notBefore: NOW - 3_000 * DAY,
    notAfter: NOW + 3_000 * DAY,
    ...changes.root,
  });
  const leaf = issue({
    name: ["C=DE", "ST=Berlin", "O=Acme", "CN=Notary Signer"],
    key: changes.key ?? keyOf("notary leaf"),
    issuer: root,
    extensions: [basicConstraints(false), SIGNING_USAGE, extendedKeyUsage([CODE_SIGNING])],
    notBefore: NOW - 1_000 * DAY,
    notAfter: NOW + 1_000 * DAY,
    ...changes.leaf,
  });
  return { leaf, issuers: [root] };
}

export { basicConstraints, CA_USAGE, CODE_SIGNING, extendedKeyUsage, keyUsage, SIGNING_USAGE };

const JOSE: Readonly<Record<string, string>> = {
  "ecdsa-p256-sha256": "ES256",
  "ecdsa-p384-sha384": "ES384",
  "ecdsa-p521-sha512": "ES512",
  "rsa-pkcs1-sha256": "PS384", // the generator makes 3072 bits
};
export const COSE_ALGORITHMS: Readonly<Record<string, number>> = {
  PS256: -37,
  PS384: -38,
  PS512: -39,
  ES256: -7,
  ES384: -35,
  ES512: -36,
};

export type SignTerms = {
  readonly chain: Chain;
  /** The payload's JSON, or its bytes. */
  readonly payload: unknown;
  readonly signingTime?: number;
  readonly algorithm?: string;
  /** Changes the protected headers before they are signed. */
  readonly protect?: (headers: Headers) => Headers;
  /** Changes the unprotected ones. */
  readonly unprotect?: (headers: Headers) => Headers;
  /** Changes the signature as the format writes it. */
  readonly alterSignature?: (signature: Uint8Array) => Uint8Array;
  readonly expiry?: number;
  readonly byAuthority?: boolean;
  /** Makes a timestamp over the signature. */
  readonly stamp?: (signature: Uint8Array) => Uint8Array;
};

/** What the two formats sign, in their common order. `algorithm` is the JOSE name. */
function commonHeaders(terms: SignTerms): Headers {
  const time = terms.byAuthority === true ? AUTHENTIC_TIME : SIGNING_TIME;
  const headers: Headers = [
    [SCHEME, terms.byAuthority === true ? "notary.x509.signingAuthority" : "notary.x509"],
    [time, new Moment(terms.signingTime ?? NOW)],
  ];
  if (terms.expiry !== undefined) headers.push([EXPIRY, new Moment(terms.expiry)]);
  return headers;
}

function criticalOf(terms: SignTerms): string[] {
  return [
    SCHEME,
    ...(terms.byAuthority === true ? [AUTHENTIC_TIME] : []),
    ...(terms.expiry === undefined ? [] : [EXPIRY]),
  ];
}

function payloadBytes({ payload }: SignTerms): Uint8Array {
  return payload instanceof Uint8Array ? payload : utf8Encode(JSON.stringify(payload));
}

function algorithmOf({ algorithm, chain }: SignTerms): string {
  return algorithm ?? JOSE[chain.leaf.key.algorithm] ?? "";
}

function rawSignature(terms: SignTerms, data: Uint8Array): Uint8Array {
  const hash = `sha${algorithmOf(terms).slice(2)}`;
  const key = createPrivateKey(terms.chain.leaf.key.toPem());
  const how =
    key.asymmetricKeyType === "rsa"
      ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
      : { dsaEncoding: "ieee-p1363" as const };
  const signature = Uint8Array.from(nodeSign(hash, data, { key, ...how }));
  return terms.alterSignature?.(signature) ?? signature;
}

export const base64Url = (bytes: Uint8Array): string =>
  toBase64(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

/** A JWS envelope. */
export function signJws(terms: SignTerms): Uint8Array {
  const headers: Headers = [
    ["alg", algorithmOf(terms)],
    ["crit", criticalOf(terms)],
    ["cty", PAYLOAD_TYPE],
    ...commonHeaders(terms),
  ];
  const protectedText = base64Url(utf8Encode(jsonText(terms.protect?.(headers) ?? headers)));
  const payloadText = base64Url(payloadBytes(terms));
  const signature = rawSignature(terms, utf8Encode(`${protectedText}.${payloadText}`));
  const { leaf, issuers } = terms.chain;
  const unprotected: Headers = [
    ...(terms.stamp === undefined ? [] : [[TIMESTAMP, terms.stamp(signature)] as const]),
    ["x5c", [leaf, ...issuers].map(({ der }) => der)],
    [AGENT, "virtual/1.0.0"],
  ];
  return utf8Encode(
    jsonText([
      ["payload", payloadText],
      ["protected", protectedText],
      ["header", new Raw(jsonText(terms.unprotect?.(unprotected) ?? unprotected))],
      ["signature", base64Url(signature)],
    ]),
  );
}

/** JSON that is already text. */
class Raw {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** A JSON object of these members in order, also of repeated ones. Bytes are base64, moments RFC 3339. */
function jsonText(headers: readonly (readonly [string | number, HeaderValue | Raw])[]): string {
  const text = (value: HeaderValue | Raw): string => {
    if (value instanceof Raw) return value.text;
    if (value instanceof Uint8Array) return JSON.stringify(toBase64(value));
    if (value instanceof Moment) return JSON.stringify(`${new Date(value.ms).toISOString().slice(0, 19)}Z`);
    if (value instanceof Tagged) return text(value.value);
    if (value instanceof Float) return String(value.value);
    if (value instanceof MapOf) return jsonText(value.headers);
    if (Array.isArray(value)) return `[${value.map(text).join(",")}]`;
    if (typeof value === "object" && value !== null) return jsonText(Object.entries(value));
    return JSON.stringify(value);
  };
  return `{${headers.map(([name, value]) => `${JSON.stringify(String(name))}:${text(value)}`).join(",")}}`;
}

/** A COSE envelope. `shape` changes its four parts, `tag` the tag around them. */
export function signCose(
  terms: SignTerms & { readonly shape?: (parts: HeaderValue[]) => HeaderValue[]; readonly tag?: number | null },
): Uint8Array {
  const headers: Headers = [
    [1, COSE_ALGORITHMS[algorithmOf(terms)] ?? 0],
    [2, criticalOf(terms)],
    [3, PAYLOAD_TYPE],
    ...commonHeaders(terms),
  ];
  const protectedBytes = cborMap(terms.protect?.(headers) ?? headers);
  const payload = payloadBytes(terms);
  const signature = rawSignature(terms, cbor(["Signature1", protectedBytes, new Uint8Array(0), payload]));
  const { leaf, issuers } = terms.chain;
  const unprotected: Headers = [
    [33, [leaf, ...issuers].map(({ der }) => der)],
    ...(terms.stamp === undefined ? [] : [[TIMESTAMP, terms.stamp(signature)] as const]),
    [AGENT, "virtual/1.0.0"],
  ];
  const parts: HeaderValue[] = [
    protectedBytes,
    new MapOf(terms.unprotect?.(unprotected) ?? unprotected),
    payload,
    signature,
  ];
  const shaped = terms.shape?.(parts) ?? parts;
  return cbor(terms.tag === null ? shaped : new Tagged(terms.tag ?? 18, shaped));
}

/** CBOR of a value; moments are tagged seconds. */
export function cbor(value: HeaderValue): Uint8Array {
  if (typeof value === "string") return withHead(3, utf8Encode(value));
  if (typeof value === "number") return value >= 0 ? head(0, value) : head(1, -1 - value);
  if (typeof value === "boolean") return Uint8Array.of(value ? 0xf5 : 0xf4);
  if (value === null) return Uint8Array.of(0xf6);
  if (value instanceof Uint8Array) return withHead(2, value);
  if (value instanceof Moment) return concatBytes(head(6, 1), cbor(Math.floor(value.ms / 1_000)));
  if (value instanceof Tagged) return concatBytes(head(6, value.tag), cbor(value.value));
  if (value instanceof Float) {
    const bytes = new Uint8Array(9);
    bytes[0] = 0xfb;
    new DataView(bytes.buffer).setFloat64(1, value.value);
    return bytes;
  }
  if (value instanceof MapOf) return cborMap(value.headers);
  if (Array.isArray(value)) return concatBytes(head(4, value.length), ...value.map(cbor));
  return cborMap(Object.entries(value));
}

function cborMap(headers: Headers): Uint8Array {
  return concatBytes(head(5, headers.length), ...headers.flatMap(([name, value]) => [cbor(name), cbor(value)]));
}

function withHead(major: number, contents: Uint8Array): Uint8Array {
  return concatBytes(head(major, contents.length), contents);
}

function head(major: number, argument: number): Uint8Array {
  const size = argument < 24 ? 0 : argument < 256 ? 1 : argument < 65_536 ? 2 : argument < 2 ** 32 ? 4 : 8;
  const bytes = [(major << 5) | (size === 0 ? argument : 23 + Math.log2(size) + 1)];
  for (let i = size - 1; i >= 0; i--) bytes.push(Number((BigInt(argument) >> BigInt(8 * i)) & 255n));
  return Uint8Array.from(bytes);
}

/** Headers with one changed, dropped or added. */
export const withHeader =
  (name: string | number, value: HeaderValue) =>
  (headers: Headers): Headers =>
    headers.some(([each]) => each === name)
      ? headers.map((header) => (header[0] === name ? ([name, value] as const) : header))
      : [...headers, [name, value]];
export const withoutHeader =
  (name: string | number) =>
  (headers: Headers): Headers =>
    headers.filter(([each]) => each !== name);
export const repeatedHeader =
  (name: string | number) =>
  (headers: Headers): Headers => [...headers, ...headers.filter(([each]) => each === name)];
