import type { Reader } from "../storage/database.ts";
import type { NewestFirst } from "./repository-queries.ts";
import type { RegistryTables } from "./schema.ts";

export type DeletionRow = RegistryTables["deletion"];

/** What the event of this sequence deleted; undefined when it deleted nothing. */
export async function findDeletion(reader: Reader, sequence: number): Promise<DeletionRow | undefined> {
  return await reader
    .tables<RegistryTables>()
    .selectFrom("deletion")
    .selectAll()
    .where("sequence", "=", sequence)
    .executeTakeFirst();
}

/** What is deleted in an organisation and has not come back, since a time (ms), the newest first; of one repository when it is named. */
export async function listDeletions(
  reader: Reader,
  org: string,
  since: number,
  page: NewestFirst & { readonly repository: string | undefined },
): Promise<DeletionRow[]> {
  let query = reader
    .tables<RegistryTables>()
    .selectFrom("deletion")
    .selectAll()
    .where("org", "=", org)
    .where("sequence", "<=", page.asOf)
    .where("time", ">", since)
    .where("restored_seq", "is", null);
  if (page.before !== undefined) query = query.where("sequence", "<", page.before);
  if (page.repository !== undefined) query = query.where("repository", "=", page.repository);
  return await query.orderBy("sequence", "desc").limit(page.limit).execute();
}

/** Tags of a manifest that were deleted together with it. */
export async function tagsDeletedWith(
  reader: Reader,
  deletion: Pick<DeletionRow, "rows_in" | "digest" | "sequence">,
): Promise<string[]> {
  const rows = await reader
    .tables<RegistryTables>()
    .selectFrom("tag")
    .select("name")
    .where("repository", "=", deletion.rows_in)
    .where("to_seq", "=", deletion.sequence)
    .where("digest", "=", deletion.digest ?? "")
    .orderBy("name")
    .execute();
  return rows.map((row) => row.name);
}

/** The digests that must be in the store for a deletion to come back whole, at most `limit`, by digest after `last` (exclusive). */
export async function bytesOfDeleted(
  reader: Reader,
  deletion: Pick<DeletionRow, "rows_in" | "sequence">,
  page: { readonly last: string; readonly limit: number },
): Promise<string[]> {
  const tables = reader.tables<RegistryTables>();
  const { last, limit } = page;
  const manifests = await tables
    .selectFrom("manifest")
    .select("digest")
    .where("repository", "=", deletion.rows_in)
    .where("to_seq", "=", deletion.sequence)
    .where("digest", ">", last)
    .orderBy("digest")
    .limit(limit)
    .execute();
  const named = await tables
    .selectFrom("manifest_reference")
    .select("digest")
    .distinct()
    .where("repository", "=", deletion.rows_in)
    .where("to_seq", "=", deletion.sequence)
    .where("held", "=", 1)
    .where("digest", ">", last)
    .orderBy("digest")
    .limit(limit)
    .execute();
  return [...new Set([...manifests, ...named].map((row) => row.digest))].toSorted().slice(0, limit);
}
