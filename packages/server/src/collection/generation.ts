import type { Digest } from "@assay/evidence";
import { sql } from "kysely";
import type { Reader } from "../storage/database.ts";
import { FIRST_GENERATION } from "../storage/generations.ts";
import { prepared } from "../storage/prepared.ts";
import { keptAmong } from "./kept.ts";
import type { CollectionTables } from "./schema.ts";

const countingGeneration = prepared((reader, at: { digest: string }) =>
  reader.tables<CollectionTables>().selectFrom("collected_blob").select("generation").where("digest", "=", at.digest),
);

/** The generation of a digest that counts: what was put under it, and named since, is there. */
export async function generationOf(reader: Reader, digest: Digest): Promise<number> {
  const [row] = await countingGeneration(reader, { digest });
  return row?.generation ?? FIRST_GENERATION;
}

/** {@link generationOf} for many: those that were ever collected. */
export async function generationsOf(reader: Reader, digests: readonly string[]): Promise<Map<string, number>> {
  if (digests.length === 0) return new Map();
  const rows = await reader
    .tables<CollectionTables>()
    .selectFrom("collected_blob")
    .select(["digest", "generation"])
    .where("digest", "in", digests)
    .execute();
  return new Map(rows.map((row) => [row.digest, row.generation]));
}

/** One of some digests that was collected after a sequence; undefined: none was. */
export async function collectedSince(
  reader: Reader,
  digests: readonly string[],
  sequence: number,
): Promise<string | undefined> {
  const [first] = await keptAmong(reader, digests, [
    sql`select 1 from collected_blob where digest = asked.digest and sequence > ${sequence}`,
  ]);
  return first;
}

/** When a digest was collected last: the event, and the generation since. undefined: never. */
export async function collectedAt(
  reader: Reader,
  digest: string,
): Promise<{ readonly sequence: number; readonly generation: number } | undefined> {
  return await reader
    .tables<CollectionTables>()
    .selectFrom("collected_blob")
    .select(["sequence", "generation"])
    .where("digest", "=", digest)
    .executeTakeFirst();
}
