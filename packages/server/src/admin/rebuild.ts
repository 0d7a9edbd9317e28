import { rm } from "node:fs/promises";
import { join } from "node:path";
import { parseVkey } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import type { AdminCommand } from "./command.ts";
import { composeParts, MIGRATIONS, refillTables } from "../composition.ts";
import { ServerError } from "../errors.ts";
import { MasterKey } from "../keys/master.ts";
import { holdLog, newestCheckpointPath, openCheckpoint } from "../log/log.ts";
import type { LogTables } from "../log/schema.ts";
import { openRecord, RECORD_LOG, recordLogDirectory } from "../record/open.ts";
import { refill } from "../record/refill.ts";
import type { WriteDatabase } from "../storage/database.ts";
import { readIfThere } from "../storage/durable.ts";
import { migrate } from "../storage/migrate.ts";
import { beforeSigning } from "../witness-composition.ts";
import { type DatabasePlace, lockPlace, openWriter } from "../storage/open.ts";

/** What is rebuilt. */
export interface RebuildOptions extends DatabasePlace {
  readonly masterKey?: string | undefined;
  /** Those who may know that this is an older copy of the record. */
  readonly witnessPolicy?: string | undefined;
  readonly tell: (line: string) => void;
}

/** `assay server rebuild`. */
export const rebuildCommand: AdminCommand = {
  name: "rebuild",
  usage: "",
  summary: "refill the tables and tiles from the events (server stopped)",
  options: {},
  async run({ config, tell, print }) {
    const rebuilt = await rebuildDirectory({ ...config, tell });
    print({ ok: true, ...rebuilt }, `rebuilt from ${rebuilt.events} events`);
    return 0;
  },
};

/**
 * Refills every projected table from the events, in one transaction, and publishes the log's tiles anew. The server must be
 * stopped. Events that do not hold against their leaves and chains are never replayed.
 *
 * @throws ServerError `check-failed` when the events themselves are damaged; then nothing is changed.
 */
export async function rebuildDirectory(options: RebuildOptions): Promise<{ events: number }> {
  const { dataDirectory, databaseUrl, masterKey, tell } = options;
  const place = { dataDirectory, databaseUrl };
  const lock = lockPlace(place);
  const database = openWriter(place);
  try {
    await migrate(database, MIGRATIONS, { refill: refillTables });
    const parts = composeParts();
    const count = await database.transaction(
      async (batch) => {
        if (database.shared) await holdLog(batch, RECORD_LOG);
        return await refill(batch, parts, nodeCrypto, tell);
      },
      { long: true },
    );
    tell(`events: ${count}`);
    // COMMIT POINT of a rebuild was the transaction above. Before: the tables are as they were. After: they are what the events say. What
    // follows can be begun again at any point, by this or by a server's start.
    //
    // Tiles are a function of committed leaves. With the published checkpoint gone the log opens from the leaves alone, holds them
    // against the committed root, and publishes everything again.
    const directory = recordLogDirectory(dataDirectory);
    await refuseOlderCopy(database, directory);
    await rm(join(directory, "checkpoint"), { force: true });
    await rm(join(directory, "tile"), { recursive: true, force: true });
    const master = MasterKey.choose(masterKey, dataDirectory, false);
    const asking = beforeSigning(options.witnessPolicy, nodeCrypto, (notice) => tell(`not asked: ${notice}`));
    const opening = { database, dataDirectory, master, parts, founding: [], host: undefined, beforeSigning: asking };
    const { writer } = await openRecord(opening);
    await writer.stop();
    tell("tiles published");
    return { events: count };
  } finally {
    await database.close();
    lock.release();
  }
}

/**
 * Whether the newest signed checkpoint is over more than this database holds: then it is an older copy, and the published tiles may be
 * all that is left of what came later.
 */
async function refuseOlderCopy(database: WriteDatabase, directory: string): Promise<void> {
  const note = await readIfThere(newestCheckpointPath(directory));
  if (note === undefined) return;
  const state = await database
    .reader()
    .tables<LogTables>()
    .selectFrom("log_state")
    .select(["origin", "vkey", "size"])
    .where("name", "=", RECORD_LOG)
    .executeTakeFirstOrThrow();
  const { size } = await openCheckpoint(nodeCrypto, note, parseVkey(state.vkey), state.origin);
  if (size <= state.size) return;
  throw new ServerError(
    "log-behind-checkpoint",
    `the database holds ${state.size} entries of ${state.origin}, but a checkpoint over ${size} was signed`,
    { hint: "this is an older copy of the database: put the newest one back. The tiles were left as they are" },
  );
}
