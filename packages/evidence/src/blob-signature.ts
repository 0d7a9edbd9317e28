/**
 * A signature over a file that lies beside it: `cosign sign-blob --output-signature` (base64 or raw bytes, with `--output-certificate` a
 * certificate beside it), and the JSON of cosign 2's `sign-blob --bundle`. Neither says what it is about; who brings it in does, and the
 * container keeps both. That the signature is over that file is what verification finds out.
 */
import type { Bundle } from "./bundle.ts";
import { materialOf, requireCanonical } from "./cosign.ts";
import { type Digest, digestHex, parseDigest } from "./digest.ts";
import { fromBase64, fromHex, toBase64, utf8Decode, utf8Encode } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { canonicalJson } from "./jcs.ts";
import { type JsonValue, parseJson } from "./json.ts";
import { LIMITS } from "./limits.ts";
import { Members } from "./members.ts";
import { entryOfRekorBundle } from "./rekor-bundle.ts";

/** Media type of our container. */
export const BLOB_SIGNATURE_MEDIA_TYPE = "application/vnd.assay.blob-signature.v1+json";

/** A signature with the file it is to be about. */
export type BlobSignature = {
  /** The signed file. */
  readonly subject: Digest;
  /** DER for ECDSA, 64 bytes for Ed25519, as long as the modulus for RSA. */
  readonly signature: Uint8Array;
  /** The signer's certificate in PEM. */
  readonly certificate?: string;
  /** The log entry in cosign 2's JSON: see `rekor-bundle.ts`. */
  readonly bundle?: string;
};

/** The container: canonical JSON. Throws what {@link readBlobSignature} and `parseJson` throw. */
export function formatBlobSignature({ subject, signature, certificate, bundle }: BlobSignature): Uint8Array {
  const container = {
    mediaType: BLOB_SIGNATURE_MEDIA_TYPE,
    subject,
    signature: toBase64(signature),
    ...(certificate === undefined ? {} : { certificate }),
    ...(bundle === undefined ? {} : { bundle }),
  };
  const formatted = utf8Encode(canonicalJson(container));
  readBlobSignature(parseJson(formatted), formatted);
  return formatted;
}

/**
 * Reads a container, parsed from `bytes`, into the form of bundles, version 0.1: a message signature over the subject. Throws
 * `bundle-invalid`, `digest-invalid`, `too-large`, and for the log entry inside it the errors of `parseJson`.
 */
export function readBlobSignature(
  json: JsonValue,
  bytes: Uint8Array,
): { readonly bundle: Bundle; readonly subject: Digest } {
  const members = new Members(json, "blobSignature", "bundle-invalid");
  members.only(["mediaType", "subject", "signature", "certificate", "bundle"]);
  if (members.get("mediaType") !== BLOB_SIGNATURE_MEDIA_TYPE) throw members.wrong("mediaType", "is not supported");
  requireCanonical(json, bytes);
  const subject = parseDigest(members.string("subject", LIMITS.typeLength));
  const signature = members.bytes("signature", LIMITS.signatureBytes);
  if (signature.length === 0) throw members.wrong("signature", "is empty");
  const certificate = members.optionalString("certificate", LIMITS.pemLength);
  const entry = members.optionalString("bundle", 2 * LIMITS.logEntryBytes);
  const bundle: Bundle = {
    version: "0.1",
    material: materialOf(certificate, undefined),
    tlogEntries: entry === undefined ? [] : [entryOfRekorBundle(entry)],
    timestamps: [],
    content: {
      kind: "message",
      messageDigest: { algorithm: "SHA2_256", digest: fromHex(digestHex(subject)) },
      signature,
    },
  };
  return { bundle, subject };
}

/**
 * The signature in a file, which holds it in base64 (a final newline is allowed) or as it is. No raw signature is base64 text but by a chance
 * of one in 2^60. Throws `bundle-invalid`, `too-large`.
 */
export function readSignatureFile(file: Uint8Array): Uint8Array {
  const most = Math.ceil(LIMITS.signatureBytes / 3) * 4 + 2;
  if (file.length > most) throw new EvidenceError("too-large", `A signature file has at most ${most} bytes.`);
  if (file.length === 0) throw new EvidenceError("bundle-invalid", "The signature file is empty.");
  if (!BASE64_FILE.test(latin1(file))) {
    if (file.length > LIMITS.signatureBytes)
      throw new EvidenceError("too-large", `A signature has at most ${LIMITS.signatureBytes} bytes.`);
    return Uint8Array.from(file);
  }
  try {
    return fromBase64(utf8Decode(file).trimEnd());
  } catch (cause) {
    throw new EvidenceError("bundle-invalid", "The signature file does not hold standard, padded base64.", { cause });
  }
}

const BASE64_FILE = /^[A-Za-z0-9+/]+={0,2}\r?\n?$/;

function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

/**
 * The parts of a file of cosign 2's `sign-blob --bundle` (`{base64Signature, cert, rekorBundle}`): what {@link formatBlobSignature} takes
 * besides the subject. Throws `bundle-invalid` and the errors of `parseJson`.
 */
export function readLocalBundle(file: Uint8Array): Omit<BlobSignature, "subject"> {
  const json = parseJson(file, { maxBytes: LIMITS.bundleBytes, maxDepth: LIMITS.jsonDepth });
  const members = new Members(json, "localBundle", "bundle-invalid").only(["base64Signature", "cert", "rekorBundle"]);
  const certificate = members.has("cert") ? utf8Decode(members.bytes("cert", LIMITS.pemLength)) : "";
  const entry = members.get("rekorBundle") ?? null;
  return {
    signature: members.bytes("base64Signature", LIMITS.signatureBytes),
    ...(certificate === "" ? {} : { certificate }),
    ...(entry === null ? {} : { bundle: canonicalJson(entry) }),
  };
}
