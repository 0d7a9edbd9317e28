/**
 * The forms in which evidence comes. Bytes are told apart by what they begin with and by the media type they state, and each form has one
 * reader; nothing is tried twice, so that no bytes can be read as two things.
 */
import { type Bundle, readBundle } from "./bundle.ts";
import { BLOB_SIGNATURE_MEDIA_TYPE, readBlobSignature } from "./blob-signature.ts";
import { COSIGN_SIGNATURE_MEDIA_TYPE, readCosignSignature } from "./cosign.ts";
import type { Crypto } from "./crypto.ts";
import { type Digest, digestOf } from "./digest.ts";
import { parseEnvelope } from "./dsse.ts";
import { EvidenceError } from "./errors.ts";
import { isJsonObject, parseJson } from "./json.ts";
import { LIMITS } from "./limits.ts";
import { isNotationCose, type NotationSignature, parseNotation } from "./notation.ts";
import { OPENPGP_SIGNATURE_MEDIA_TYPE, readOpenPgpSignature, recogniseOpenPgp } from "./openpgp-signature.ts";
import type { OpenPgpSigned } from "./prove-openpgp.ts";

/** Evidence as read. Nothing in it is verified. */
export type Reading =
  | {
      /** A Sigstore bundle; a bare DSSE envelope; a signature of cosign 2 in a registry; a signature file. */
      readonly form: "bundle" | "envelope" | "cosign" | "blob-signature";
      readonly bundle: Bundle;
      /** What it says it is about, where its content does not. */
      readonly subject: Digest | undefined;
    }
  | { readonly form: "openpgp"; readonly signed: OpenPgpSigned; readonly subject: Digest }
  | { readonly form: "notation"; readonly notation: NotationSignature; readonly subject: Digest };

/** Reads evidence of any form. Throws the errors of the form's reader: what `verify` calls malformed or unsupported. */
export function readForm(crypto: Crypto, bytes: Uint8Array): Reading {
  if (bytes.length > LIMITS.bundleBytes) throw new EvidenceError("too-large", "The evidence is too large.");
  if (isNotationCose(bytes)) return notationReading(bytes);
  if (recogniseOpenPgp(bytes) === "clear-signed") {
    return { form: "openpgp", signed: { signature: bytes, isClearSigned: true }, subject: digestOf(crypto, bytes) };
  }
  const json = parseJson(bytes, { maxBytes: LIMITS.bundleBytes, maxDepth: LIMITS.jsonDepth });
  if (!isJsonObject(json)) throw new EvidenceError("bundle-invalid", "The evidence is not a JSON object.");
  const has = (name: string): boolean => Object.hasOwn(json, name);
  switch (has("mediaType") ? json["mediaType"] : undefined) {
    case COSIGN_SIGNATURE_MEDIA_TYPE:
      return { form: "cosign", bundle: readCosignSignature(json, bytes), subject: undefined };
    case BLOB_SIGNATURE_MEDIA_TYPE:
      return { form: "blob-signature", ...readBlobSignature(json, bytes) };
    case OPENPGP_SIGNATURE_MEDIA_TYPE: {
      const { signature, subject } = readOpenPgpSignature(json);
      return { form: "openpgp", signed: { signature, isClearSigned: false }, subject };
    }
    case undefined:
      break;
    default:
      return { form: "bundle", bundle: readBundle(json), subject: undefined };
  }
  if (has("payloadType")) {
    const envelope = parseEnvelope(json);
    const bundle: Bundle = {
      version: "0.3",
      material: { kind: "publicKey", hint: undefined },
      tlogEntries: [],
      timestamps: [],
      content: { kind: "dsse", envelope },
    };
    return { form: "envelope", bundle, subject: undefined };
  }
  if (has("protected") && has("signature")) return notationReading(bytes);
  return { form: "bundle", bundle: readBundle(json), subject: undefined };
}

function notationReading(bytes: Uint8Array): Reading {
  const notation = parseNotation(bytes);
  return { form: "notation", notation, subject: notation.payload.artifactDigest };
}
