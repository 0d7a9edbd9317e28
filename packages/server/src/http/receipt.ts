import { z } from "zod";

/** A receipt of the record in answers: the RecordReceipt of `@assay/evidence`, which verifies it without this server. */
export const receiptSchema = z
  .strictObject({
    sequence: z.int().nonnegative(),
    salt: z.string().optional(),
    event: z.string().optional(),
    commitment: z.string(),
    size: z.int().nonnegative(),
    proof: z.array(z.string()).readonly(),
    checkpoint: z.string(),
    /** The sequence of the event that redacted this one. */
    redacted: z.int().nonnegative().optional(),
  })
  .describe("Proof that the event stands in the record: inclusion proof and signed checkpoint.");
