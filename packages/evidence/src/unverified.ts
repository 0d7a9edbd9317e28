import type { Crypto } from "./crypto.ts";
import { type Digest, digestOf } from "./digest.ts";
import type { JsonValue } from "./json.ts";
import { portableSignature } from "./notation.ts";
import { type Reading, readForm } from "./reading.ts";
import { said } from "./said.ts";
import { signatureCore } from "./signature.ts";
import { subjectDigests } from "./statement.ts";

/**
 * What evidence *claims*, for indexing. Nobody has checked any of it. The type has nothing in common with a verdict, and
 * nothing turns one into the other: to believe evidence, call `verify`.
 */
export type UnverifiedEvidence = {
  readonly status: "unverified";
  /** Digest of the evidence's bytes. */
  readonly digest: Digest;
  /** The form that the bytes are in. */
  readonly form: Reading["form"];
  /** What is signed, and how. */
  readonly format: "dsse" | "message-signature" | "simple-signing" | "openpgp" | "notation";
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
  /** How the signer is named. */
  readonly material: "publicKey" | "certificate" | "openpgp";
  /** Digest algorithm that a message signature states, by its protobuf name; null for DSSE or none. */
  readonly algorithm: string | null;
};

/** Reads what evidence claims. Throws what its readers throw: what `verify` would call malformed or unsupported. */
export function readEvidence(crypto: Crypto, bytes: Uint8Array): UnverifiedEvidence {
  const reading = readForm(crypto, bytes);
  const { predicateType, predicate, subjects, payloadDigest } = said(crypto, reading);
  const { format, signature, hint, material, algorithm } = namesOf(reading);
  return {
    status: "unverified",
    digest: digestOf(crypto, bytes),
    form: reading.form,
    format,
    predicateType,
    predicate: format === "message-signature" ? null : predicate,
    subjects: subjects === undefined ? [] : subjectDigests(subjects),
    hint,
    payloadDigest,
    signature: digestOf(crypto, signatureCore(signature)),
    material,
    algorithm,
  };
}

type Names = Pick<UnverifiedEvidence, "format" | "hint" | "material" | "algorithm"> & {
  readonly signature: Uint8Array;
};

function namesOf(reading: Reading): Names {
  if (reading.form === "openpgp") {
    const { signature } = reading.signed;
    return { format: "openpgp", signature, hint: undefined, material: "openpgp", algorithm: null };
  }
  if (reading.form === "notation") {
    const signature = portableSignature(reading.notation) ?? reading.notation.signature;
    return { format: "notation", signature, hint: undefined, material: "certificate", algorithm: null };
  }
  const { content, material } = reading.bundle;
  const named = material.kind === "publicKey" ? material.hint : undefined;
  const common = { material: material.kind };
  switch (content.kind) {
    case "dsse": {
      const { signature, keyid } = content.envelope;
      return { ...common, format: "dsse", signature, hint: named ?? keyid, algorithm: null };
    }
    case "simple-signing":
      return { ...common, format: "simple-signing", signature: content.signature, hint: named, algorithm: null };
    case "message": {
      const { signature, messageDigest } = content;
      const algorithm = messageDigest?.algorithm ?? null;
      return { ...common, format: "message-signature", signature, hint: named, algorithm };
    }
  }
}
