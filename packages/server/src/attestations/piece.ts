import { isDigest, LIMITS } from "@assay/evidence";
import { z } from "zod";
import { FIELD_LIMITS, fieldSchema } from "./fields.ts";
import { stepSchema } from "./step.ts";

/**
 * What the bytes of a piece of evidence are: a signed statement, a signature over an artifact's bytes, cosign 2's signed claim of a
 * digest, an OpenPGP or Notary Project signature, an unsigned report, or something that came as evidence and cannot be read as any.
 */
export const EVIDENCE_FORMS = [
  "dsse",
  "message-signature",
  "simple-signing",
  "openpgp",
  "notation",
  "report",
  "unreadable",
] as const;
export type EvidenceForm = (typeof EVIDENCE_FORMS)[number];

/** In what the signed content came, where that is not a Sigstore bundle: a bare envelope, or a container of ours around what a client wrote. */
export const WRAPPINGS = ["envelope", "cosign", "blob-signature", "openpgp", "notation"] as const;
export type Wrapping = (typeof WRAPPINGS)[number];

export const digestSchema = z.string().refine(isDigest, { error: 'is "sha256:" and 64 lower-case hexadecimal digits' });

/** SHA-256 of a key or of a certificate identity, or an OpenPGP fingerprint, which has 40 digits in version 4. */
const keyId = z.string().regex(/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/);
const repository = z.string().min(1).max(LIMITS.repositoryLength);

/** How a piece came here. */
export const sourceSchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("api") }),
  /** As a layer of this manifest, pushed to the repository. */
  z.strictObject({ kind: z.literal("referrer"), manifest: digestSchema }),
  /** As a layer of a manifest that a client keeps evidence in under a tag: the tag names the artifact. */
  z.strictObject({ kind: z.literal("tag"), manifest: digestSchema, tag: z.string().max(128) }),
]);

/** What is known of a piece of evidence from its own bytes. Claims, but for `signers`. */
export const pieceSchema = z.strictObject({
  evidence: digestSchema,
  size: z.int().nonnegative(),
  form: z.enum(EVIDENCE_FORMS),
  predicateType: z.string().max(LIMITS.typeLength).nullable(),
  subjects: z.array(digestSchema).max(LIMITS.subjects),
  payloadDigest: digestSchema.nullable(),
  /** Names the signature whatever bundle wraps it; null when unreadable or unsigned. */
  signature: digestSchema.nullable(),
  hint: z.string().max(LIMITS.typeLength).nullable(),
  /** Keys the signature has been proven to be of. */
  signers: z.array(keyId).max(16),
  unreadable: z.string().max(1_000).nullable(),
  /** The step of a flow it says it belongs to. */
  step: stepSchema.nullable().default(null),
  /** null: a Sigstore bundle, or no signed content at all. */
  wrapping: z.enum(WRAPPINGS).nullable().default(null),
  /** What it can be found by, besides its type and subjects. */
  fields: z.array(fieldSchema).max(FIELD_LIMITS.count).default([]),
});

/** A piece as it is given to an organisation: where, and by which way. */
export const givenSchema = pieceSchema.extend({ repository: repository.nullable(), source: sourceSchema });

export type Piece = z.output<typeof pieceSchema>;
export type Given = z.output<typeof givenSchema>;
