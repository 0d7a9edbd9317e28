import { ServerError } from "../errors.ts";
import type { Reader } from "./database.ts";
import type { Migration } from "./migrations/migration.ts";

/** A row of `schema_migration` that no migration wrote. */
export interface SchemaFinding {
  readonly kind: "schema";
  readonly where: string;
  readonly problem: string;
  readonly action: string;
}

const ACTION = "put the row back as it was, or restore the database: no server starts on it";

/**
 * The list of the schema's steps against the program's. Steps of a newer program, which this one can work with, are none of its business.
 *
 * @throws ServerError `schema-too-new`, `upgrade-unfinished`: the tables are not those this program projects into, so it cannot judge them.
 */
export async function* checkSchema(reader: Reader, migrations: readonly Migration[]): AsyncGenerator<SchemaFinding> {
  // `kind` is not there in a database that no program since the first contracting step has opened (storage/migrate.ts).
  const rows = await reader
    .tables<{ schema_migration: { name: string; position: number; kind?: string } }>()
    .selectFrom("schema_migration")
    .selectAll()
    .execute();
  const known = new Map(migrations.map(({ name, kind }, position) => [name, { position, kind: kind ?? "expand" }]));
  const positions = new Set<number>();
  for (const { name, position, kind = "expand" } of rows) {
    const step = known.get(name);
    if (step === undefined && position >= migrations.length && position < rows.length) {
      if (kind !== "contract") continue;
      throw new ServerError(
        "schema-too-new",
        `the database was written by a newer Assay: it has the schema step ${name}`,
        {
          hint: "check it with the newer version",
        },
      );
    }
    if (step?.position === position && step.kind === kind) {
      positions.add(position);
      continue;
    }
    const where = `table schema_migration, row ${JSON.stringify({ name, position: Number(position), kind })}`;
    yield { kind: "schema", where, problem: "no step of the schema wrote it", action: ACTION };
  }
  for (const [position, { name, kind }] of migrations.entries()) {
    if (positions.has(position)) continue;
    const where = `table schema_migration, step ${name}`;
    if (position < rows.length) yield { kind: "schema", where, problem: "it is missing", action: ACTION };
    else if (kind !== "contract") {
      throw new ServerError("upgrade-unfinished", `the database has not had the schema step ${name} yet`, {
        hint: "start the server of this version once, or check with the version that wrote it",
      });
    }
  }
}
