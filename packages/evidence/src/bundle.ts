/** The Sigstore bundle v0.1 to v0.3 (sigstore/protobuf-specs: sigstore_bundle.proto), in its JSON form. */
import { type Envelope, parseEnvelope } from "./dsse.ts";
import { toBase64, utf8Encode } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { type JsonObject, isJsonObject, type JsonValue, parseJson } from "./json.ts";
import { LIMITS } from "./limits.ts";
import { Members } from "./members.ts";

/** The media type of the bundles we write. */
export const BUNDLE_MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json";

/**
 * Versions that are read. What they demand of a log entry differs: see `verifyLogEntry`. A certificate chain belongs to 0.1 and 0.2, but
 * sigstore-go 1.4 writes it into 0.3 for private authorities when asked to; the extra certificates are candidates and nothing more.
 */
export type BundleVersion = "0.1" | "0.2" | "0.3";

/** Each version in both its spellings: as a parameter (what 0.1 and 0.2 were written with), and in the name. */
const BUNDLE_MEDIA_TYPES: ReadonlyMap<string, BundleVersion> = new Map(
  (["0.1", "0.2", "0.3"] as const).flatMap((version) => [
    [`application/vnd.dev.sigstore.bundle+json;version=${version}`, version],
    [`application/vnd.dev.sigstore.bundle.v${version}+json`, version],
  ]),
);

/** Digest algorithms of message signatures, by their protobuf names, with their sizes in bytes. */
export const MESSAGE_DIGEST_BYTES = { SHA2_256: 32, SHA2_384: 48, SHA2_512: 64 } as const;
export type MessageDigestAlgorithm = keyof typeof MESSAGE_DIGEST_BYTES;
export type MessageDigest = { readonly algorithm: MessageDigestAlgorithm; readonly digest: Uint8Array };

/** Who the bundle says signed: a hint at a public key, or a certificate in DER, the signer's first. */
export type VerificationMaterial =
  | { readonly kind: "publicKey"; readonly hint: string | undefined }
  | { readonly kind: "certificate"; readonly certificates: readonly Uint8Array[] };

/**
 * What is signed: a DSSE envelope; bytes that the bundle does not hold; or cosign 2's small document that names an image
 * (`simple-signing.ts`), signed as it is. No bundle holds the last: it comes of cosign's layers (`cosign.ts`), which are read into this form.
 */
export type BundleContent =
  | { readonly kind: "dsse"; readonly envelope: Envelope }
  | { readonly kind: "message"; readonly messageDigest: MessageDigest | undefined; readonly signature: Uint8Array }
  | { readonly kind: "simple-signing"; readonly payload: Uint8Array; readonly signature: Uint8Array };

/**
 * One signature with all that came with it: a bundle as parsed, and the one inner form of all that comes down to the same (bare envelopes,
 * cosign 2's layers, signature files). Nothing in it is verified.
 */
export type Bundle = {
  readonly version: BundleVersion;
  readonly material: VerificationMaterial;
  /** Transparency log entries as found: their number is bounded, their content read by `verifyLogEntry`. */
  readonly tlogEntries: readonly JsonObject[];
  /** RFC 3161 timestamps as found. */
  readonly timestamps: readonly Uint8Array[];
  readonly content: BundleContent;
  /**
   * The file of a DSSE envelope that cosign 2 keeps as a layer of its own: its timestamps may be over these bytes instead of the signature,
   * and log entries of kind intoto 0.0.1 name their digest.
   */
  readonly layer?: Uint8Array;
};

/** The signature itself, in any form. */
export function signatureOf(content: BundleContent): Uint8Array {
  return content.kind === "dsse" ? content.envelope.signature : content.signature;
}

/**
 * Reads a bundle. Unknown members are refused, not ignored: a verdict must not rest on a reading that another client,
 * knowing the member, would not share. Throws `bundle-invalid`, `bundle-unsupported`, `envelope-invalid`, `too-large` and
 * the errors of `parseJson`.
 */
export function parseBundle(bytes: Uint8Array): Bundle {
  return readBundle(parseJson(bytes, { maxBytes: LIMITS.bundleBytes, maxDepth: LIMITS.jsonDepth }));
}

/** {@link parseBundle} of what is parsed already. */
export function readBundle(json: JsonValue): Bundle {
  const members = new Members(json, "bundle", "bundle-invalid");
  const mediaType = members.string("mediaType", LIMITS.typeLength);
  const version = BUNDLE_MEDIA_TYPES.get(mediaType);
  if (version === undefined) {
    throw new EvidenceError(
      "bundle-unsupported",
      `The media type ${JSON.stringify(mediaType.slice(0, 100))} is not supported.`,
    );
  }
  members.only(["mediaType", "verificationMaterial", "dsseEnvelope", "messageSignature"], "bundle-unsupported");
  const material = members.object("verificationMaterial");
  material.only(
    ["publicKey", "certificate", "x509CertificateChain", "tlogEntries", "timestampVerificationData"],
    "bundle-unsupported",
  );
  return {
    version,
    material: readMaterial(material),
    tlogEntries: readTlogEntries(material),
    timestamps: readTimestamps(material),
    content: readContent(members),
  };
}

/** The parts of a bundle that we write ourselves: signed with a key, without log entries or timestamps. */
export type KeyBundle = {
  readonly hint: string;
  readonly content: Exclude<BundleContent, { readonly kind: "simple-signing" }>;
};

/** JSON bytes of a bundle v0.3 that `parseBundle` and Sigstore's clients read. */
export function formatBundle({ hint, content }: KeyBundle): Uint8Array {
  const bundle = {
    mediaType: BUNDLE_MEDIA_TYPE,
    verificationMaterial: { publicKey: { hint } },
    ...(content.kind === "dsse"
      ? { dsseEnvelope: envelopeJson(content.envelope) }
      : { messageSignature: messageJson(content) }),
  };
  return utf8Encode(JSON.stringify(bundle));
}

/** protobuf's oneof: exactly one of the three says who signed. */
function readMaterial(material: Members): VerificationMaterial {
  const kinds = ["publicKey", "certificate", "x509CertificateChain"].filter((name) => material.has(name));
  const [kind, ...others] = kinds;
  if (kind === undefined || others.length > 0) {
    throw new EvidenceError("bundle-invalid", "The bundle does not name exactly one key or certificate.");
  }
  if (kind === "publicKey") {
    const hint = material.object(kind).only(["hint"], "bundle-unsupported").optionalString("hint", LIMITS.typeLength);
    return { kind, hint: hint === "" ? undefined : hint };
  }
  if (kind === "certificate") {
    const certificate = material.object(kind).only(["rawBytes"], "bundle-unsupported");
    return { kind, certificates: [certificate.bytes("rawBytes", LIMITS.bundleBytes)] };
  }
  const chain = material.object(kind).only(["certificates"], "bundle-unsupported");
  const certificates = chain
    .array("certificates", LIMITS.materialEntries)
    .map((value) => new Members(value, "certificate", "bundle-invalid").only(["rawBytes"], "bundle-unsupported"))
    .map((certificate) => certificate.bytes("rawBytes", LIMITS.bundleBytes));
  if (certificates.length === 0) throw new EvidenceError("bundle-invalid", "The bundle's certificate chain is empty.");
  return { kind: "certificate", certificates };
}

function readTlogEntries(material: Members): readonly JsonObject[] {
  if (!material.has("tlogEntries")) return [];
  const entries = material.array("tlogEntries", LIMITS.materialEntries);
  if (!entries.every(isJsonObject)) throw material.wrong("tlogEntries", "holds something other than objects");
  return entries;
}

function readTimestamps(material: Members): readonly Uint8Array[] {
  if (!material.has("timestampVerificationData")) return [];
  const data = material.object("timestampVerificationData").only(["rfc3161Timestamps"], "bundle-unsupported");
  if (!data.has("rfc3161Timestamps")) return [];
  return data
    .array("rfc3161Timestamps", LIMITS.materialEntries)
    .map((value) =>
      new Members(value, "rfc3161Timestamp", "bundle-invalid").only(["signedTimestamp"], "bundle-unsupported"),
    )
    .map((timestamp) => timestamp.bytes("signedTimestamp", LIMITS.bundleBytes));
}

/** protobuf's oneof again: an envelope or a message signature, never both. */
function readContent(members: Members): BundleContent {
  if (members.has("dsseEnvelope") === members.has("messageSignature")) {
    throw new EvidenceError(
      "bundle-invalid",
      "The bundle does not hold exactly one of dsseEnvelope and messageSignature.",
    );
  }
  if (members.has("dsseEnvelope")) return { kind: "dsse", envelope: parseEnvelope(members.get("dsseEnvelope")) };
  const message = members.object("messageSignature").only(["messageDigest", "signature"], "bundle-unsupported");
  const signature = message.bytes("signature", LIMITS.signatureBytes);
  if (signature.length === 0) throw message.wrong("signature", "is empty");
  return { kind: "message", messageDigest: readMessageDigest(message.object("messageDigest")), signature };
}

/** cosign writes an empty object for keys that sign the message itself (Ed25519); half a digest is an error. */
function readMessageDigest(members: Members): MessageDigest | undefined {
  members.only(["algorithm", "digest"], "bundle-unsupported");
  if (!members.has("algorithm") && !members.has("digest")) return undefined;
  const algorithm = members.string("algorithm", LIMITS.typeLength);
  if (!isMessageDigestAlgorithm(algorithm)) throw members.wrong("algorithm", "is not a supported digest algorithm");
  const digest = members.bytes("digest", MESSAGE_DIGEST_BYTES.SHA2_512);
  if (digest.length !== MESSAGE_DIGEST_BYTES[algorithm])
    throw members.wrong("digest", "has the wrong length for its algorithm");
  return { algorithm, digest };
}

function isMessageDigestAlgorithm(text: string): text is MessageDigestAlgorithm {
  return Object.hasOwn(MESSAGE_DIGEST_BYTES, text);
}

function envelopeJson(envelope: Envelope): object {
  const { payload, payloadType, signature, keyid } = envelope;
  const entry = { sig: toBase64(signature), ...(keyid === undefined ? {} : { keyid }) };
  return { payload: toBase64(payload), payloadType, signatures: [entry] };
}

function messageJson(content: Extract<BundleContent, { kind: "message" }>): object {
  const { messageDigest, signature } = content;
  const digest =
    messageDigest === undefined ? {} : { algorithm: messageDigest.algorithm, digest: toBase64(messageDigest.digest) };
  return { messageDigest: digest, signature: toBase64(signature) };
}
