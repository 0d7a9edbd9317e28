import type { Reader } from "../storage/database.ts";
import type { WitnessTables } from "./schema.ts";

/** The newest checkpoint we cosigned of a log. */
export async function witnessedLog(
  reader: Reader,
  origin: string,
): Promise<WitnessTables["witnessed_log"] | undefined> {
  return await reader
    .tables<WitnessTables>()
    .selectFrom("witnessed_log")
    .selectAll()
    .where("origin", "=", origin)
    .executeTakeFirst();
}

/** The newest checkpoint of our own log that a quorum has cosigned, on any host; undefined before the first. */
export async function newestWitnessed(
  reader: Reader,
  log: string,
): Promise<{ readonly size: number; readonly note: string } | undefined> {
  const row = await reader
    .tables<WitnessTables>()
    .selectFrom("witness_turn")
    .select(["size", "note"])
    .where("log", "=", log)
    .executeTakeFirst();
  return row === undefined || row.size < 0 ? undefined : row;
}

/** Whose turn it is to ask our witnesses, and until when by the writer's clock, ms. */
export async function turnOf(
  reader: Reader,
  log: string,
): Promise<Pick<WitnessTables["witness_turn"], "holder" | "until"> | undefined> {
  return await reader
    .tables<WitnessTables>()
    .selectFrom("witness_turn")
    .select(["holder", "until"])
    .where("log", "=", log)
    .executeTakeFirst();
}

/** What our witnesses answered last, by their verifier key. */
export async function witnessAnswers(reader: Reader): Promise<Map<string, WitnessTables["witness_answer"]>> {
  const rows = await reader.tables<WitnessTables>().selectFrom("witness_answer").selectAll().execute();
  return new Map(rows.map((row) => [row.vkey, row]));
}
