import type { AdminCommand } from "./command.ts";
import { MIGRATIONS, refillTables } from "../composition.ts";
import { ServerError } from "../errors.ts";
import { holdLog } from "../log/log.ts";
import { RECORD_LOG } from "../record/open.ts";
import type { WriteDatabase } from "../storage/database.ts";
import {
  finishMigration,
  type MigrateOptions,
  programName,
  type SchemaState,
  schemaState,
} from "../storage/migrate.ts";
import type { Migration } from "../storage/migrations/migration.ts";
import { type DatabasePlace, lockPlace, openReader, openWriter } from "../storage/open.ts";

/** `assay server upgrade`. */
export const upgradeCommand: AdminCommand = {
  name: "upgrade",
  usage: "[--finish]",
  summary: "show what an upgrade has left to do; with --finish do it, after which older versions are refused",
  options: { finish: { type: "boolean" } },
  async run({ config, isSet, print }) {
    if (isSet("finish")) {
      const steps = await finishUpgrade(config, MIGRATIONS);
      print(
        { ok: true, finished: steps },
        steps.length === 0 ? "nothing was left to do" : `finished: ${steps.join(", ")}`,
      );
      return 0;
    }
    const { applied, newer, pending } = await upgradeState(config, MIGRATIONS);
    print(
      { ok: true, applied: applied.length, newer: [...newer], pending: pending.map((step) => ({ ...step })) },
      stateText({ applied, newer, pending }),
    );
    return 0;
  },
};

function stateText({ applied, newer, pending }: SchemaState): string {
  const names = (kind: "expand" | "contract"): string[] =>
    pending.filter((step) => step.kind === kind).map(({ name }) => name);
  const [expanding, contracting] = [names("expand"), names("contract")];
  return [
    `the schema has ${applied.length} steps`,
    ...(newer.length === 0
      ? []
      : [`${newer.length} of a newer version, which this one can work with: ${newer.join(", ")}`]),
    ...(expanding.length === 0 ? [] : [`the next start of a server runs ${expanding.join(", ")}`]),
    contracting.length === 0
      ? "nothing is left for --finish"
      : `--finish runs ${contracting.join(", ")}; from then on older versions are refused`,
  ].join("\n");
}

/** Where the schema of a place stands. It changes nothing, and may be asked beside running servers. */
export async function upgradeState(place: DatabasePlace, migrations: readonly Migration[]): Promise<SchemaState> {
  const reader = openReader(place);
  try {
    return await schemaState(reader, migrations);
  } finally {
    await reader.close();
  }
}

/**
 * Runs what an upgrade has left to do. With SQLite no server may run; with PostgreSQL those of this program may, and a server of another
 * one that comes to later (it was stopped, or cut off) is refused at its next write (`schemaFence`).
 *
 * @throws ServerError `upgrade-too-early` when servers of another program are at work, `data-directory-busy`, `schema-too-new`.
 */
export async function finishUpgrade(
  place: DatabasePlace,
  migrations: readonly Migration[],
  refill: NonNullable<MigrateOptions["refill"]> = refillTables,
): Promise<string[]> {
  const lock = lockPlace(place);
  const database = openWriter(place);
  try {
    await refuseOtherPrograms(database, migrations);
    return await finishMigration(database, migrations, {
      refill,
      alone: async (batch) => {
        // From here to the commit no host sequences: whoever waited for the row finds the schema as it will be.
        if (database.shared) await holdLog(batch, RECORD_LOG);
        await refuseOtherPrograms(database, migrations);
      },
    });
  } finally {
    await database.close();
    lock.release();
  }
}

async function refuseOtherPrograms(database: WriteDatabase, migrations: readonly Migration[]): Promise<void> {
  const others = (await database.servers()).filter(({ program }) => program !== programName(migrations));
  if (others.length === 0) return;
  const names = others.map(
    ({ program, address }) => `${program === "" ? "?" : program} from ${address ?? "a local socket"}`,
  );
  throw new ServerError("upgrade-too-early", `servers of another version are at work: ${names.join(", ")}`, {
    hint: "upgrade or stop them all first: they could not go on after this",
  });
}
