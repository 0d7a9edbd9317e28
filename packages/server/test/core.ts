/** A record of its own in a temporary directory, with a small room for tests: the spine without HTTP. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { keysPart } from "../src/record/service-keys.ts";
import type { Keyring } from "../src/keys/keyring.ts";
import { MasterKey } from "../src/keys/master.ts";
import type { SequencedLog } from "../src/log/log.ts";
import {
  type Actor,
  accept,
  type Command,
  defineCommand,
  defineEvent,
  defineOperation,
  type RecordPart,
  refuse,
} from "../src/record/command.ts";
import { recordPart } from "../src/record/heads.ts";
import { openRecord } from "../src/record/open.ts";
import { RecordParts } from "../src/record/parts.ts";
import { RecordStamp } from "../src/record/stamp.ts";
import type { RecordWriter } from "../src/record/writer.ts";
import type { WriteDatabase } from "../src/storage/database.ts";
import { migrate } from "../src/storage/migrate.ts";
import { recordMigration } from "../src/storage/migrations/0001-record.ts";
import { witnessMigration } from "../src/storage/migrations/0008-witness.ts";
import type { Migration } from "../src/storage/migrations/migration.ts";
import { type DatabasePlace, openWriter } from "../src/storage/open.ts";
import { witnessPart } from "../src/witness/operations.ts";
import { dropPlace, placeOf } from "./database.ts";

/** The tables of the test room. */
export interface NoteTables {
  note: { name: string; text: string; sequence: number };
  scratch: { name: string; count: number };
}

const noteBody = z.strictObject({ name: z.string(), text: z.string() });

/** A room of named notes: a name is taken once. `fail` makes the decision throw after its first event. */
export const notePart: RecordPart = {
  projections: ["note"],
  commands: [
    defineCommand({
      type: "note.take",
      body: noteBody,
      decide: async (reader, body) => {
        const taken = await reader
          .tables<NoteTables>()
          .selectFrom("note")
          .select("name")
          .where("name", "=", body.name)
          .executeTakeFirst();
        if (taken !== undefined) return refuse("name-taken", `${body.name} is taken`);
        return accept([{ type: "note.taken", body }], body.name);
      },
    }),
    defineCommand({
      type: "note.explode",
      body: noteBody,
      decide: async (_reader, body) =>
        accept([
          { type: "note.taken", body },
          { type: "note.unknown", body: {} },
        ]),
    }),
  ],
  events: [
    defineEvent({
      type: "note.taken",
      version: 1,
      body: noteBody,
      project: async (transactor, event) => {
        await transactor
          .tables<NoteTables>()
          .insertInto("note")
          .values({ name: event.body.name, text: event.body.text, sequence: event.sequence })
          .execute();
      },
    }),
  ],
  operations: [
    defineOperation({
      type: "note.count",
      body: z.strictObject({ name: z.string() }),
      run: async (transactor, body) => {
        await transactor
          .tables<NoteTables>()
          .insertInto("scratch")
          .values({ name: body.name, count: 1 })
          .onConflict((conflict) =>
            conflict.column("name").doUpdateSet((eb) => ({ count: eb("scratch.count", "+", 1) })),
          )
          .execute();
        return null;
      },
    }),
  ],
};

const noteMigration: Migration = {
  name: "9999-note",
  async up(database) {
    await database.schema
      .createTable("note")
      .addColumn("name", "text", (column) => column.primaryKey())
      .addColumn("text", "text", (column) => column.notNull())
      .addColumn("sequence", "integer", (column) => column.notNull())
      .execute();
    await database.schema
      .createTable("scratch")
      .addColumn("name", "text", (column) => column.primaryKey())
      .addColumn("count", "integer", (column) => column.notNull())
      .execute();
  },
};

export interface Core {
  readonly directory: string;
  readonly database: WriteDatabase;
  readonly writer: RecordWriter;
  readonly log: SequencedLog;
  readonly keyring: Keyring;
  readonly parts: RecordParts;
  /** Closes without publishing or finishing anything: what a crash leaves. */
  crash(): Promise<void>;
  stop(): Promise<void>;
}

export const CORE_MIGRATIONS: readonly Migration[] = [recordMigration, witnessMigration, noteMigration];

/** Opens (or reopens) a core in `directory`, on the database that belongs to it or on the one at `place`. */
export async function openCore(
  directory: string,
  wrap: (database: WriteDatabase) => WriteDatabase = (d) => d,
  place?: DatabasePlace,
  stamp?: RecordStamp,
): Promise<Core> {
  const database = wrap(openWriter(place ?? (await placeOf(directory))));
  await migrate(database, CORE_MIGRATIONS);
  const parts = new RecordParts([recordPart, keysPart, notePart, witnessPart]);
  const { writer, log, keyring } = await openRecord({
    database,
    dataDirectory: directory,
    master: MasterKey.fromDirectory(directory, true),
    parts,
    founding: [],
    host: undefined,
    stamp,
  });
  return {
    directory,
    database,
    writer,
    log,
    keyring,
    parts,
    async crash() {
      writer.abandon();
      await database.close();
    },
    async stop() {
      await writer.stop();
      await database.close();
    },
  };
}

/** A temporary directory, removed by `dispose` with the database that belongs to it. */
export async function temporaryDirectory(): Promise<{ path: string; dispose: () => Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), "assay-test-"));
  return {
    path,
    async dispose() {
      await dropPlace(path);
      await rm(path, { recursive: true, force: true });
    },
  };
}

/** The stamp a writer has in production (writer-thread.ts): where nobody else writes the record. */
export function stampFor(database: WriteDatabase): RecordStamp | undefined {
  return database.shared ? undefined : new RecordStamp();
}

export const ADMIN: Actor = { id: "admin", credential: { kind: "admin-token" } };

export function take(name: string, text = "", org = "default"): Command {
  return { type: "note.take", org, actor: ADMIN, body: { name, text } };
}
