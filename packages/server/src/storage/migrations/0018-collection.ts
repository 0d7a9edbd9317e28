import { sql } from "kysely";
import type { Migration } from "./migration.ts";

/**
 * Which bytes were collected, runs of the collection, repositories' retention rules, and what makes "does anything need these bytes?" one look in each table that
 * names bytes, whoever's it is.
 */
export const collectionMigration: Migration = {
  name: "0018-collection",
  async up(database) {
    const { schema } = database;
    await schema
      .createTable("collected_blob")
      .addColumn("digest", "text", (column) => column.primaryKey())
      .addColumn("generation", "integer", (column) => column.notNull())
      .addColumn("size", "integer", (column) => column.notNull())
      .addColumn("sequence", "integer", (column) => column.notNull())
      .execute();

    await schema
      .createTable("collection_run")
      .addColumn("id", "integer", (column) => column.primaryKey())
      .addColumn("mode", "text", (column) => column.notNull())
      .addColumn("state", "text", (column) => column.notNull())
      .addColumn("requested_by", "text")
      .addColumn("after", "text")
      .addColumn("looked", "integer", (column) => column.notNull())
      .addColumn("looked_bytes", "integer", (column) => column.notNull())
      .addColumn("collected", "integer", (column) => column.notNull())
      .addColumn("collected_bytes", "integer", (column) => column.notNull())
      .addColumn("leftovers", "integer", (column) => column.notNull())
      .addColumn("leftover_bytes", "integer", (column) => column.notNull())
      .addColumn("started", "integer", (column) => column.notNull())
      .addColumn("updated", "integer", (column) => column.notNull())
      .addColumn("finished", "integer")
      .execute();

    await schema
      .createTable("retention")
      .addColumn("repository", "text", (column) => column.notNull())
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("version", "integer", (column) => column.notNull())
      .addColumn("rules", "text", (column) => column.notNull())
      .addColumn("set_by", "text", (column) => column.notNull())
      .addColumn("set_time", "integer", (column) => column.notNull())
      .addColumn("from_seq", "integer", (column) => column.notNull())
      .addColumn("to_seq", "integer")
      .addPrimaryKeyConstraint("retention_key", ["repository", "from_seq"])
      .execute();
    // INVARIANT: at any time a repository has one set of rules at most.
    await sql`create unique index retention_current on retention (repository) where to_seq is null`.execute(database);
    // The newest tags of a repository, newest first: what "keep the last n" asks.
    await sql`create index tag_newest on tag (repository, from_seq) where to_seq is null`.execute(database);

    // What an upload that is being finished turns into: null for programs of before, and until then.
    await schema.alterTable("upload").addColumn("digest", "text").execute();
    await sql`create index upload_digest on upload (digest) where digest is not null`.execute(database);
    await sql`create index blob_lease_digest on blob_lease (digest, expires)`.execute(database);
    await sql`create index manifest_bytes on manifest (digest, to_seq)`.execute(database);
    await sql`create index manifest_reference_bytes on manifest_reference (digest, held, to_seq)`.execute(database);
    await sql`create index evidence_bytes on evidence (digest)`.execute(database);
    await sql`create index gate_decision_summary on gate_decision (vsa)`.execute(database);
    await sql`create index gate_decision_policy_text on gate_decision (policy_digest) where policy_name is null`.execute(
      database,
    );
  },
};
