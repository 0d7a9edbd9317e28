import type { Reader } from "../storage/database.ts";
import type { CollectionTables } from "./schema.ts";

export type RunRow = CollectionTables["collection_run"];

/** A run by its number. */
export async function findRun(reader: Reader, id: number): Promise<RunRow | undefined> {
  return await reader
    .tables<CollectionTables>()
    .selectFrom("collection_run")
    .selectAll()
    .where("id", "=", id)
    .executeTakeFirst();
}

/** The newest runs, newest first. */
export async function listRuns(reader: Reader, limit: number): Promise<RunRow[]> {
  return await reader
    .tables<CollectionTables>()
    .selectFrom("collection_run")
    .selectAll()
    .orderBy("id", "desc")
    .limit(limit)
    .execute();
}
