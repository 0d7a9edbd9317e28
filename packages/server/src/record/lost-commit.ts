import { setTimeout as sleep } from "node:timers/promises";
import { equalBytes } from "@assay/evidence";
import { ServerError } from "../errors.ts";
import type { SequencedLog } from "../log/log.ts";
import type { WriteDatabase } from "../storage/database.ts";
import type { RecordTables } from "./schema.ts";

/** How long it is tried to find out what became of a commit whose answer was lost, ms, and how often. */
const FIND_OUT_MS = 10_000;
const STEP_MS = 200;

/**
 * Whether a batch whose commit nobody answered is recorded, by one of its events: its commitment, over a random salt, stands at its place
 * or it does not. The log's row is given to this transaction when the lost one has ended, so the answer is final; and the tree has
 * afterwards what was committed, by whomever.
 *
 * @param giveUp asked between attempts.
 * @returns undefined when it could not be found out.
 */
export async function isRecorded(
  database: WriteDatabase,
  log: SequencedLog,
  event: { readonly sequence: number; readonly commitment: Uint8Array },
  giveUp: () => boolean,
): Promise<boolean | undefined> {
  const deadline = performance.now() + FIND_OUT_MS;
  while (!giveUp() && performance.now() < deadline) {
    let found: boolean | undefined;
    try {
      await database.transaction(async (batch) => {
        await log.enter(batch);
        const leaf = await batch
          .tables<RecordTables>()
          .selectFrom("leaf")
          .select("commitment")
          .where("sequence", "=", event.sequence)
          .executeTakeFirst();
        found = leaf !== undefined && equalBytes(leaf.commitment, event.commitment);
      });
    } catch {
      // The database is away still, or again. What was read under the lock is true all the same, for this transaction changed nothing;
      // if nothing was read, the caller tells its own error, which says that the outcome is not known.
    }
    if (found !== undefined) return found;
    await sleep(STEP_MS);
  }
  return undefined;
}

/** The error of a commit that was lost with its connection: it did not come about. */
export function notRecorded(cause: unknown): ServerError {
  return new ServerError("database-unavailable", "the database went away while it committed: nothing was recorded", {
    cause,
    hint: "send it again",
  });
}
