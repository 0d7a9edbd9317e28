/**
 * What an entry of a transparency log is about: its canonicalized body, compared with the signature it is to speak for. An entry proves
 * something of a signature only if it holds this content's digest, this signature *and* this key or certificate; a true entry about anything
 * else is no entry (CVE-2022-36056, CVE-2026-22703 of cosign).
 */
import { sha256, sha384, sha512 } from "@noble/hashes/sha2.js";
import { type BundleContent, type MessageDigestAlgorithm, signatureOf } from "./bundle.ts";
import { pae } from "./dsse.ts";
import { equalBytes, fromHex, toBase64, utf8Decode, utf8Encode } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { canonicalJson } from "./jcs.ts";
import { type JsonObject, parseJson } from "./json.ts";
import type { PublicKey } from "./keys.ts";
import { LIMITS } from "./limits.ts";
import { Members } from "./members.ts";
import { parsePem } from "./pem.ts";
import type { Certificate } from "./x509.ts";

/** What an entry must be about. */
export type LoggedSignature = {
  readonly content: BundleContent;
  /** The file of the envelope, where there is one: see `Bundle.layer`. */
  readonly layer: Uint8Array | undefined;
  /** Who made the signature: the certificate if it came with one, else the key. */
  readonly verifier: PublicKey | Certificate;
};

/** A body's kind and version, as its first two members state them. */
export type BodyKind = { readonly kind: string; readonly version: string };

/**
 * Which service wrote entries of this kind: Rekor v1 signs a time and an index with each (the inclusion promise), Rekor v2 signs nothing
 * but the checkpoint.
 */
export function rekorVersion({ kind, version }: BodyKind): 1 | 2 {
  return version === "0.0.2" && (kind === "hashedrekord" || kind === "dsse") ? 2 : 1;
}

/** The kind that a body states. Throws `bundle-invalid`, `too-large` and the errors of `parseJson`. */
export function bodyKind(body: Uint8Array): BodyKind {
  const members = readBody(body);
  return { kind: members.string("kind", LIMITS.typeLength), version: members.string("apiVersion", LIMITS.typeLength) };
}

/**
 * Demands that a body is about this signature. Throws `bundle-invalid` with what differs, `bundle-unsupported` for kinds that bind no
 * signature or that are not known.
 *
 * - Rekor v1, compared member by member (sigstore/rekor: pkg/types): `hashedrekord` 0.0.1, `dsse` 0.0.1, `intoto` 0.0.2 and 0.0.1.
 * - Rekor v2, rebuilt whole and compared byte by byte (sigstore/rekor-tiles: CLIENTS.md): `hashedrekord` 0.0.2, which since rekor-tiles 2.3
 *   also stands for DSSE envelopes, over the hash of their encoding; `dsse` 0.0.2, written before that.
 */
export function requireAbout(body: Uint8Array, logged: LoggedSignature): void {
  const members = readBody(body);
  const { kind, version } = bodyKind(body);
  const spec = members.object("spec");
  switch (`${kind} ${version}`) {
    case "hashedrekord 0.0.1":
      return requireHashedRekord(spec, logged);
    case "dsse 0.0.1":
      return requireDsse(spec, logged);
    case "intoto 0.0.2":
      return requireIntoto(spec.object("content"), logged);
    case "intoto 0.0.1":
      return requireOldIntoto(spec, logged);
    case "hashedrekord 0.0.2":
      return requireSame(body, hashedRekordV2(logged));
    case "dsse 0.0.2":
      return requireSame(body, dsseV2(logged));
    default:
      throw new EvidenceError(
        "bundle-unsupported",
        `Log entries of kind ${JSON.stringify(`${kind} ${version}`.slice(0, 100))} are not supported.`,
      );
  }
}

function readBody(body: Uint8Array): Members {
  const json = parseJson(body, { maxBytes: LIMITS.logEntryBytes, maxDepth: LIMITS.jsonDepth });
  return new Members(json, "entry", "bundle-invalid");
}

function differs(what: string): EvidenceError {
  return new EvidenceError("bundle-invalid", `The log entry is about another ${what}.`);
}

const HASHES = { SHA2_256: sha256, SHA2_384: sha384, SHA2_512: sha512 } as const;
/** Rekor v1's names of the same hashes. */
const V1_HASHES: ReadonlyMap<string, MessageDigestAlgorithm> = new Map([
  ["sha256", "SHA2_256"],
  ["sha384", "SHA2_384"],
  ["sha512", "SHA2_512"],
]);

/** The digest of what is signed, by a hash; undefined where only the bytes would tell, and they are not here. */
function contentDigest(content: BundleContent, algorithm: MessageDigestAlgorithm): Uint8Array | undefined {
  switch (content.kind) {
    case "dsse":
      return HASHES[algorithm](pae(content.envelope.payloadType, content.envelope.payload));
    case "simple-signing":
      return HASHES[algorithm](content.payload);
    case "message":
      return content.messageDigest?.algorithm === algorithm ? content.messageDigest.digest : undefined;
  }
}

function requireHashedRekord(spec: Members, { content, verifier }: LoggedSignature): void {
  // Rekor v1 has kinds of its own for envelopes; Sigstore's clients take no other for them.
  if (content.kind === "dsse") throw differs("kind of content");
  const hash = spec.object("data").object("hash");
  const algorithm = V1_HASHES.get(hash.string("algorithm", 16));
  const digest = algorithm === undefined ? undefined : contentDigest(content, algorithm);
  if (digest === undefined || !equalBytes(digest, hexOf(hash, "value"))) throw differs("digest");
  const signature = spec.object("signature");
  if (!equalBytes(signature.bytes("content", LIMITS.signatureBytes), content.signature)) throw differs("signature");
  requireVerifier(signature.object("publicKey"), "content", verifier);
}

function requireDsse(spec: Members, { content, verifier }: LoggedSignature): void {
  if (content.kind !== "dsse") throw differs("kind of content");
  // Its `envelopeHash` is of the file that was uploaded, whose spelling nobody keeps: payload, signature and signer are what it comes down to.
  requirePayloadHash(spec, content.envelope.payload);
  const entry = onlySignature(spec);
  if (!equalBytes(entry.bytes("signature", LIMITS.signatureBytes), content.envelope.signature))
    throw differs("signature");
  requireVerifier(entry, "verifier", verifier);
}

function requireIntoto(spec: Members, { content, verifier }: LoggedSignature): void {
  if (content.kind !== "dsse") throw differs("kind of content");
  requirePayloadHash(spec, content.envelope.payload);
  const envelope = spec.object("envelope");
  if (envelope.string("payloadType", LIMITS.typeLength) !== content.envelope.payloadType) throw differs("payload type");
  const entry = onlySignature(envelope);
  // Encoded twice: the entry's bytes are the base64 text that stood in the envelope.
  const text = toBase64(content.envelope.signature);
  if (!equalBytes(entry.bytes("sig", 2 * LIMITS.signatureBytes), utf8Encode(text))) throw differs("signature");
  requireVerifier(entry, "publicKey", verifier);
}

/** intoto 0.0.1 holds no signature, but the digest of the envelope's file, which holds it: enough where that file is here. */
function requireOldIntoto(spec: Members, { layer, verifier }: LoggedSignature): void {
  if (layer === undefined) {
    throw new EvidenceError(
      "bundle-unsupported",
      "Log entries of kind intoto 0.0.1 do not name the signature they are about.",
    );
  }
  const hash = spec.object("content").object("hash");
  if (hash.string("algorithm", 16) !== "sha256" || !equalBytes(sha256(layer), hexOf(hash, "value")))
    throw differs("envelope");
  requireVerifier(spec, "publicKey", verifier);
}

function requirePayloadHash(spec: Members, payload: Uint8Array): void {
  const hash = spec.object("payloadHash");
  if (hash.string("algorithm", 16) !== "sha256" || !equalBytes(sha256(payload), hexOf(hash, "value")))
    throw differs("payload");
}

/** Of several signatures in one entry, only a list of one says without a choice whose it is. */
function onlySignature(members: Members): Members {
  const [entry, ...others] = members.array("signatures", LIMITS.materialEntries);
  if (others.length > 0) throw differs("number of signatures");
  return new Members(entry, "entry.signatures[0]", "bundle-invalid");
}

/** Rekor v1 names who signed by base64 of PEM: of the certificate if there is one, of the key otherwise. */
function requireVerifier(members: Members, name: string, verifier: PublicKey | Certificate): void {
  const pem = utf8Decode(members.bytes(name, LIMITS.pemLength));
  const [label, der] = isCertificate(verifier) ? ["CERTIFICATE", verifier.der] : ["PUBLIC KEY", verifier.spki];
  if (!pem.trimStart().startsWith(`-----BEGIN ${label}-----`)) throw differs("kind of signer");
  if (!equalBytes(parsePem(pem, [label], "bundle-invalid"), der))
    throw differs(isCertificate(verifier) ? "certificate" : "key");
}

function hexOf(members: Members, name: string): Uint8Array {
  try {
    return fromHex(members.string(name, 128));
  } catch (cause) {
    throw members.wrong(name, cause instanceof EvidenceError ? "is not a digest in hexadecimal" : "cannot be read");
  }
}

function requireSame(body: Uint8Array, expected: JsonObject): void {
  if (equalBytes(body, utf8Encode(canonicalJson(expected)))) return;
  throw new EvidenceError("bundle-invalid", "The log entry is not the one of this content, signature and signer.");
}

function hashedRekordV2({ content, verifier }: LoggedSignature): JsonObject {
  const { keyDetails, algorithm } = keyDetailsOf(publicKeyOf(verifier));
  const digest = contentDigest(content, algorithm);
  if (digest === undefined) throw differs("digest algorithm");
  const signature = { content: toBase64(signatureOf(content)), verifier: verifierV2(keyDetails, verifier) };
  const data = { algorithm, digest: toBase64(digest) };
  return { apiVersion: "0.0.2", kind: "hashedrekord", spec: { hashedRekordV002: { data, signature } } };
}

function dsseV2({ content, verifier }: LoggedSignature): JsonObject {
  if (content.kind !== "dsse") throw differs("kind of content");
  const { keyDetails } = keyDetailsOf(publicKeyOf(verifier));
  const payloadHash = { algorithm: "SHA2_256", digest: toBase64(sha256(content.envelope.payload)) };
  const signature = { content: toBase64(content.envelope.signature), verifier: verifierV2(keyDetails, verifier) };
  return { apiVersion: "0.0.2", kind: "dsse", spec: { dsseV002: { payloadHash, signatures: [signature] } } };
}

function verifierV2(keyDetails: string, verifier: PublicKey | Certificate): JsonObject {
  return isCertificate(verifier)
    ? { keyDetails, x509Certificate: { rawBytes: toBase64(verifier.der) } }
    : { keyDetails, publicKey: { rawBytes: toBase64(verifier.spki) } };
}

/** A key's default algorithm by its protobuf name (sigstore/protobuf-specs: PublicKeyDetails), and its hash: Rekor v2 logs no other. */
function keyDetailsOf(key: PublicKey): { keyDetails: string; algorithm: MessageDigestAlgorithm } {
  switch (key.algorithm) {
    case "ecdsa-p256-sha256":
      return { keyDetails: "PKIX_ECDSA_P256_SHA_256", algorithm: "SHA2_256" };
    case "ecdsa-p384-sha384":
      return { keyDetails: "PKIX_ECDSA_P384_SHA_384", algorithm: "SHA2_384" };
    case "ecdsa-p521-sha512":
      return { keyDetails: "PKIX_ECDSA_P521_SHA_512", algorithm: "SHA2_512" };
    case "ed25519":
      return { keyDetails: "PKIX_ED25519_PH", algorithm: "SHA2_512" };
    case "rsa-pkcs1-sha256": {
      const bits = key.material.kind === "rsa" ? 8 * key.material.modulus.length : 0;
      return { keyDetails: `PKIX_RSA_PKCS1V15_${bits}_SHA256`, algorithm: "SHA2_256" };
    }
  }
}

function isCertificate(verifier: PublicKey | Certificate): verifier is Certificate {
  return "der" in verifier;
}

function publicKeyOf(verifier: PublicKey | Certificate): PublicKey {
  return isCertificate(verifier) ? verifier.publicKey : verifier;
}
