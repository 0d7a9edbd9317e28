import { type Kysely, PostgresAdapter, sql } from "kysely";
import type { Migration } from "./migration.ts";

/**
 * What evidence is about is kept under the piece first: one key says that a piece is listed once under a subject, and what a piece is about,
 * in order. Two indexes did before. Both are by digests, which come in no order, so each of them costs an append a page of its own as soon
 * as the table is large. The names and columns stay: programs of before go on working beside this one.
 */
export const subjectKeyMigration: Migration = {
  name: "0023-subject-key",
  async up(database) {
    if (database.getExecutor().adapter instanceof PostgresAdapter) await changeKey(database);
    else await copyTable(database);
  },
};

/** PostgreSQL makes the new key while others read the table, and takes it to itself only to exchange the two. */
async function changeKey(database: Kysely<unknown>): Promise<void> {
  await sql`create unique index evidence_subject_by_piece on evidence_subject (org, digest, subject, form)`.execute(
    database,
  );
  await sql`alter table evidence_subject drop constraint evidence_subject_key`.execute(database);
  await sql`alter table evidence_subject add constraint evidence_subject_by_piece primary key using index evidence_subject_by_piece`.execute(
    database,
  );
  await sql`drop index evidence_subject_piece`.execute(database);
}

/** SQLite cannot change a table's key. */
async function copyTable(database: Kysely<unknown>): Promise<void> {
  const { schema } = database;
  await schema
    .createTable("evidence_subject_new")
    .addColumn("org", "text", (column) => column.notNull())
    .addColumn("subject", "text", (column) => column.notNull())
    .addColumn("digest", "text", (column) => column.notNull())
    .addColumn("form", "text", (column) => column.notNull())
    .addColumn("sequence", "integer", (column) => column.notNull())
    .addPrimaryKeyConstraint("evidence_subject_by_piece", ["org", "digest", "subject", "form"])
    .execute();
  // In the order of the new key, which the former index has; and with the other index in place: one made over a full table would be sorted
  // in memory, and this may be ten million rows.
  await schema.dropIndex("evidence_subject_sequence").execute();
  await schema
    .createIndex("evidence_subject_sequence")
    .unique()
    .on("evidence_subject_new")
    .columns(["org", "subject", "sequence"])
    .execute();
  await sql`insert into evidence_subject_new (org, subject, digest, form, sequence)
    select org, subject, digest, form, sequence from evidence_subject indexed by evidence_subject_piece
    order by org, digest, subject`.execute(database);
  await schema.dropTable("evidence_subject").execute();
  await schema.alterTable("evidence_subject_new").renameTo("evidence_subject").execute();
}
