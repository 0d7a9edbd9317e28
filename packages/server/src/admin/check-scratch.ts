import { type Digest, isDigest } from "@assay/evidence";
import type { AliasedBlob, NamedBlob } from "../record/command.ts";
import type { StoredEvent } from "../record/check-events.ts";
import type { RecordParts } from "../record/parts.ts";
import { replayEvents } from "../record/replay.ts";
import type { Aliased, Named } from "../storage/check-blobs.ts";
import type { Batch, Reader, WriteDatabase } from "../storage/database.ts";
import { migrate } from "../storage/migrate.ts";
import type { Migration } from "../storage/migrations/migration.ts";
import { openSqliteScratch } from "../storage/sqlite.ts";

/** Rows written per statement and per transaction, and read at a time. */
const ROWS = 200;
const PAGE = 2_000;

/** What a check needs to remember but could not hold in memory: its own tables beside those it refills. */
interface ScratchTables {
  /** Blobs that something names, and one of the things that do. */
  check_named: { digest: string; named_by: string };
  /** What else blobs are called, and by whom. */
  check_alias: { digest: string; alias: string; named_by: string };
  /** Digests that the events looked at mention. */
  check_mentioned: { digest: string };
}

/** The database of one check: the tables as the events give them, and the digests of blobs in order. Gone when it is closed. */
export class CheckScratch {
  readonly #database: WriteDatabase;

  private constructor(database: WriteDatabase) {
    this.#database = database;
  }

  static async open(migrations: readonly Migration[]): Promise<CheckScratch> {
    const database = openSqliteScratch();
    await migrate(database, migrations);
    await database.transaction(async (batch) => {
      const { schema } = batch.schema();
      await schema
        .createTable("check_named")
        .addColumn("digest", "text", (column) => column.primaryKey())
        .addColumn("named_by", "text", (column) => column.notNull())
        .execute();
      await schema
        .createTable("check_alias")
        .addColumn("digest", "text", (column) => column.notNull())
        .addColumn("alias", "text", (column) => column.notNull())
        .addColumn("named_by", "text", (column) => column.notNull())
        .addPrimaryKeyConstraint("check_alias_key", ["digest", "alias"])
        .execute();
      await schema
        .createTable("check_mentioned")
        .addColumn("digest", "text", (column) => column.primaryKey())
        .execute();
    });
    return new CheckScratch(database);
  }

  /** The tables as the replayed events give them. */
  reader(): Reader {
    return this.#database.reader();
  }

  /** Refills the tables with the next events. */
  async replay(parts: RecordParts, events: readonly StoredEvent[]): Promise<void> {
    await this.#database.transaction(async (batch) => {
      await replayEvents(batch, parts, events);
    });
  }

  /** Takes down every digest the events mention. */
  async mention(events: readonly StoredEvent[]): Promise<void> {
    const digests = new Set<string>();
    for (const { bytes } of events) {
      for (const [digest] of Buffer.from(bytes)
        .toString("latin1")
        .matchAll(/sha256:[0-9a-f]{64}/g))
        digests.add(digest);
    }
    await this.#insert([...digests], async (batch, rows) => {
      await batch
        .tables<ScratchTables>()
        .insertInto("check_mentioned")
        .values(rows.map((digest) => ({ digest })))
        .onConflict((conflict) => conflict.doNothing())
        .execute();
    });
  }

  /** Takes down what blobs the tables name; with `mentioned` only those that an event mentioned, see {@link mention}. */
  async name(blobs: AsyncIterable<NamedBlob>, mentioned: boolean): Promise<void> {
    let pending: NamedBlob[] = [];
    const flush = async (): Promise<void> => {
      const rows = pending;
      pending = [];
      await this.#insert(rows, async (batch, part) => {
        await batch
          .tables<ScratchTables>()
          .insertInto("check_named")
          .values(part.map(({ digest, namedBy }) => ({ digest, named_by: namedBy })))
          .onConflict((conflict) => conflict.doNothing())
          .execute();
      });
    };
    for await (const blob of blobs) {
      if (!isDigest(blob.digest)) continue;
      pending.push(blob);
      if (pending.length >= PAGE) await flush();
    }
    await flush();
    if (!mentioned) return;
    await this.#database.transaction(async (batch) => {
      await batch
        .tables<ScratchTables>()
        .deleteFrom("check_named")
        .where((where) =>
          where.not(
            where.exists(
              where
                .selectFrom("check_mentioned")
                .select("check_mentioned.digest")
                .whereRef("check_mentioned.digest", "=", "check_named.digest"),
            ),
          ),
        )
        .execute();
    });
  }

  /** What {@link name} took down, in the order of digests. */
  async *named(): AsyncGenerator<Named> {
    let after = "";
    for (;;) {
      const rows = await this.#database
        .reader()
        .tables<ScratchTables>()
        .selectFrom("check_named")
        .selectAll()
        .where("digest", ">", after)
        .orderBy("digest")
        .limit(PAGE)
        .execute();
      for (const { digest, named_by } of rows) if (isDigest(digest)) yield { digest, namedBy: named_by };
      const last = rows.at(-1);
      if (last === undefined) return;
      after = last.digest;
    }
  }

  /** Takes down what else blobs are called. */
  async call(blobs: AsyncIterable<AliasedBlob>): Promise<void> {
    let pending: AliasedBlob[] = [];
    const flush = async (): Promise<void> => {
      const rows = pending;
      pending = [];
      await this.#insert(rows, async (batch, part) => {
        await batch
          .tables<ScratchTables>()
          .insertInto("check_alias")
          .values(part.map(({ digest, alias, namedBy }) => ({ digest, alias, named_by: namedBy })))
          .onConflict((conflict) => conflict.doNothing())
          .execute();
      });
    };
    for await (const blob of blobs) {
      pending.push(blob);
      if (pending.length >= PAGE) await flush();
    }
    await flush();
  }

  /** What {@link call} took down, in the order of digests. */
  async *aliased(): AsyncGenerator<Aliased> {
    let last = { digest: "", alias: "" };
    for (;;) {
      const after = last;
      const rows = await this.#database
        .reader()
        .tables<ScratchTables>()
        .selectFrom("check_alias")
        .selectAll()
        .where((row) =>
          row.or([
            row("digest", ">", after.digest),
            row.and([row("digest", "=", after.digest), row("alias", ">", after.alias)]),
          ]),
        )
        .orderBy("digest")
        .orderBy("alias")
        .limit(PAGE)
        .execute();
      for (const { digest, alias, named_by } of rows) if (isDigest(digest)) yield { digest, alias, namedBy: named_by };
      const end = rows.at(-1);
      if (end === undefined) return;
      last = end;
    }
  }

  async *digests(): AsyncGenerator<Digest> {
    for await (const { digest } of this.named()) yield digest;
  }

  close(): Promise<void> {
    return this.#database.close();
  }

  async #insert<T>(rows: readonly T[], write: (batch: Batch, rows: readonly T[]) => Promise<void>): Promise<void> {
    if (rows.length === 0) return;
    await this.#database.transaction(async (batch) => {
      for (let at = 0; at < rows.length; at += ROWS) await write(batch, rows.slice(at, at + ROWS));
    });
  }
}
