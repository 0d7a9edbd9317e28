import type { Reader } from "../storage/database.ts";
import type { RecordTables } from "./schema.ts";

/** The sequence of the newest committed event; -1 when the record is empty. What "as of now" means to a reader. */
export async function newestSequence(reader: Reader): Promise<number> {
  const row = await reader
    .tables<RecordTables>()
    .selectFrom("event")
    .select("sequence")
    .orderBy("sequence", "desc")
    .limit(1)
    .executeTakeFirst();
  return row?.sequence ?? -1;
}
