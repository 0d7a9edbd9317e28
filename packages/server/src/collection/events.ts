import { z } from "zod";
import { defineEvent } from "../record/command.ts";
import { COLLECTION_LIMITS } from "./limits.ts";
import type { CollectionTables } from "./schema.ts";

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);

/** Bytes that nothing named any more, and that are removed from here on. Their digests are why `check` does not miss them. */
export const blobsCollectedBody = z.strictObject({
  blobs: z
    .array(
      z.strictObject({
        digest,
        /** Bytes. */
        size: z.int().nonnegative(),
        /** The generation that begins: the bytes of all before it count no more. */
        generation: z.int().positive(),
      }),
    )
    .min(1)
    .max(COLLECTION_LIMITS.step),
  /** How long what was deleted was kept, ms. */
  graceMs: z.int().nonnegative(),
  /** Who asked for the run; null for one of the schedule. */
  requestedBy: z.string().nullable(),
});

export const collectionEvents = [
  defineEvent({
    type: "collection.blobs-collected",
    version: 1,
    body: blobsCollectedBody,
    project: async (transactor, event) => {
      for (const { digest: collected, size, generation } of event.body.blobs) {
        const row = { generation, size, sequence: event.sequence };
        await transactor
          .tables<CollectionTables>()
          .insertInto("collected_blob")
          .values({ digest: collected, ...row })
          .onConflict((conflict) => conflict.column("digest").doUpdateSet(row))
          .execute();
      }
    },
  }),
];
