/**
 * Trust roots: the certificate authorities, timestamp authorities and logs that certificate identities rest on. Read from Sigstore's
 * trusted_root.json (sigstore/protobuf-specs: sigstore_trustroot.proto) or from PEM certificates, and kept in our own trust file.
 */
import { DerReader, derValue, TAG_BIT_STRING, TAG_NULL, TAG_OID, TAG_SEQUENCE } from "./der.ts";
import { equalBytes, fromHex, toBase64 } from "./encoding.ts";
import { EvidenceError, type EvidenceErrorCode } from "./errors.ts";
import { type JsonObject, type JsonValue, parseJson } from "./json.ts";
import { type PublicKey, parseSpki } from "./keys.ts";
import { LIMITS } from "./limits.ts";
import { Members } from "./members.ts";
import { type Certificate, isSelfIssued, parseCertificate, parseCertificatesPem } from "./x509.ts";

/** One authority: its chain, and the window in which what it vouches for counts. */
export type Authority = {
  /** DER, the issuing authority first, the anchor last; a timestamp authority's own certificate may stand before them. */
  readonly certificates: readonly Uint8Array[];
  /** First and last moment, both inclusive, in ms since 1970; null = unbounded. */
  readonly validFrom: number | null;
  readonly validUntil: number | null;
  readonly uri: string;
};

/** One log's key: of a transparency log, or of a certificate transparency log. */
export type LogKey = {
  readonly baseUrl: string;
  /** The host name of `baseUrl`, which is the log's name in its checkpoints; empty when there is none. */
  readonly origin: string;
  readonly publicKey: PublicKey;
  /** 32 bytes: SHA-256 of the key's SPKI, or for logs with note keys the hash whose first 4 bytes stand in their notes. */
  readonly logId: Uint8Array;
  /** First and last moment, both inclusive, in ms since 1970; null = unbounded. */
  readonly validFrom: number | null;
  readonly validUntil: number | null;
};

/**
 * - "sigstore": certificates live for minutes and name an OIDC issuer; logs that are listed are demanded.
 * - "x509": certificates of an organisation's own authorities.
 */
export type TrustRoot = {
  readonly name: string;
  readonly profile: "sigstore" | "x509";
  readonly certificateAuthorities: readonly Authority[];
  readonly timestampAuthorities: readonly Authority[];
  readonly tlogs: readonly LogKey[];
  readonly ctlogs: readonly LogKey[];
};

const MEDIA_TYPES: readonly string[] = [
  "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
  "application/vnd.dev.sigstore.trustedroot.v0.1+json",
  "application/vnd.dev.sigstore.trustedroot.v0.2+json",
];

const CODE = "trusted-root-invalid";

/**
 * Reads a Sigstore trusted root. Members that the format does not know are refused, and so are keys whose kind is not supported: a log
 * that is left out would silently no longer be demanded. Throws `trusted-root-invalid`, `too-large` and the errors of `parseJson`.
 */
export function parseTrustedRoot(bytes: Uint8Array, name: string): TrustRoot {
  const json = parseJson(bytes, { maxBytes: LIMITS.trustBytes, maxDepth: LIMITS.jsonDepth });
  const members = new Members(json, "trusted root", CODE);
  members.only(["mediaType", "tlogs", "ctlogs", "certificateAuthorities", "timestampAuthorities"]);
  if (!MEDIA_TYPES.includes(members.string("mediaType", LIMITS.typeLength)))
    throw members.wrong("mediaType", "is not supported");
  return {
    name,
    profile: "sigstore",
    certificateAuthorities: list(members, "certificateAuthorities", readSigstoreAuthority),
    timestampAuthorities: list(members, "timestampAuthorities", readSigstoreAuthority),
    tlogs: list(members, "tlogs", readSigstoreLog),
    ctlogs: list(members, "ctlogs", readSigstoreLog),
  };
}

/**
 * A root of an organisation's own authorities, from PEM texts. A text may hold several certificates: each that the one before it names as
 * its issuer continues that chain, any other begins another authority. All must be certificate authorities; `timestampPem` are those
 * of timestamp authorities. Throws `trusted-root-invalid`, `certificate-invalid`, `too-large`.
 */
export function x509Root(name: string, pem: readonly string[], timestampPem: readonly string[] = []): TrustRoot {
  const authorities = (texts: readonly string[]): Authority[] => texts.flatMap(pemAuthorities);
  const root: TrustRoot = {
    name,
    profile: "x509",
    certificateAuthorities: authorities(pem),
    timestampAuthorities: authorities(timestampPem),
    tlogs: [],
    ctlogs: [],
  };
  if (root.certificateAuthorities.length === 0 || root.certificateAuthorities.length > LIMITS.rootAuthorities)
    throw new EvidenceError(CODE, `A root has 1 to ${LIMITS.rootAuthorities} certificate authorities.`);
  return root;
}

/** The root as it stands in our trust file; what {@link readRoot} reads. */
export function rootJson(root: TrustRoot): JsonObject {
  const authority = ({ certificates, validFrom, validUntil, uri }: Authority): JsonValue => ({
    certificates: certificates.map(toBase64),
    validFrom,
    validUntil,
    uri,
  });
  const log = ({ baseUrl, publicKey, logId, validFrom, validUntil }: LogKey): JsonValue => ({
    baseUrl,
    publicKey: toBase64(publicKey.spki),
    logId: toBase64(logId),
    validFrom,
    validUntil,
  });
  return {
    name: root.name,
    profile: root.profile,
    certificateAuthorities: root.certificateAuthorities.map(authority),
    timestampAuthorities: root.timestampAuthorities.map(authority),
    tlogs: root.tlogs.map(log),
    ctlogs: root.ctlogs.map(log),
  };
}

/** Reads a root of our trust file and checks all of it. Throws the code that `members` was made with (`trust-invalid`), and `too-large`. */
export function readRoot(members: Members): TrustRoot {
  members.only(["name", "profile", "certificateAuthorities", "timestampAuthorities", "tlogs", "ctlogs"]);
  const name = members.string("name", LIMITS.typeLength);
  if (name === "") throw members.wrong("name", "is empty");
  const profile = members.string("profile", 16);
  if (profile !== "sigstore" && profile !== "x509") throw members.wrong("profile", "is not supported");
  return {
    name,
    profile,
    certificateAuthorities: members.objects("certificateAuthorities", LIMITS.rootAuthorities).map(readAuthority),
    timestampAuthorities: members.objects("timestampAuthorities", LIMITS.rootAuthorities).map(readAuthority),
    tlogs: members.objects("tlogs", LIMITS.rootAuthorities).map(readLog),
    ctlogs: members.objects("ctlogs", LIMITS.rootAuthorities).map(readLog),
  };
}

/** Whether a moment lies within a window whose ends count. */
export function isWithin(
  { validFrom, validUntil }: { readonly validFrom: number | null; readonly validUntil: number | null },
  time: number,
): boolean {
  return (validFrom === null || validFrom <= time) && (validUntil === null || time <= validUntil);
}

/** A list of Sigstore's file: protojson leaves empty ones out. */
function list<T>(members: Members, name: string, read: (element: Members) => T): T[] {
  return members.has(name) ? members.objects(name, LIMITS.rootAuthorities).map(read) : [];
}

function readAuthority(members: Members): Authority {
  members.only(["certificates", "validFrom", "validUntil", "uri"]);
  const certificates = members.byteStrings("certificates", LIMITS.chainLength, LIMITS.certificateBytes);
  if (certificates.length === 0) throw members.wrong("certificates", "is empty");
  for (const der of certificates) wrapped(members, "certificates", () => parseCertificate(der));
  return { certificates, ...readWindow(members), uri: members.string("uri", LIMITS.typeLength) };
}

function readLog(members: Members): LogKey {
  members.only(["baseUrl", "publicKey", "logId", "validFrom", "validUntil"]);
  const baseUrl = members.string("baseUrl", LIMITS.typeLength);
  const publicKey = wrapped(members, "publicKey", () => parseSpki(members.bytes("publicKey", LIMITS.spkiBytes)));
  return { baseUrl, origin: hostOf(baseUrl), publicKey, logId: readLogId(members, "logId"), ...readWindow(members) };
}

function readWindow(members: Members): { validFrom: number | null; validUntil: number | null } {
  return {
    validFrom: members.get("validFrom") === null ? null : members.count("validFrom"),
    validUntil: members.get("validUntil") === null ? null : members.count("validUntil"),
  };
}

function readSigstoreAuthority(members: Members): Authority {
  members.only(["subject", "uri", "certChain", "validFor", "operator"]);
  const chain = members.object("certChain").only(["certificates"]);
  const certificates = chain.objects("certificates", LIMITS.chainLength).map((certificate) => {
    const der = certificate.only(["rawBytes"]).bytes("rawBytes", LIMITS.certificateBytes);
    wrapped(certificate, "rawBytes", () => parseCertificate(der));
    return der;
  });
  if (certificates.length === 0) throw chain.wrong("certificates", "is empty");
  const window = members.has("validFor")
    ? readValidFor(members.object("validFor"))
    : { validFrom: null, validUntil: null };
  return { certificates, ...window, uri: members.optionalString("uri", LIMITS.typeLength) ?? "" };
}

function readSigstoreLog(members: Members): LogKey {
  members.only(["baseUrl", "hashAlgorithm", "publicKey", "logId", "checkpointKeyId", "operator"]);
  if (members.string("hashAlgorithm", 64) !== "SHA2_256") throw members.wrong("hashAlgorithm", "is not supported");
  const key = members.object("publicKey").only(["rawBytes", "keyDetails", "validFor"]);
  const publicKey = readDetailedKey(key);
  const window = readValidFor(key.object("validFor"));
  // A log without a beginning would vouch for times before it existed (protobuf-specs: TransparencyLogInstance.public_key).
  if (window.validFrom === null) throw key.wrong("validFor", "has no start");
  const logId = readLogId(members.object("logId").only(["keyId"]), "keyId");
  const baseUrl = members.optionalString("baseUrl", LIMITS.typeLength) ?? "";
  return { baseUrl, origin: hostOf(baseUrl), publicKey, logId, ...window };
}

/** What `keyDetails` may say of a key (sigstore_common.proto: PublicKeyDetails): its algorithm, and the bits of an RSA modulus if stated. */
const KEY_DETAILS: Readonly<Record<string, { algorithm: PublicKey["algorithm"]; bits?: number }>> = {
  PKIX_ECDSA_P256_SHA_256: { algorithm: "ecdsa-p256-sha256" },
  PKIX_ECDSA_P384_SHA_384: { algorithm: "ecdsa-p384-sha384" },
  PKIX_ECDSA_P521_SHA_512: { algorithm: "ecdsa-p521-sha512" },
  PKIX_ED25519: { algorithm: "ed25519" },
  PKIX_RSA_PKCS1V15_2048_SHA256: { algorithm: "rsa-pkcs1-sha256", bits: 2048 },
  PKIX_RSA_PKCS1V15_3072_SHA256: { algorithm: "rsa-pkcs1-sha256", bits: 3072 },
  PKIX_RSA_PKCS1V15_4096_SHA256: { algorithm: "rsa-pkcs1-sha256", bits: 4096 },
  PKIX_RSA_PKCS1V5: { algorithm: "rsa-pkcs1-sha256" },
  PKCS1_RSA_PKCS1V5: { algorithm: "rsa-pkcs1-sha256" },
};

function readDetailedKey(key: Members): PublicKey {
  const details = key.string("keyDetails", 64);
  const known = Object.hasOwn(KEY_DETAILS, details) ? KEY_DETAILS[details] : undefined;
  if (known === undefined) throw key.wrong("keyDetails", `${JSON.stringify(details)} is not supported`);
  const publicKey = wrapped(key, "rawBytes", () => {
    const raw = key.bytes("rawBytes", LIMITS.spkiBytes);
    // The name of before: Sigstore's staging instance still lists a bare RSA key (PKCS #1) under it.
    return parseSpki(details === "PKCS1_RSA_PKCS1V5" ? rsaSpki(raw) : raw);
  });
  const { material } = publicKey;
  const fits =
    publicKey.algorithm === known.algorithm &&
    (known.bits === undefined || (material.kind === "rsa" && material.modulus.length * 8 === known.bits));
  if (!fits) throw key.wrong("keyDetails", "does not fit the key");
  return publicKey;
}

/** RFC 8017 Appendix A.1: rsaEncryption with its NULL, around a bare RSAPublicKey. */
function rsaSpki(pkcs1: Uint8Array): Uint8Array {
  const algorithm = derValue(TAG_SEQUENCE, derValue(TAG_OID, fromHex("2a864886f70d010101")), derValue(TAG_NULL));
  new DerReader(pkcs1).sequence();
  return derValue(TAG_SEQUENCE, algorithm, derValue(TAG_BIT_STRING, Uint8Array.of(0), pkcs1));
}

/** SHA-256 of a key is 32 bytes; nothing else has been seen, and a short id would let keys stand in for one another. */
function readLogId(members: Members, name: string): Uint8Array {
  const id = members.bytes(name, 64);
  if (id.length !== 32) throw members.wrong(name, "has not 32 bytes");
  return id;
}

function readValidFor(members: Members): { validFrom: number | null; validUntil: number | null } {
  members.only(["start", "end"]);
  // Null is protobuf's JSON for a member that is left out: other programs write it.
  const has = (name: string): boolean => (members.get(name) ?? null) !== null;
  return {
    validFrom: has("start") ? readInstant(members, "start", Math.ceil) : null,
    validUntil: has("end") ? readInstant(members, "end", Math.floor) : null,
  };
}

const INSTANT = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/;

/** An instant as protojson writes it (RFC 3339, up to nanoseconds), in whole ms: rounded into the window, never out of it. */
function readInstant(members: Members, name: string, round: (value: number) => number): number {
  const [, seconds, fraction = "", zone] = INSTANT.exec(members.string(name, 64)) ?? [];
  const time = seconds === undefined || zone === undefined ? Number.NaN : Date.parse(`${seconds}${zone}`);
  // Date.parse takes the 31st of February for the 3rd of March on some hosts.
  const local = seconds === undefined ? Number.NaN : Date.parse(`${seconds}Z`);
  if (Number.isNaN(time) || Number.isNaN(local) || new Date(local).toISOString().slice(0, 19) !== seconds)
    throw members.wrong(name, "is no instant of RFC 3339");
  return time + round(Number(fraction.padEnd(9, "0")) / 1e6);
}

/** Host name without port: what Sigstore's clients take for the log's origin. */
function hostOf(baseUrl: string): string {
  return URL.canParse(baseUrl) ? new URL(baseUrl).hostname : "";
}

/** Runs a reader of bytes and gives its failure the place and the code of `members`. */
function wrapped<T>(members: Members, name: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof EvidenceError) || !FROM_BYTES.has(cause.code)) throw cause;
    throw members.wrong(name, `cannot be used (${cause.message})`);
  }
}

const FROM_BYTES: ReadonlySet<EvidenceErrorCode> = new Set([
  "certificate-invalid",
  "der-invalid",
  "key-invalid",
  "key-unsupported",
]);

function pemAuthorities(pem: string): Authority[] {
  const chains: Certificate[][] = [];
  for (const certificate of parseCertificatesPem(pem)) {
    if (!certificate.isCa)
      throw new EvidenceError(CODE, `The certificate of ${certificate.subjectText} is no certificate authority's.`);
    const last = chains.at(-1)?.at(-1);
    const continues = last !== undefined && !isSelfIssued(last) && equalBytes(last.issuer, certificate.subject);
    if (continues) chains.at(-1)?.push(certificate);
    else chains.push([certificate]);
  }
  return chains.map((chain) => {
    if (chain.length > LIMITS.chainLength) throw new EvidenceError("too-large", "A chain of certificates is too long.");
    return { certificates: chain.map(({ der }) => der), validFrom: null, validUntil: null, uri: "" };
  });
}
