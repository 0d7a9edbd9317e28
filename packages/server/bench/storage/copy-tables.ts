import { DatabaseSync } from "node:sqlite";
import { Client } from "pg";
import { MIGRATIONS } from "../../src/composition.ts";
import { migrate } from "../../src/storage/migrate.ts";
import { openWriter } from "../../src/storage/open.ts";
import { databasePath } from "../../src/storage/sqlite.ts";

/** Values one statement takes at most: the protocol counts parameters in 16 bits. */
const MAX_PARAMETERS = 20_000;

/**
 * Copies every table of a stopped server's SQLite database into an empty PostgreSQL, and has it gather its statistics: the same record
 * with the same keys and tiles, in the other mode.
 */
export async function copyTables(dataDirectory: string, databaseUrl: string): Promise<void> {
  const database = openWriter({ dataDirectory, databaseUrl });
  await migrate(database, MIGRATIONS);
  await database.close();
  const source = new DatabaseSync(databasePath(dataDirectory), { readOnly: true });
  const target = new Client({ connectionString: databaseUrl });
  await target.connect();
  try {
    const names = source
      .prepare("select name from sqlite_schema where type = 'table' and name not like 'sqlite_%'")
      .all();
    for (const { name } of names) {
      if (name === "schema_migration") continue;
      await copyTable(source, target, String(name));
    }
    await target.query("vacuum analyze");
    // What the copying left to be written is written now, not beside what is measured.
    await target.query("checkpoint");
  } finally {
    await target.end();
    source.close();
  }
}

async function copyTable(source: DatabaseSync, target: Client, name: string): Promise<void> {
  const columns = source
    .prepare(`select * from "${name}"`)
    .columns()
    .map((column) => String(column.name));
  const rowsAtOnce = Math.floor(MAX_PARAMETERS / columns.length);
  const into = `insert into "${name}" (${columns.map((column) => `"${column}"`).join(", ")}) values `;
  let values: unknown[] = [];
  const flush = async (): Promise<void> => {
    if (values.length === 0) return;
    const rows: string[] = [];
    for (let at = 0; at < values.length; at += columns.length) {
      rows.push(`(${columns.map((_, column) => `$${at + column + 1}`).join(", ")})`);
    }
    await target.query(into + rows.join(", "), values);
    values = [];
  };
  await target.query("begin");
  for (const row of source.prepare(`select * from "${name}"`).iterate()) {
    for (const column of columns) {
      const value = row[column];
      values.push(value instanceof Uint8Array ? Buffer.from(value) : value);
    }
    if (values.length >= rowsAtOnce * columns.length) await flush();
  }
  await flush();
  await target.query("commit");
}
