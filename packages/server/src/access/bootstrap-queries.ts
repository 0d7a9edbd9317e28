import { sql } from "kysely";
import type { Reader } from "../storage/database.ts";
import type { AccessTables } from "./schema.ts";

/** How often the bootstrap admin's token was used on a route in an hour (hours since the epoch). */
export type BootstrapUse = { readonly hour: number; readonly route: string; readonly count: number };

/** Uses counted in hours before `hour` that no event tells of yet, oldest first. */
export async function unrecordedUses(reader: Reader, hour: number, limit: number): Promise<BootstrapUse[]> {
  const rows = await reader
    .tables<AccessTables>()
    .selectFrom("bootstrap_use_count as counted")
    .select(["counted.hour", "counted.route", "counted.count"])
    // A look-up by key for each: a join may be planned as a walk through both tables.
    .select((row) =>
      row
        .selectFrom("bootstrap_use as recorded")
        .select("recorded.count")
        .whereRef("recorded.hour", "=", "counted.hour")
        .whereRef("recorded.route", "=", "counted.route")
        .as("known"),
    )
    .where("counted.hour", "<", hour)
    .where(
      sql<boolean>`counted.count > coalesce((select recorded.count from bootstrap_use as recorded where recorded.hour = counted.hour and recorded.route = counted.route), 0)`,
    )
    .orderBy("counted.hour")
    .orderBy("counted.route")
    .limit(limit)
    .execute();
  return rows.map(({ known, count, ...use }) => ({ ...use, count: count - (known ?? 0) }));
}

/** The uses counted since an hour, newest hour first. */
export function countedUses(reader: Reader, since: number, limit: number): Promise<BootstrapUse[]> {
  return reader
    .tables<AccessTables>()
    .selectFrom("bootstrap_use_count")
    .select(["hour", "route", "count"])
    .where("hour", ">=", since)
    .orderBy("hour", "desc")
    .orderBy("route", "desc")
    .limit(limit)
    .execute();
}
