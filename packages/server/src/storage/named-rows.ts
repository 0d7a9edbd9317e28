import type { Reader } from "./database.ts";

/** A row of something that an organisation calls by a name, as it stood from one event to another. */
interface NamedRow {
  readonly org: string;
  readonly name: string;
  readonly from_seq: number;
  readonly to_seq: number | null;
}

/** Tables of such rows, each with an index over (org, name) of those that stand and one over (org, from_seq). */
type NamedTable = "webhook" | "workload_identity";

const rowsOf = (reader: Reader, table: NamedTable, org: string) =>
  reader.tables<Record<NamedTable, NamedRow>>().selectFrom(table).where("org", "=", org);

/** What has this name now. */
export async function currentNamed<Row extends NamedRow>(
  reader: Reader,
  table: NamedTable,
  org: string,
  name: string,
): Promise<Row | undefined> {
  const query = rowsOf(reader, table, org).selectAll().where("name", "=", name).where("to_seq", "is", null);
  return (await query.executeTakeFirst()) as Row | undefined;
}

/** How many an organisation has now. */
export async function countNamed(reader: Reader, table: NamedTable, org: string): Promise<number> {
  const row = await rowsOf(reader, table, org)
    .select((where) => where.fn.countAll<number | string | bigint>().as("count"))
    .where("to_seq", "is", null)
    .executeTakeFirstOrThrow();
  return Number(row.count);
}

/** An organisation's as of an event, in the order they were last set, those after a place. */
export async function listNamed<Row extends NamedRow>(
  reader: Reader,
  table: NamedTable,
  org: string,
  place: { readonly asOf: number; readonly position: number | null; readonly limit: number },
): Promise<Row[]> {
  const rows = await rowsOf(reader, table, org)
    .selectAll()
    .where("from_seq", ">", place.position ?? -1)
    .where("from_seq", "<=", place.asOf)
    .where((where) => where.or([where("to_seq", "is", null), where("to_seq", ">", place.asOf)]))
    .orderBy("from_seq")
    .limit(place.limit)
    .execute();
  return rows as Row[];
}
