import { parseDigest } from "@assay/evidence";
import { z } from "zod";
import { accept, type CommandDefinition, defineCommand, type KeptAt, refuse } from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import { FIRST_GENERATION } from "../storage/generations.ts";
import { generationOf, generationsOf } from "./generation.ts";
import { firstSince } from "./kept.ts";
import { COLLECTION_LIMITS } from "./limits.ts";
import { BLOB_COLLECTED } from "./naming.ts";

/** Asks every room which of some digests it needs the bytes of. */
export type Keeps = (reader: Reader, digests: readonly string[], at: KeptAt) => Promise<ReadonlySet<string>>;

const digest = z
  .string()
  .regex(/^sha256:[0-9a-f]{64}$/)
  .transform((text) => parseDigest(text));

const collectBody = z.strictObject({
  blobs: z
    .array(z.strictObject({ digest, size: z.int().nonnegative(), generation: z.int().nonnegative() }))
    .min(1)
    .max(COLLECTION_LIMITS.step),
  graceMs: z.int().nonnegative(),
  requestedBy: z.string().nullable(),
});

const requireBody = z.strictObject({ digest, generation: z.int().nonnegative() });

/** What was collected, each with the generation that begins; and of which digests the bytes of ended generations are needed by nothing. */
export const collectResult = z.strictObject({
  collected: z.array(z.strictObject({ digest: z.string(), size: z.int(), generation: z.int().positive() })),
  leftovers: z.array(z.string()),
});

/** What the rooms are asked for at a moment, where what was deleted is kept for `graceMs`. */
export async function keptAt(reader: Reader, time: number, graceMs: number): Promise<KeptAt> {
  return { time, since: await firstSince(reader, time - graceMs) };
}

/** The commands of garbage collection; `keeps` is filled where the rooms are composed. */
export function collectionCommands(keeps: Keeps): readonly CommandDefinition[] {
  return [
    defineCommand({
      type: "collection.collect",
      body: collectBody,
      decide: async (reader, body, { actor, time }) => {
        if (actor.credential.kind !== "system") {
          return refuse("forbidden", "garbage is collected by the server itself", { status: 403 });
        }
        const asked = body.blobs.map((blob) => blob.digest);
        // A lease that ended before this transaction's time ended before that of every later one: the record's time never falls.
        const kept = await keeps(reader, asked, await keptAt(reader, time, body.graceMs));
        const generations = await generationsOf(reader, asked);
        const collected = new Map<string, { digest: string; size: number; generation: number }>();
        const leftovers: string[] = [];
        for (const { digest: asking, size, generation } of body.blobs) {
          const counting = generations.get(asking) ?? FIRST_GENERATION;
          if (kept.has(asking)) continue;
          // Somebody else has collected it, and did not come to remove it. (One that is ahead of the record was put there before the record was
          // restored from a backup.)
          if (generation < counting) leftovers.push(asking);
          else collected.set(asking, { digest: asking, size, generation: generation + 1 });
        }
        const result = { collected: [...collected.values()], leftovers };
        if (result.collected.length === 0) return accept([], result);
        const { graceMs, requestedBy } = body;
        // COMMIT POINT of a collection, with the batch of this event. Before: the bytes are there, and whoever names them finds them. After:
        // they count no more, whether they are removed yet or not, and whoever is to name them puts them again, in the generation
        // that begins here.
        const event = { blobs: result.collected, graceMs, requestedBy };
        return accept([{ type: "collection.blobs-collected", body: event }], result);
      },
    }),
    defineCommand({
      type: "collection.require",
      body: requireBody,
      decide: async (reader, body) => {
        if ((await generationOf(reader, body.digest)) === body.generation) return accept([]);
        return refuse(BLOB_COLLECTED, `the bytes of ${body.digest} were collected before anything named them`, {
          status: 503,
          hint: "send the same request again",
        });
      },
    }),
  ];
}
