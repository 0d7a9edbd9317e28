/**
 * cosign 2's evidence in registries: the layers of the images tagged `sha256-<hex>.sig` and `.att`, whose signature, certificate, log entry and
 * timestamp are annotations of the layer (sigstore/cosign: specs/SIGNATURE_SPEC.md). A layer and its annotations become one document of
 * ours, the container, because evidence is bytes with a digest; its content is turned into the form of bundles right away.
 *
 * (`sha256-<hex>.sbom` holds a document that nobody signed: a report, and no form of evidence.)
 */
import type { Bundle, BundleContent, VerificationMaterial } from "./bundle.ts";
import { parseEnvelope } from "./dsse.ts";
import { equalBytes, toBase64, utf8Encode } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { canonicalJson } from "./jcs.ts";
import { type JsonValue, parseJson } from "./json.ts";
import { LIMITS } from "./limits.ts";
import { Members } from "./members.ts";
import { parsePem, parsePemBlocks } from "./pem.ts";
import { entryOfRekorBundle } from "./rekor-bundle.ts";

/** Media type of our container. */
export const COSIGN_SIGNATURE_MEDIA_TYPE = "application/vnd.assay.cosign-signature.v1+json";

/** Media types of cosign 2's layers: a document that names an image, and a DSSE envelope. */
export const COSIGN_LAYER_MEDIA_TYPES = {
  "application/vnd.dev.cosign.simplesigning.v1+json": "payload",
  "application/vnd.dsse.envelope.v1+json": "envelope",
} as const;

/** cosign's annotations on a layer, and the container's members that keep them. */
const ANNOTATIONS = {
  "dev.cosignproject.cosign/signature": "signature",
  "dev.sigstore.cosign/certificate": "certificate",
  "dev.sigstore.cosign/chain": "chain",
  "dev.sigstore.cosign/bundle": "bundle",
  "dev.sigstore.cosign/rfc3161timestamp": "rfc3161timestamp",
} as const;

/** A layer as a registry holds it. */
export type CosignLayer = {
  readonly mediaType: string;
  readonly bytes: Uint8Array;
  readonly annotations: Readonly<Record<string, string>>;
};

/** Whether a layer's media type is one that cosign 2 signs in. */
export function isCosignLayer(mediaType: string): mediaType is keyof typeof COSIGN_LAYER_MEDIA_TYPES {
  return Object.hasOwn(COSIGN_LAYER_MEDIA_TYPES, mediaType);
}

/**
 * The container of a layer: canonical JSON, the same bytes for the same layer and annotations. Annotations that say nothing of the signature
 * are left out, and so are empty ones, which cosign writes for "none". Throws `bundle-unsupported` for other layers, and what
 * {@link readCosignSignature} and `parseJson` throw.
 */
export function formatCosignSignature({ mediaType, bytes, annotations }: CosignLayer): Uint8Array {
  if (!isCosignLayer(mediaType)) {
    throw new EvidenceError(
      "bundle-unsupported",
      `A layer of type ${JSON.stringify(mediaType.slice(0, 100))} is not cosign's.`,
    );
  }
  const kept = Object.entries(ANNOTATIONS).flatMap(([annotation, member]) => {
    const value = Object.hasOwn(annotations, annotation) ? annotations[annotation] : undefined;
    return value === undefined || value === "" ? [] : [[member, value] as const];
  });
  const container = {
    mediaType: COSIGN_SIGNATURE_MEDIA_TYPE,
    [COSIGN_LAYER_MEDIA_TYPES[mediaType]]: toBase64(bytes),
    ...Object.fromEntries(kept),
  };
  const formatted = utf8Encode(canonicalJson(container));
  readCosignSignature(parseJson(formatted), formatted);
  return formatted;
}

/**
 * Reads a container, parsed from `bytes`, into the form of bundles: version 0.1, whose log entries carry promises, which is what cosign 2
 * kept. Throws `bundle-invalid`, `envelope-invalid`, `too-large`, and for the documents inside it the errors of `parseJson`.
 */
export function readCosignSignature(json: JsonValue, bytes: Uint8Array): Bundle {
  const members = new Members(json, "cosign", "bundle-invalid").only([
    "mediaType",
    "payload",
    "envelope",
    ...Object.values(ANNOTATIONS),
  ]);
  if (members.get("mediaType") !== COSIGN_SIGNATURE_MEDIA_TYPE) throw members.wrong("mediaType", "is not supported");
  requireCanonical(json, bytes);
  return { version: "0.1", ...besides(members), ...readLayer(members) };
}

/** A container has one spelling: another one would be other evidence of the same signature. Throws `bundle-invalid`. */
export function requireCanonical(json: JsonValue, bytes: Uint8Array): void {
  if (!equalBytes(utf8Encode(canonicalJson(json)), bytes))
    throw new EvidenceError("bundle-invalid", "The container is not written in canonical JSON.");
}

/** The certificate of a PEM text and those of a chain, the signer's first; a key that is not named if there is none. Throws `bundle-invalid`. */
export function materialOf(certificate: string | undefined, chain: string | undefined): VerificationMaterial {
  if (certificate === undefined) {
    if (chain !== undefined)
      throw new EvidenceError("bundle-invalid", "There is a certificate chain and no certificate.");
    return { kind: "publicKey", hint: undefined };
  }
  const above =
    chain === undefined ? [] : parsePemBlocks(chain, ["CERTIFICATE"], LIMITS.materialEntries - 1, "bundle-invalid");
  return { kind: "certificate", certificates: [parsePem(certificate, ["CERTIFICATE"], "bundle-invalid"), ...above] };
}

/** What came beside the layer. */
function besides(members: Members): Pick<Bundle, "material" | "tlogEntries" | "timestamps"> {
  const certificate = members.optionalString("certificate", LIMITS.pemLength);
  const chain = members.optionalString("chain", LIMITS.materialEntries * LIMITS.pemLength);
  const bundle = members.optionalString("bundle", 2 * LIMITS.logEntryBytes);
  const timestamp = members.optionalString("rfc3161timestamp", 2 * LIMITS.logEntryBytes);
  return {
    material: materialOf(certificate, chain),
    tlogEntries: bundle === undefined ? [] : [entryOfRekorBundle(bundle)],
    timestamps: timestamp === undefined ? [] : [timestampOf(timestamp)],
  };
}

function timestampOf(text: string): Uint8Array {
  const json = parseJson(text, { maxBytes: 2 * LIMITS.logEntryBytes, maxDepth: LIMITS.jsonDepth });
  const members = new Members(json, "rfc3161timestamp", "bundle-invalid").only(["SignedRFC3161Timestamp"]);
  return members.bytes("SignedRFC3161Timestamp", LIMITS.logEntryBytes);
}

function readLayer(members: Members): { content: BundleContent; layer?: Uint8Array } {
  if (members.has("payload") === members.has("envelope"))
    throw new EvidenceError("bundle-invalid", "The container does not hold exactly one of payload and envelope.");
  if (members.has("payload")) {
    const signature = members.bytes("signature", LIMITS.signatureBytes);
    if (signature.length === 0) throw members.wrong("signature", "is empty");
    return {
      content: { kind: "simple-signing", payload: members.bytes("payload", LIMITS.simpleSigningBytes), signature },
    };
  }
  // An envelope brings its own signature; a second one beside it would be one too many.
  if (members.has("signature")) throw members.wrong("signature", "stands beside an envelope");
  const layer = members.bytes("envelope", LIMITS.bundleBytes);
  const envelope = parseEnvelope(parseJson(layer, { maxBytes: LIMITS.bundleBytes, maxDepth: LIMITS.jsonDepth }));
  return { content: { kind: "dsse", envelope }, layer };
}
