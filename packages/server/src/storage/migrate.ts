import { ServerError } from "../errors.ts";
import type { Reader, WriteDatabase } from "./database.ts";
import type { Migration } from "./migrations/migration.ts";

interface MigrationTables {
  schema_migration: { name: string; position: number };
}

async function appliedMigrations(reader: Reader): Promise<string[]> {
  const rows = await reader
    .tables<MigrationTables>()
    .selectFrom("schema_migration")
    .select("name")
    .orderBy("position")
    .execute();
  return rows.map((row) => row.name);
}

/**
 * Brings the schema to this program's state, one transaction a step. Of several servers started together one does it, the others
 * wait and find it done.
 *
 * @throws ServerError `schema-too-new` when the database holds a step this program does not know: an older program never writes
 *   into a newer schema.
 */
export async function migrate(database: WriteDatabase, migrations: readonly Migration[]): Promise<void> {
  await database.alone(() => migrateAlone(database, migrations));
}

async function migrateAlone(database: WriteDatabase, migrations: readonly Migration[]): Promise<void> {
  await database.transaction(async (batch) => {
    await batch
      .schema()
      .schema.createTable("schema_migration")
      .ifNotExists()
      .addColumn("name", "text", (column) => column.primaryKey())
      .addColumn("position", "integer", (column) => column.notNull())
      .execute();
  });
  const applied = await appliedMigrations(database.reader());
  for (const [position, name] of applied.entries()) {
    if (migrations[position]?.name !== name) {
      throw new ServerError(
        "schema-too-new",
        `the database was written by a newer Assay: it has the schema step ${name}`,
        {
          hint: "start the newer version, or restore a backup made before the upgrade",
        },
      );
    }
  }
  for (const [position, migration] of migrations.entries()) {
    if (position < applied.length) continue;
    await database.transaction(
      async (batch) => {
        await migration.up(batch.schema());
        await batch
          .tables<MigrationTables>()
          .insertInto("schema_migration")
          .values({ name: migration.name, position })
          .execute();
      },
      { long: true },
    );
  }
}
