import { type RawBuilder, sql, type SqlBool } from "kysely";
import type { RecordTables } from "../record/schema.ts";
import { newestSequence } from "../record/newest.ts";
import type { Reader } from "../storage/database.ts";

/** Digests asked about in one statement. Two fixed sizes, so that two prepared statements serve every question. */
const BATCHES = [16, 256] as const;

/**
 * Those of some digests for which one of the queries finds a row: each is asked for every digest by itself and ends at the first row, however
 * many name the same bytes.
 *
 * @param keeps queries about `asked.digest`, each `select 1 from …`.
 */
export async function keptAmong(
  reader: Reader,
  digests: readonly string[],
  keeps: readonly RawBuilder<unknown>[],
): Promise<string[]> {
  const kept: string[] = [];
  const [small, large] = BATCHES;
  const step = digests.length > small ? large : small;
  // Not `exists`: PostgreSQL would read a whole table to answer it for all digests at once.
  const found = keeps.map((query) => sql<SqlBool>`(${query} limit 1) is not null`);
  for (let at = 0; at < digests.length; at += step) {
    const batch = digests.slice(at, at + step);
    // Padding is no digest, and kept by nothing.
    const values = [...batch, ...Array.from({ length: step - batch.length }, () => "")];
    const listed = sql.join(values.map((digest) => sql`(${digest})`));
    const rows = await reader
      .tables<Record<never, never>>()
      .with("asked", () => sql<{ digest: string }>`(select column1 as digest from (values ${listed}) as listed)`)
      .selectFrom("asked")
      .select("asked.digest")
      .where(sql<SqlBool>`(${sql.join(found, sql` or `)})`)
      .execute();
    for (const { digest } of rows) kept.push(digest);
  }
  return kept;
}

/**
 * The first sequence whose event is of `time` or later; one past the newest when there is none. Events' times never fall with their
 * sequence (record/writer.ts), and no sequence is left out: so it is found by halving.
 */
export async function firstSince(reader: Reader, time: number): Promise<number> {
  let from = 0;
  let to = (await newestSequence(reader)) + 1;
  while (from < to) {
    const middle = Math.floor((from + to) / 2);
    const row = await reader
      .tables<RecordTables>()
      .selectFrom("event")
      .select("time")
      .where("sequence", "=", middle)
      .executeTakeFirst();
    if (row !== undefined && row.time < time) from = middle + 1;
    else to = middle;
  }
  return from;
}
