import type { Reader } from "../storage/database.ts";
import { prepared } from "../storage/prepared.ts";
import type { RecordTables } from "./schema.ts";
import { ONE_ROW } from "../storage/one-row.ts";

const newest = prepared((reader) =>
  reader.tables<RecordTables>().selectFrom("event").select("sequence").orderBy("sequence", "desc").limit(ONE_ROW),
);

/** The sequence of the newest committed event; -1 when the record is empty. What "as of now" means to a reader. */
export async function newestSequence(reader: Reader): Promise<number> {
  return (await newest(reader, {}))[0]?.sequence ?? -1;
}
