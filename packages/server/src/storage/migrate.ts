import { ServerError } from "../errors.ts";
import type { Batch, Reader, WriteDatabase } from "./database.ts";
import type { Migration } from "./migrations/migration.ts";
import { ONE_ROW } from "./one-row.ts";

type Kind = "expand" | "contract";

interface MigrationTables {
  /** `kind` was not there before the first contracting step was possible: absent, the step expanded. */
  schema_migration: { name: string; position: number; kind: Kind };
}

/** A step that a database holds. */
interface AppliedStep {
  readonly name: string;
  readonly kind: Kind;
}

/** Where a database's schema stands, as a program sees it. */
export interface SchemaState {
  /** Steps it holds, in order. */
  readonly applied: readonly string[];
  /** Steps it holds that this program does not know and can work with: a newer program expanded it. */
  readonly newer: readonly string[];
  /** Steps this program knows and the database lacks, in order. */
  readonly pending: readonly { readonly name: string; readonly kind: Kind }[];
}

/** How a step's tables are filled again from the events (record/refill.ts). */
export interface MigrateOptions {
  readonly refill?: (batch: Batch, database: WriteDatabase) => Promise<unknown>;
}

const kindOf = (migration: Migration): Kind => migration.kind ?? "expand";

/** The name a program's sessions go by at the database: that of the newest step it knows. */
export function programName(migrations: readonly Migration[]): string {
  return migrations.at(-1)?.name ?? "";
}

async function appliedSteps(reader: Reader): Promise<AppliedStep[]> {
  const rows = await reader
    .tables<MigrationTables>()
    .selectFrom("schema_migration")
    .selectAll()
    .orderBy("position")
    .execute();
  return rows.map(({ name, kind }) => ({ name, kind: (kind as Kind | undefined) ?? "expand" }));
}

/**
 * What a program makes of a schema. Pure.
 *
 * @throws ServerError `schema-too-new` when the schema holds a contracting step this program does not know, or is not a continuation of
 *   this program's steps: an older program never writes into a schema it cannot work with.
 */
export function judgeSchema(applied: readonly AppliedStep[], migrations: readonly Migration[]): SchemaState {
  const newer: string[] = [];
  for (const [position, { name, kind }] of applied.entries()) {
    if (migrations[position]?.name === name) continue;
    if (position < migrations.length || kind === "contract") {
      throw new ServerError(
        "schema-too-new",
        `the database was written by a newer Assay: it has the schema step ${name}, which this one cannot work with`,
        { hint: "start the newer version, or restore a backup made before the upgrade was finished" },
      );
    }
    newer.push(name);
  }
  return {
    applied: applied.map(({ name }) => name),
    newer,
    pending: migrations.slice(applied.length).map((migration) => ({ name: migration.name, kind: kindOf(migration) })),
  };
}

/** Where the schema stands, without changing anything. @throws ServerError as {@link judgeSchema}. */
export async function schemaState(reader: Reader, migrations: readonly Migration[]): Promise<SchemaState> {
  return judgeSchema(await appliedSteps(reader), migrations);
}

/**
 * Brings the schema to what this program needs, one transaction a step: all steps of a new database, the expanding ones of an older one.
 * Of several servers started together one does it, the others wait and find it done.
 *
 * @throws ServerError `schema-too-new`; `upgrade-unfinished` when a step of this program builds on a contracting one that was never run:
 *   then nothing is changed.
 */
export async function migrate(
  database: WriteDatabase,
  migrations: readonly Migration[],
  options: MigrateOptions = {},
): Promise<void> {
  await database.alone(async () => {
    const state = await openSchema(database, migrations);
    const contract = state.pending.findIndex(({ kind }) => kind === "contract");
    // Nobody works with a database that has no step: none of them can take anything from anybody.
    const until = state.applied.length === 0 || contract === -1 ? state.pending.length : contract;
    const behind = state.pending.slice(until).find(({ kind }) => kind === "expand");
    if (behind !== undefined) {
      throw new ServerError(
        "upgrade-unfinished",
        `the former upgrade was never finished: ${state.pending[until]?.name} must come before ${behind.name}`,
        {
          hint: "stop every server of an older release, run `assay server upgrade --finish`, and start this one again",
        },
      );
    }
    const end = state.applied.length + until;
    for (let step = state.applied.length; step < end; ) step = await apply(database, migrations, step, end, options);
  });
}

/**
 * Runs every step that waits, the contracting ones too. From the first of those on, programs that do not know it are refused.
 *
 * @param options `alone` is asked inside each contracting step's transaction, and throws when an older program may be at work.
 * @returns the steps that were run.
 * @throws ServerError `schema-too-new`, and what `alone` throws; steps done before stay done.
 */
export async function finishMigration(
  database: WriteDatabase,
  migrations: readonly Migration[],
  options: MigrateOptions & { readonly alone: (batch: Batch) => Promise<void> },
): Promise<string[]> {
  return await database.alone(async () => {
    const { applied, pending } = await openSchema(database, migrations);
    const end = applied.length + pending.length;
    for (let step = applied.length; step < end; ) {
      step = await apply(database, migrations, step, end, options, options.alone);
    }
    return pending.map(({ name }) => name);
  });
}

/**
 * What a running server asks inside each of its transactions where others may change the schema under it: a contracting step that it does
 * not know ends its right to write. It holds the log's row by then, which such a step takes too, so none can come in between.
 *
 * @throws ServerError `schema-too-new`.
 */
export function schemaFence(migrations: readonly Migration[]): (reader: Reader) => Promise<void> {
  const known = new Set(migrations.map(({ name }) => name));
  return async (reader) => {
    const contracts = await reader
      .tables<MigrationTables>()
      .selectFrom("schema_migration")
      .select("name")
      .where("kind", "=", "contract")
      .execute();
    const unknown = contracts.find(({ name }) => !known.has(name));
    if (unknown === undefined) return;
    throw new ServerError("schema-too-new", `an upgrade was finished while this server ran: ${unknown.name}`, {
      hint: "stop this server: its version is too old for the database now",
    });
  };
}

/** Makes the table of steps what it is today, and reads it. */
async function openSchema(database: WriteDatabase, migrations: readonly Migration[]): Promise<SchemaState> {
  await database.transaction(async (batch) => {
    const { schema } = batch.schema();
    await schema
      .createTable("schema_migration")
      .ifNotExists()
      .addColumn("name", "text", (column) => column.primaryKey())
      .addColumn("position", "integer", (column) => column.notNull())
      .addColumn("kind", "text", (column) => column.notNull().defaultTo("expand"))
      .execute();
    const [first] = await batch
      .tables<MigrationTables>()
      .selectFrom("schema_migration")
      .selectAll()
      .limit(ONE_ROW)
      .execute();
    if (first === undefined || "kind" in first) return;
    await schema
      .alterTable("schema_migration")
      .addColumn("kind", "text", (column) => column.notNull().defaultTo("expand"))
      .execute();
  });
  return await schemaState(database.reader(), migrations);
}

/**
 * Runs the step at `position`; and, when it asks for the tables to be filled again, all that are to be run before `until`, because
 * what fills them is this program, which knows the tables only as they are after all its steps.
 *
 * @returns the position of the next step to run.
 */
async function apply(
  database: WriteDatabase,
  migrations: readonly Migration[],
  position: number,
  until: number,
  options: MigrateOptions,
  alone?: (batch: Batch) => Promise<void>,
): Promise<number> {
  let next = position;
  // COMMIT POINT of a schema step. Before: the schema is as the step before left it. After: the step's changes and its row stand together,
  // and no start does it again.
  await database.transaction(
    async (batch) => {
      let refill = false;
      next = position;
      do {
        const migration = migrations[next];
        if (migration === undefined) throw new ServerError("internal", `there is no schema step at ${next}`);
        const kind = kindOf(migration);
        if (kind === "contract") await alone?.(batch);
        if ((await migration.up(batch.schema())) === "refill") refill = true;
        if (refill && options.refill === undefined) {
          throw new ServerError("internal", `${migration.name} needs the tables refilled, and nobody said how`);
        }
        await batch
          .tables<MigrationTables>()
          .insertInto("schema_migration")
          .values({ name: migration.name, position: next, kind })
          .execute();
        next += 1;
      } while (refill && next < until);
      if (refill) await options.refill?.(batch, database);
    },
    { long: true },
  );
  return next;
}
