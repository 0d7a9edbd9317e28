import { isDigest, LIMITS } from "@assay/evidence";
import { z } from "zod";
import { stepSchema } from "./step.ts";

/**
 * What the bytes of a piece of evidence are: a signed statement, a signature over an artifact's bytes, an unsigned report, or something
 * that came as a bundle and cannot be read as one.
 */
export const EVIDENCE_FORMS = ["dsse", "message-signature", "report", "unreadable"] as const;
export type EvidenceForm = (typeof EVIDENCE_FORMS)[number];

export const digestSchema = z.string().refine(isDigest, { error: 'is "sha256:" and 64 lower-case hexadecimal digits' });

const keyId = z.string().regex(/^[0-9a-f]{64}$/);
const repository = z.string().min(1).max(LIMITS.repositoryLength);

/** How a piece came here. */
export const sourceSchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("api") }),
  /** As a layer of this manifest, pushed to the repository. */
  z.strictObject({ kind: z.literal("referrer"), manifest: digestSchema }),
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
});

/** A piece as it is given to an organisation: where, and by which way. */
export const givenSchema = pieceSchema.extend({ repository: repository.nullable(), source: sourceSchema });

export type Piece = z.output<typeof pieceSchema>;
export type Given = z.output<typeof givenSchema>;
