/**
 * Notary Project signatures (notaryproject/specifications: signature-specification.md), as notation writes them: a statement that
 * a certificate's holder signed one artifact, in a JWS or a COSE envelope. This file reads; notation-verify.ts believes.
 */
import { type Digest, isDigest } from "./digest.ts";
import { EvidenceError } from "./errors.ts";
import { type JsonObject, isJsonObject, parseJson } from "./json.ts";
import { LIMITS } from "./limits.ts";
import { Members } from "./members.ts";
import { NOTATION_ALGORITHMS } from "./notation-attributes.ts";
import { COSE_SIGN1_BYTE, parseNotationCose } from "./notation-cose.ts";
import type { NotationEnvelope } from "./notation-envelope.ts";
import { parseNotationJws } from "./notation-jws.ts";
import { ecdsaToDer } from "./signature.ts";

/** Layer media types of the two envelopes in a signature manifest ("Storage"). */
export const NOTATION_JWS_MEDIA_TYPE = "application/jose+json";
export const NOTATION_COSE_MEDIA_TYPE = "application/cose";
/** `artifactType` of a signature manifest, or its config's media type. */
export const NOTATION_ARTIFACT_TYPE = "application/vnd.cncf.notary.signature";

/** What a signature is about ("Payload"): the descriptor of one artifact, as signed. */
export type NotationPayload = {
  readonly artifactDigest: Digest;
  readonly mediaType: string;
  /** Bytes of the artifact. */
  readonly size: number;
  /** Words of the signer's about the artifact, by key; empty when there are none. */
  readonly annotations: Readonly<Record<string, string>>;
};

/** A signature as parsed. Nothing in it is verified. */
export type NotationSignature = Omit<NotationEnvelope, "payload" | "attributes"> &
  NotationEnvelope["attributes"] & {
    readonly payload: NotationPayload;
    /** The payload's bytes as signed. */
    readonly payloadBytes: Uint8Array;
  };

/** Whether bytes begin as a COSE envelope does: with the tag of COSE_Sign1, which no JSON and no armour begins with. */
export function isNotationCose(bytes: Uint8Array): boolean {
  return bytes[0] === COSE_SIGN1_BYTE;
}

/**
 * Reads a signature envelope of either format. Members of the payload that the specification does not know are ignored: they are signed like
 * all others. Throws `notation-invalid`, `notation-unsupported`, `cbor-invalid`, `too-large`, and the errors of `parseJson`.
 */
export function parseNotation(bytes: Uint8Array): NotationSignature {
  const envelope = isNotationCose(bytes) ? parseNotationCose(bytes) : parseNotationJws(bytes);
  const { payload: payloadBytes, attributes, ...rest } = envelope;
  if (rest.signature.length === 0) throw new EvidenceError("notation-invalid", "The signature is empty.");
  return { ...rest, ...attributes, payload: readPayload(payloadBytes), payloadBytes };
}

/**
 * The signature in the form that the crypto port takes, and that names it whoever writes it down: JOSE (RFC 7518 §3.4) and COSE (RFC 9053 §2.1)
 * write ECDSA as r ‖ s, each as long as the field, X.509 and DSSE in DER. Undefined if it has not that length.
 */
export function portableSignature({
  algorithm,
  signature,
}: Pick<NotationSignature, "algorithm" | "signature">): Uint8Array | undefined {
  const { kind, bits } = NOTATION_ALGORITHMS[algorithm].key;
  if (kind === "rsa") return signature;
  return signature.length === 2 * Math.ceil(bits / 8) ? ecdsaToDer(signature) : undefined;
}

/**
 * What a signature says, as the predicate of type `NOTATION_PREDICATE`: the artifact's descriptor, and the signed attributes with the
 * signer's own claim of the time. Times in ISO 8601.
 */
export function notationPredicate({ payload, scheme, signingTime, expiry }: NotationSignature): JsonObject {
  const { artifactDigest, mediaType, size, annotations } = payload;
  return {
    targetArtifact: { mediaType, digest: artifactDigest, size, annotations },
    signedAttributes: {
      signingScheme: scheme,
      signingTime: new Date(signingTime).toISOString(),
      expiry: expiry === null ? null : new Date(expiry).toISOString(),
    },
  };
}

function readPayload(bytes: Uint8Array): NotationPayload {
  const json = parseJson(bytes, { maxBytes: LIMITS.notationBytes, maxDepth: LIMITS.jsonDepth });
  const target = new Members(json, "payload", "notation-invalid").object("targetArtifact");
  const artifactDigest = target.string("digest", LIMITS.typeLength);
  if (!isDigest(artifactDigest)) {
    // OCI allows other algorithms; artifacts are named by sha256 here, and an alias is not ours to resolve.
    if (/^(sha384|sha512|blake3):[0-9a-f]{64,128}$/.test(artifactDigest)) {
      throw new EvidenceError(
        "notation-unsupported",
        "The signature names its artifact by a digest other than sha256.",
      );
    }
    throw target.wrong("digest", "is not a digest");
  }
  return {
    artifactDigest,
    mediaType: target.string("mediaType", LIMITS.typeLength),
    size: target.count("size"),
    annotations: readAnnotations(target),
  };
}

function readAnnotations(target: Members): Record<string, string> {
  const value = target.get("annotations");
  if (value === undefined) return {};
  if (!isJsonObject(value)) throw target.wrong("annotations", "is not an object");
  const members = new Members(value, target.path("annotations"), "notation-invalid");
  // Each becomes an own member, also "__proto__".
  return Object.fromEntries(Object.keys(value).map((key) => [key, members.string(key, LIMITS.notationBytes)]));
}
