/**
 * The Cryptographic Message Syntax (RFC 5652) as far as timestamps need it: a ContentInfo with one SignedData, content inside, one
 * signer, signed attributes. All of it in DER, which RFC 3161 does not demand of the outer layers and everyone writes; what BER would
 * leave open is refused.
 */
import { oidText, smallNumber } from "./asn1.ts";
import { contextTag, DerReader, TAG_INTEGER, TAG_OCTET_STRING, TAG_OID, TAG_SEQUENCE, TAG_SET } from "./der.ts";
import { equalBytes, fromHex, toHex } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { LIMITS } from "./limits.ts";
import { type HashName, type SignatureScheme, schemeParts } from "./scheme.ts";
import { readHashAlgorithm, readSignatureAlgorithm } from "./signature-algorithm.ts";

const OID_SIGNED_DATA = "1.2.840.113549.1.7.2";
const OID_CONTENT_TYPE = "1.2.840.113549.1.9.3";
const OID_MESSAGE_DIGEST = "1.2.840.113549.1.9.4";

/** rsaEncryption with its NULL: names the key only, and the hash is the signer's digest algorithm (RFC 3370 §3.2). */
const RSA_ENCRYPTION = fromHex("300d06092a864886f70d0101010500");

/** How a signer is named: by what its certificate states. */
export type SignerIdentifier =
  /** DER of the issuer's name, and the serial number as `Certificate.serial` writes it. */
  | { readonly kind: "issuer-serial"; readonly issuer: Uint8Array; readonly serial: string }
  | { readonly kind: "key-id"; readonly keyId: Uint8Array };

/** A SignedData as parsed. Nothing in it is verified. */
export type SignedData = {
  /** Dotted object identifier of what the content is. */
  readonly contentType: string;
  readonly content: Uint8Array;
  /** DER certificates, in the order in which they lie there; unsigned. */
  readonly certificates: readonly Uint8Array[];
  readonly signer: {
    readonly id: SignerIdentifier;
    readonly hash: HashName;
    readonly scheme: SignatureScheme;
    readonly signature: Uint8Array;
    /** The bytes that are signed: the attributes as SET OF (§5.4). */
    readonly signedBytes: Uint8Array;
    /** The signed attributes by object identifier, each with its one value in DER. */
    readonly attributes: ReadonlyMap<string, Uint8Array>;
    /** The value of the message-digest attribute: must be `hash` of `content`. */
    readonly messageDigest: Uint8Array;
  };
};

/** Reads a ContentInfo with a SignedData. Throws `timestamp-invalid`, `der-invalid`, `too-large`. */
export function parseSignedData(der: Uint8Array): SignedData {
  if (der.length > LIMITS.timestampBytes) {
    throw new EvidenceError("too-large", `A timestamp has at most ${LIMITS.timestampBytes} bytes.`);
  }
  const outer = new DerReader(der);
  const info = outer.sequence();
  outer.end();
  if (oidText(info.read(TAG_OID)) !== OID_SIGNED_DATA) throw invalid("it is no SignedData");
  const explicit = info.sequence(contextTag(0, true));
  info.end();
  const body = explicit.sequence();
  explicit.end();

  // §5.1: 3, because the content is something other than plain data; 4 and 5 announce certificates that nobody uses here.
  if (smallNumber(body.readUnsigned()) !== 3) throw invalid("its version is not 3");
  const announced = readHashes(body.sequence(TAG_SET));
  const { contentType, content } = readContent(body.sequence());
  const certificates = readCertificates(body.optionalSequence(contextTag(0, true)));
  // Revocation lists come from whoever sent the token; nothing here rests on them.
  body.optional(contextTag(1, true));
  const signers = body.sequence(TAG_SET);
  const signer = readSigner(signers.sequence(), contentType);
  if (!signers.done) throw invalid("it has more than one signer");
  body.end();
  if (!announced.includes(signer.hash)) throw invalid("the signer's hash is not among those announced");
  return { contentType, content, certificates, signer };
}

/** The hash that an AlgorithmIdentifier, given with its tag, names. Throws `timestamp-invalid` for SHA-1 and all that is not supported. */
export function readHash(encoded: Uint8Array): HashName {
  const { oid, hash } = readHashAlgorithm(encoded);
  if (hash === undefined) throw invalid(`the hash ${oid} is not supported; SHA-256, SHA-384 and SHA-512 are`);
  return hash;
}

/** Hashes of the SET; those that are not supported do not matter unless the signer uses one. */
function readHashes(set: DerReader): (HashName | undefined)[] {
  const hashes: (HashName | undefined)[] = [];
  while (!set.done) hashes.push(readHashAlgorithm(set.readEncoded(TAG_SEQUENCE)).hash);
  return hashes;
}

function readContent(info: DerReader): Pick<SignedData, "contentType" | "content"> {
  const contentType = oidText(info.read(TAG_OID));
  const explicit = info.sequence(contextTag(0, true));
  info.end();
  const content = explicit.read(TAG_OCTET_STRING);
  explicit.end();
  return { contentType, content };
}

function readCertificates(set: DerReader | undefined): Uint8Array[] {
  const certificates: Uint8Array[] = [];
  while (set !== undefined && !set.done) {
    if (certificates.length === LIMITS.materialEntries) {
      throw new EvidenceError("too-large", `A timestamp has at most ${LIMITS.materialEntries} certificates.`);
    }
    certificates.push(set.readEncoded(TAG_SEQUENCE));
  }
  return certificates;
}

/** SignerInfo (§5.3). */
function readSigner(info: DerReader, contentType: string): SignedData["signer"] {
  const version = smallNumber(info.readUnsigned());
  const id = readIdentifier(info);
  if (version !== (id.kind === "issuer-serial" ? 1 : 3))
    throw invalid("the signer's version does not fit how it is named");
  const hash = readHash(info.readEncoded(TAG_SEQUENCE));
  if (info.tag !== contextTag(0, true)) throw invalid("the signer has no signed attributes");
  const encoded = info.readEncoded(contextTag(0, true));
  // §5.4: signed is the SET OF itself, not the context-specific tag that it has in its place here.
  const signedBytes = Uint8Array.from(encoded);
  signedBytes[0] = TAG_SET;
  const attributes = readAttributes(new DerReader(signedBytes).sequence(TAG_SET));
  const scheme = readScheme(info.readEncoded(TAG_SEQUENCE), hash);
  const signature = info.read(TAG_OCTET_STRING);
  // Unsigned attributes: anybody's; nothing here rests on them.
  info.optional(contextTag(1, true));
  info.end();

  const stated = new DerReader(attribute(attributes, OID_CONTENT_TYPE, "content type"));
  if (oidText(stated.read(TAG_OID)) !== contentType) throw invalid("the content is not of the type that is signed");
  stated.end();
  const digest = new DerReader(attribute(attributes, OID_MESSAGE_DIGEST, "message digest"));
  const messageDigest = digest.read(TAG_OCTET_STRING);
  digest.end();
  return { id, hash, scheme, signature, signedBytes, attributes, messageDigest };
}

function readIdentifier(info: DerReader): SignerIdentifier {
  const keyId = info.optional(contextTag(0, false));
  if (keyId !== undefined) return { kind: "key-id", keyId };
  const pair = info.sequence();
  const issuer = pair.readEncoded(TAG_SEQUENCE);
  if (pair.tag !== TAG_INTEGER) throw invalid("the signer's certificate has no serial number");
  const serial = readSerial(pair);
  pair.end();
  return { kind: "issuer-serial", issuer, serial };
}

/** A certificate's serial number as `Certificate.serial` writes it: lower-case hex, "00" for zero. */
export function readSerial(reader: DerReader): string {
  const magnitude = reader.readUnsigned();
  return magnitude.length === 0 ? "00" : toHex(magnitude);
}

/**
 * Attributes (§5.3), in the order of DER (X.690 §11.6) and each once with one value. INVARIANT: with the order demanded, the bytes as they came
 * are the DER of the SET OF, so that there is no second encoding which a signature could be over.
 */
function readAttributes(set: DerReader): Map<string, Uint8Array> {
  const attributes = new Map<string, Uint8Array>();
  let previous = "";
  while (!set.done) {
    const encoded = set.readEncoded(TAG_SEQUENCE);
    const order = toHex(encoded);
    if (order <= previous) throw invalid("the signed attributes are not in the order of DER");
    previous = order;
    const attributeReader = new DerReader(encoded).sequence();
    const oid = oidText(attributeReader.read(TAG_OID));
    const values = attributeReader.sequence(TAG_SET);
    attributeReader.end();
    const { encoded: value } = values.next();
    if (!values.done) throw invalid("a signed attribute has more than one value");
    if (attributes.has(oid)) throw invalid("a signed attribute is repeated");
    attributes.set(oid, value);
  }
  return attributes;
}

function attribute(attributes: ReadonlyMap<string, Uint8Array>, oid: string, name: string): Uint8Array {
  const value = attributes.get(oid);
  if (value === undefined) throw invalid(`the signed attribute "${name}" is missing`);
  return value;
}

function readScheme(encoded: Uint8Array, hash: HashName): SignatureScheme {
  if (equalBytes(encoded, RSA_ENCRYPTION)) return `rsa-pkcs1-${hash}`;
  const named = readSignatureAlgorithm(encoded);
  if (named.kind !== "scheme") throw invalid(`the signature algorithm ${named.oid} is not supported`);
  // RFC 8933 §2.2: one hash for the content and for the attributes. Ed25519 goes with SHA-512 (RFC 8419 §2.3).
  if ((schemeParts(named.scheme).hash ?? "sha512") !== hash) {
    throw invalid("the signature and the message digest use different hashes");
  }
  return named.scheme;
}

function invalid(what: string): EvidenceError {
  return new EvidenceError("timestamp-invalid", `Timestamp: ${what}.`);
}
