/**
 * A virtual certificate authority: certificates in any shape, good or damaged in a named way, made value by value, because no library makes
 * the wrong ones. That the good ones are good is said by OpenSSL and Node, not by us: see x509-openssl.test.ts.
 */
import { constants, createPrivateKey, sign as nodeSign } from "node:crypto";
import type { PrivateKey } from "../node/index.ts";
import { type Authority, type Certificate, fromHex, parseCertificate, utf8Encode } from "../src/index.ts";
import {
  contextTag,
  DerReader,
  derValue,
  TAG_BIT_STRING,
  TAG_BOOLEAN,
  TAG_INTEGER,
  TAG_NULL,
  TAG_OCTET_STRING,
  TAG_OID,
  TAG_SEQUENCE,
  TAG_SET,
} from "../src/der.ts";
import { formatPem } from "../src/pem.ts";
import { keyOf } from "./virtual.ts";

export const DAY = 86_400_000;
/** When the tests' certificates are used. */
export const NOW = Date.parse("2026-06-01T12:00:00Z");

/** Contents of an OBJECT IDENTIFIER, from its dotted text. */
export function oidBytes(dotted: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const base128 = (arc: number): number[] => {
    const digits = [arc % 128];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) digits.unshift((left % 128) + 128);
    return digits;
  };
  return Uint8Array.from([first * 40 + second, ...rest].flatMap(base128));
}

export const sequence = (...values: Uint8Array[]): Uint8Array => derValue(TAG_SEQUENCE, ...values);
export const oid = (dotted: string): Uint8Array => derValue(TAG_OID, oidBytes(dotted));
export const octets = (...values: Uint8Array[]): Uint8Array => derValue(TAG_OCTET_STRING, ...values);
export const integer = (value: number): Uint8Array => derValue(TAG_INTEGER, Uint8Array.of(value));
export const bits = (value: Uint8Array): Uint8Array => derValue(TAG_BIT_STRING, Uint8Array.of(0), value);
export const text = (tag: number, value: string): Uint8Array => derValue(tag, utf8Encode(value));
export const TRUE = derValue(TAG_BOOLEAN, Uint8Array.of(0xff));

export const ATTRIBUTES: Readonly<Record<string, string>> = {
  CN: "2.5.4.3",
  O: "2.5.4.10",
  OU: "2.5.4.11",
  C: "2.5.4.6",
  L: "2.5.4.7",
  ST: "2.5.4.8",
  emailAddress: "1.2.840.113549.1.9.1",
};

/** A Name of attributes in order, each of its own: ["CN=Root"]. */
export function nameOf(parts: readonly string[], tag = 0x0c): Uint8Array {
  const attribute = (part: string): Uint8Array => {
    const [type = "", ...value] = part.split("=");
    return derValue(TAG_SET, sequence(oid(ATTRIBUTES[type] ?? type), text(tag, value.join("="))));
  };
  return sequence(...parts.map(attribute));
}

export function timeOf(ms: number): Uint8Array {
  const digits = new Date(ms).toISOString().replaceAll(/[-:T]|\.\d+/g, "");
  return Number(digits.slice(0, 4)) < 2050 ? text(0x17, digits.slice(2)) : text(0x18, digits);
}

export function extension(dotted: string, value: Uint8Array, critical = false): Uint8Array {
  return sequence(oid(dotted), ...(critical ? [TRUE] : []), octets(value));
}

export const basicConstraints = (isCa: boolean, pathLength?: number): Uint8Array =>
  extension(
    "2.5.29.19",
    sequence(...(isCa ? [TRUE] : []), ...(pathLength === undefined ? [] : [integer(pathLength)])),
    true,
  );
/** Bits by number; trailing zeros are left out as DER demands. */
export function keyUsage(...numbers: number[]): Uint8Array {
  const byte = numbers.reduce((value, n) => value | (0x80 >> n), 0);
  const unused = Math.min(7, 31 - Math.clz32(byte & -byte));
  return extension("2.5.29.15", derValue(TAG_BIT_STRING, Uint8Array.of(unused, byte)), true);
}
export const extendedKeyUsage = (usages: readonly string[], critical = false): Uint8Array =>
  extension("2.5.29.37", sequence(...usages.map(oid)), critical);
export const CODE_SIGNING = "1.3.6.1.5.5.7.3.3";
export const TIMESTAMPING = "1.3.6.1.5.5.7.3.8";
export const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
export const general = {
  email: (value: string): Uint8Array => text(contextTag(1, false), value),
  dns: (value: string): Uint8Array => text(contextTag(2, false), value),
  directory: (name: Uint8Array): Uint8Array => derValue(contextTag(4, true), name),
  uri: (value: string): Uint8Array => text(contextTag(6, false), value),
  ip: (...bytes: number[]): Uint8Array => derValue(contextTag(7, false), Uint8Array.from(bytes)),
  other: (type: string, value: Uint8Array): Uint8Array =>
    derValue(contextTag(0, true), oid(type), derValue(contextTag(0, true), value)),
};
export const alternativeNames = (...names: Uint8Array[]): Uint8Array =>
  extension("2.5.29.17", sequence(...names), true);
export function nameConstraints(permitted: readonly Uint8Array[], excluded: readonly Uint8Array[] = []): Uint8Array {
  const trees = (number: number, bases: readonly Uint8Array[]): Uint8Array[] =>
    bases.length === 0 ? [] : [derValue(contextTag(number, true), ...bases.map((base) => sequence(base)))];
  return extension("2.5.29.30", sequence(...trees(0, permitted), ...trees(1, excluded)), true);
}
export const subjectKeyId = (key: PrivateKey): Uint8Array =>
  extension("2.5.29.14", octets(fromHex(key.publicKey.keyId).subarray(0, 20)));
export const authorityKeyId = (key: PrivateKey): Uint8Array =>
  extension("2.5.29.35", sequence(derValue(contextTag(0, false), fromHex(key.publicKey.keyId).subarray(0, 20))));

/** What a certificate is signed with: name of a hash, "pss-" before it for RSA, or what is weak. */
export type Signing = "sha256" | "sha384" | "sha512" | "pss-sha256" | "pss-sha512" | "sha1";

const SIGNATURE_OIDS: Readonly<Record<string, string>> = {
  "ec sha1": "1.2.840.10045.4.1",
  "ec sha256": "1.2.840.10045.4.3.2",
  "ec sha384": "1.2.840.10045.4.3.3",
  "ec sha512": "1.2.840.10045.4.3.4",
  "rsa sha1": "1.2.840.113549.1.1.5",
  "rsa sha256": "1.2.840.113549.1.1.11",
  "rsa sha384": "1.2.840.113549.1.1.12",
  "rsa sha512": "1.2.840.113549.1.1.13",
};
const HASH_OIDS: Readonly<Record<string, string>> = {
  sha256: "2.16.840.1.101.3.4.2.1",
  sha512: "2.16.840.1.101.3.4.2.3",
};

export function algorithmOf(key: PrivateKey, signing: Signing): Uint8Array {
  const { kind } = key.publicKey.material;
  if (kind === "ed25519") return sequence(oid("1.3.101.112"));
  if (signing.startsWith("pss-")) {
    const hash = sequence(oid(HASH_OIDS[signing.slice(4)] ?? ""), derValue(TAG_NULL));
    const salt = signing === "pss-sha256" ? 32 : 64;
    return sequence(
      oid("1.2.840.113549.1.1.10"),
      sequence(
        derValue(contextTag(0, true), hash),
        derValue(contextTag(1, true), sequence(oid("1.2.840.113549.1.1.8"), hash)),
        derValue(contextTag(2, true), integer(salt)),
      ),
    );
  }
  const named = oid(SIGNATURE_OIDS[`${kind} ${signing}`] ?? "");
  return kind === "rsa" ? sequence(named, derValue(TAG_NULL)) : sequence(named);
}

export function signWith(key: PrivateKey, signing: Signing, data: Uint8Array): Uint8Array {
  const privateKey = createPrivateKey(key.toPem());
  if (key.algorithm === "ed25519") return Uint8Array.from(nodeSign(null, data, privateKey));
  if (!signing.startsWith("pss-")) return Uint8Array.from(nodeSign(signing, data, privateKey));
  const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
  return Uint8Array.from(nodeSign(signing.slice(4), data, { key: privateKey, ...pss }));
}

/** A holder: a name, a key, and a certificate over both. */
export type Holder = { readonly name: Uint8Array; readonly key: PrivateKey; readonly der: Uint8Array };

export type Terms = {
  readonly name: readonly string[];
  readonly key?: PrivateKey;
  /** Who signs; the holder itself if not given. */
  readonly issuer?: Holder;
  readonly extensions: readonly Uint8Array[];
  readonly notBefore?: number;
  readonly notAfter?: number;
  readonly signing?: Signing;
  /** Changes the fields of the TBSCertificate before it is signed. */
  readonly alter?: (fields: Uint8Array[]) => Uint8Array[];
};

let serials = 1;

export function issue(terms: Terms): Holder {
  const name = nameOf(terms.name);
  const key = terms.key ?? keyOf(`ca ${terms.name.join(",")}`);
  const signer = terms.issuer ?? { name, key };
  const signing = terms.signing ?? (signer.key.algorithm === "ecdsa-p384-sha384" ? "sha384" : "sha256");
  const algorithm = algorithmOf(signer.key, signing);
  const { extensions } = terms;
  serials++;
  const fields = [
    derValue(contextTag(0, true), integer(2)),
    derValue(TAG_INTEGER, Uint8Array.of(0x10, serials >> 8, serials & 255)),
    algorithm,
    signer.name,
    sequence(timeOf(terms.notBefore ?? NOW - 100 * DAY), timeOf(terms.notAfter ?? NOW + 100 * DAY)),
    name,
    key.publicKey.spki,
    ...(extensions.length === 0 ? [] : [derValue(contextTag(3, true), sequence(...extensions))]),
  ];
  const tbs = sequence(...(terms.alter?.(fields) ?? fields));
  return { name, key, der: signed(tbs, algorithm, signWith(signer.key, signing, tbs)) };
}

export function signed(tbs: Uint8Array, algorithm: Uint8Array, signature: Uint8Array): Uint8Array {
  return sequence(tbs, algorithm, bits(signature));
}

/** The same certificate over another TBSCertificate, signed anew by its issuer. */
export function resigned(certificate: Certificate, issuer: Holder, tbs: Uint8Array): Uint8Array {
  const outer = new DerReader(certificate.der).sequence();
  outer.next();
  return signed(tbs, outer.next().encoded, signWith(issuer.key, "sha256", tbs));
}

export const CA_USAGE = keyUsage(5, 6);
export const SIGNING_USAGE = keyUsage(0);

export function rootTerms(name = "Root", key: PrivateKey = keyOf(`ca O=Acme,CN=${name}`)): Terms {
  return {
    name: ["O=Acme", `CN=${name}`],
    key,
    extensions: [basicConstraints(true), CA_USAGE, subjectKeyId(key)],
    notBefore: NOW - 3_000 * DAY,
    notAfter: NOW + 3_000 * DAY,
  };
}

/** Root, intermediate for code signing, and a leaf like Fulcio's; each may be made otherwise. */
export function codeSigningChain(
  changes: { root?: Partial<Terms>; intermediate?: Partial<Terms>; leaf?: Partial<Terms> } = {},
) {
  const root = issue({ ...rootTerms("Root", changes.root?.key), ...changes.root });
  const key = changes.intermediate?.key ?? keyOf("ca O=Acme,CN=Intermediate");
  const intermediate = issue({
    name: ["O=Acme", "CN=Intermediate"],
    key,
    issuer: root,
    extensions: [
      basicConstraints(true, 0),
      CA_USAGE,
      extendedKeyUsage([CODE_SIGNING]),
      subjectKeyId(key),
      authorityKeyId(root.key),
    ],
    notBefore: NOW - 1_000 * DAY,
    notAfter: NOW + 1_000 * DAY,
    ...changes.intermediate,
  });
  const leaf = issue({
    name: [],
    key: keyOf("ca leaf"),
    issuer: intermediate,
    extensions: leafExtensions(intermediate.key),
    notBefore: NOW - 5 * 60_000,
    notAfter: NOW + 5 * 60_000,
    ...changes.leaf,
  });
  return { root, intermediate, leaf };
}

export const FULCIO = "1.3.6.1.4.1.57264.1.";

export function leafExtensions(issuer: PrivateKey): Uint8Array[] {
  return [
    SIGNING_USAGE,
    extendedKeyUsage([CODE_SIGNING]),
    subjectKeyId(keyOf("ca leaf")),
    authorityKeyId(issuer),
    alternativeNames(general.uri("https://example.com/acme/app/.ci/build.yml@refs/heads/main")),
    extension(`${FULCIO}1`, utf8Encode("https://issuer.example.com")),
    extension(`${FULCIO}8`, text(0x0c, "https://issuer.example.com")),
    extension(`${FULCIO}12`, text(0x0c, "https://example.com/acme/app")),
  ];
}

export function parsed(holder: Holder): Certificate {
  return parseCertificate(holder.der);
}

/** An authority of these holders, the issuing one first, the anchor last. */
export function authorityOf(...holders: Holder[]): Authority {
  return { certificates: holders.map(({ der }) => der), validFrom: null, validUntil: null, uri: "" };
}

export function pemOf(der: Uint8Array): string {
  return formatPem("CERTIFICATE", der);
}
