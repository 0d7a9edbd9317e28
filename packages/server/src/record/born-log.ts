import { z } from "zod";
import type { LogIdentity } from "../log/check.ts";
import type { Reader } from "../storage/database.ts";
import { decodeEnvelope } from "./event.ts";
import type { RecordTables } from "./schema.ts";
import { successions } from "./succession.ts";

const bornBody = z.object({ name: z.string(), origin: z.string(), vkey: z.string() });

/**
 * The origin and key the record's log was born with, by the first event of the record, which every checkpoint covers. Undefined when
 * that event is not there or cannot be read.
 */
export async function bornLog(reader: Reader): Promise<LogIdentity | undefined> {
  const row = await reader
    .tables<RecordTables>()
    .selectFrom("event")
    .select("bytes")
    .where("sequence", "=", 0)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  try {
    // A log that was closed and succeeded goes on under what its newest successor was born with.
    const successor = (await successions(reader)).at(-1);
    if (successor !== undefined) return { origin: successor.origin, vkey: successor.vkey };
    const envelope = decodeEnvelope(row.bytes);
    if (envelope.type !== "record.log-created") return undefined;
    const { origin, vkey } = bornBody.parse(envelope.body);
    return { origin, vkey };
  } catch {
    // The event is found damaged when it is checked.
    return undefined;
  }
}
