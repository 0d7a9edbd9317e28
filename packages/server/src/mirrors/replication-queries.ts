import type { Selectable } from "kysely";
import type { ListPlace } from "../access/queries.ts";
import type { Reader } from "../storage/database.ts";
import { countStanding, currentNamed, listStanding } from "../storage/named-rows.ts";
import type { MirrorTables } from "./schema.ts";

export type ReplicationRow = Selectable<MirrorTables["replication"]>;
export type RunRow = Selectable<MirrorTables["mirror_run"]>;

/** The replication of this name as it stands now. */
export function currentReplication(reader: Reader, org: string, name: string): Promise<ReplicationRow | undefined> {
  return currentNamed(reader, "replication", org, name);
}

/** How many replications an organisation has now. */
export function countReplications(reader: Reader, org: string): Promise<number> {
  return countStanding(reader, "replication", org);
}

/** An organisation's replications as of a sequence, by the sequence they were set at. */
export function listReplications(reader: Reader, org: string, place: ListPlace): Promise<ReplicationRow[]> {
  return listStanding(reader, "replication", org, place);
}

/** All replications after one (exclusive), by organisation and name, at most `limit`. */
export async function allReplications(
  reader: Reader,
  after: { readonly org: string; readonly name: string },
  limit: number,
): Promise<ReplicationRow[]> {
  return await reader
    .tables<MirrorTables>()
    .selectFrom("replication")
    .selectAll()
    .where("to_seq", "is", null)
    .where("org", ">=", after.org)
    .where((is) => is.or([is("org", ">", after.org), is("name", ">", after.name)]))
    .orderBy("org")
    .orderBy("name")
    .limit(limit)
    .execute();
}

/** An organisation's replications that go along with what is pushed. */
export async function replicationsOnEvents(reader: Reader, org: string): Promise<ReplicationRow[]> {
  const rows = await reader
    .tables<MirrorTables>()
    .selectFrom("replication")
    .selectAll()
    .where("org", "=", org)
    .where("to_seq", "is", null)
    .execute();
  return rows.filter((row) => row.on_events === 1);
}

/** The newest run of something; undefined when there was none. */
export function findRun(reader: Reader, org: string, subject: string): Promise<RunRow | undefined> {
  return reader
    .tables<MirrorTables>()
    .selectFrom("mirror_run")
    .selectAll()
    .where("org", "=", org)
    .where("subject", "=", subject)
    .executeTakeFirst();
}
