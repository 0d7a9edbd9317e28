import { parseDigest } from "@assay/evidence";
import { z } from "zod";
import type { JsonObject, Refusal } from "../record/command.ts";
import { isNamedDigest, isSha512, type NamedDigest } from "./digest.ts";
import { LEASE_MS } from "./limits.ts";

/** What operations on blobs and uploads are asked with: the SHA-256 of the bytes. */
export const digest = z
  .string()
  .regex(/^sha256:[0-9a-f]{64}$/)
  .transform((text) => parseDigest(text));
/** Another name of the bytes, which whoever asks has computed from them. */
export const sha512 = z.string().refine(isSha512, "not a sha512 digest").nullable();
/** A digest of either algorithm. */
export const named = z.custom<NamedDigest>(isNamedDigest, "not a digest");
export const size = z.int().nonnegative();
/** How long a lease lasts, ms. */
export const leaseMs = z.int().min(1).max(LEASE_MS);

const refusalSchema = z.object({
  code: z.string(),
  status: z.int(),
  message: z.string(),
  hint: z.string().optional(),
  detail: z.json().optional(),
});

/** The refusal that an operation answered with. */
export function operationRefusal(answer: JsonObject): Refusal {
  const { hint, detail, ...refusal } = refusalSchema.parse(answer["refusal"]);
  return { ...refusal, ...(hint === undefined ? {} : { hint }), ...(detail === undefined ? {} : { detail }) };
}

/** A refusal as an operation answers with it. */
export const asJson = (refusal: Refusal): JsonObject => JSON.parse(JSON.stringify(refusal)) as JsonObject;
