import type { Reader } from "./database.ts";

/** A row of something an organisation has, as it stood from one event to another. */
interface StandingRow {
  readonly org: string;
  readonly from_seq: number;
  readonly to_seq: number | null;
}

/** Such a row of something that the organisation calls by a name. */
interface NamedRow extends StandingRow {
  readonly name: string;
}

/** Tables of such rows, each with an index over (org, name) of those that stand and one over (org, from_seq). */
type NamedTable = "webhook" | "workload_identity" | "replication";

/** These, and tables of rows without a name of their own: with an index over (org, from_seq), and one of those that stand by org. */
type StandingTable = NamedTable | "mirror";

const rowsOf = (reader: Reader, table: StandingTable, org: string) =>
  reader.tables<Record<StandingTable, StandingRow>>().selectFrom(table).where("org", "=", org);

/** What has this name now. */
export async function currentNamed<Row extends NamedRow>(
  reader: Reader,
  table: NamedTable,
  org: string,
  name: string,
): Promise<Row | undefined> {
  const query = reader
    .tables<Record<NamedTable, NamedRow>>()
    .selectFrom(table)
    .selectAll()
    .where("org", "=", org)
    .where("name", "=", name)
    .where("to_seq", "is", null);
  return (await query.executeTakeFirst()) as Row | undefined;
}

/** How many an organisation has now. */
export async function countStanding(reader: Reader, table: StandingTable, org: string): Promise<number> {
  const row = await rowsOf(reader, table, org)
    .select((where) => where.fn.countAll<number | string | bigint>().as("count"))
    .where("to_seq", "is", null)
    .executeTakeFirstOrThrow();
  return Number(row.count);
}

/** An organisation's as of an event, in the order they were last set, those after a place. */
export async function listStanding<Row extends StandingRow>(
  reader: Reader,
  table: StandingTable,
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
  return rows as unknown as Row[];
}
