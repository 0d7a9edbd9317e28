import { parseBundle } from "./bundle.ts";
import type { Crypto } from "./crypto.ts";
import { type Digest, digestOf, parseDigest } from "./digest.ts";
import { IN_TOTO_PAYLOAD_TYPE } from "./dsse.ts";
import { toHex } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import type { JsonValue } from "./json.ts";
import { signatureCore } from "./signature.ts";
import { MESSAGE_SIGNATURE_PREDICATE, parseStatement, subjectDigests } from "./statement.ts";

/**
 * What a bundle *claims*, for indexing. Nobody has checked any of it. The type has nothing in common with a verdict, and
 * nothing turns one into the other: to believe evidence, call `verify`.
 */
export type UnverifiedEvidence = {
  readonly status: "unverified";
  /** Digest of the bundle's bytes. */
  readonly digest: Digest;
  readonly format: "dsse" | "message-signature";
  readonly predicateType: string;
  /** What it says of them, as claimed; null for a message signature. */
  readonly predicate: JsonValue;
  /** sha256 subjects, each once; of a message signature, its sha256 message digest if it states one. */
  readonly subjects: readonly Digest[];
  /** The key hint (or DSSE keyid) as written; undefined if the bundle names no key. */
  readonly hint: string | undefined;
  /** Digest of the signed payload; of a message signature, its sha256 message digest; null if it states none. */
  readonly payloadDigest: Digest | null;
  /** Digest that names the signature, whatever bundle wraps it and however it is written: see `signatureCore`. */
  readonly signature: Digest;
  /** How the signer is named. Certificates are not evaluated in this version. */
  readonly material: "publicKey" | "certificate";
  /** Digest algorithm that a message signature states, by its protobuf name; null for DSSE or none. */
  readonly algorithm: string | null;
};

/** Reads what a bundle claims. Throws what `parseBundle` and `parseStatement` throw: what `verify` would call malformed or unsupported. */
export function readEvidence(crypto: Crypto, bytes: Uint8Array): UnverifiedEvidence {
  const { content, material } = parseBundle(bytes);
  const digest = digestOf(crypto, bytes);
  const hint = material.kind === "publicKey" ? material.hint : undefined;
  const written = content.kind === "dsse" ? content.envelope.signature : content.signature;
  const signature = digestOf(crypto, signatureCore(written));
  const common = { status: "unverified", digest, material: material.kind, signature } as const;
  if (content.kind === "message") {
    const { messageDigest } = content;
    const subject =
      messageDigest?.algorithm === "SHA2_256" ? parseDigest(`sha256:${toHex(messageDigest.digest)}`) : null;
    return {
      ...common,
      format: "message-signature",
      predicateType: MESSAGE_SIGNATURE_PREDICATE,
      predicate: null,
      subjects: subject === null ? [] : [subject],
      hint,
      payloadDigest: subject,
      algorithm: messageDigest?.algorithm ?? null,
    };
  }
  const { envelope } = content;
  if (envelope.payloadType !== IN_TOTO_PAYLOAD_TYPE) {
    throw new EvidenceError("bundle-unsupported", "The envelope's payload is not an in-toto statement.");
  }
  const statement = parseStatement(envelope.payload);
  return {
    ...common,
    format: "dsse",
    predicateType: statement.predicateType,
    predicate: statement.predicate,
    subjects: subjectDigests(statement.subjects),
    hint: hint ?? envelope.keyid,
    payloadDigest: digestOf(crypto, envelope.payload),
    algorithm: null,
  };
}
