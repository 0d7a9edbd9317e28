import { sql } from "kysely";
import type { Migration } from "./migration.ts";

/**
 * Which repositories mirror what, and what is replicated where; and, unrecorded, what other registries are asked with, when they last were,
 * and how far what is under way has come.
 */
export const mirrorsMigration: Migration = {
  name: "0020-mirrors",
  async up(database) {
    const { schema } = database;
    await schema
      .createTable("mirror")
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("repository", "text", (column) => column.notNull())
      .addColumn("url", "text", (column) => column.notNull())
      .addColumn("credential", "text")
      .addColumn("token_hosts", "text", (column) => column.notNull())
      .addColumn("max_age_ms", "integer", (column) => column.notNull())
      .addColumn("stale", "text", (column) => column.notNull())
      .addColumn("evidence", "integer", (column) => column.notNull())
      .addColumn("set_time", "integer", (column) => column.notNull())
      .addColumn("set_by", "text", (column) => column.notNull())
      .addColumn("from_seq", "integer", (column) => column.notNull())
      .addColumn("to_seq", "integer")
      .addPrimaryKeyConstraint("mirror_key", ["repository", "from_seq"])
      .execute();
    // INVARIANT: at any time a repository mirrors at most one other.
    await sql`create unique index mirror_current on mirror (repository) where to_seq is null`.execute(database);
    await sql`create index mirror_org on mirror (org, from_seq)`.execute(database);

    await schema
      .createTable("mirror_refused_tag")
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("repository", "text", (column) => column.notNull())
      .addColumn("tag", "text", (column) => column.notNull())
      .addColumn("refused", "text", (column) => column.notNull())
      .addColumn("sequence", "integer", (column) => column.notNull())
      .addPrimaryKeyConstraint("mirror_refused_tag_key", ["repository", "tag", "refused"])
      .execute();
    await sql`create index mirror_refused_tag_newest on mirror_refused_tag (repository, sequence)`.execute(database);

    await schema
      .createTable("mirror_credential")
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("id", "text", (column) => column.notNull())
      .addColumn("sealed", "text", (column) => column.notNull())
      .addColumn("created", "integer", (column) => column.notNull())
      .addPrimaryKeyConstraint("mirror_credential_key", ["org", "id"])
      .execute();

    await schema
      .createTable("mirror_look")
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("repository", "text", (column) => column.notNull())
      .addColumn("reference", "text", (column) => column.notNull())
      .addColumn("time", "integer", (column) => column.notNull())
      .addPrimaryKeyConstraint("mirror_look_key", ["repository", "reference"])
      .execute();

    await schema
      .createTable("replication")
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("name", "text", (column) => column.notNull())
      .addColumn("direction", "text", (column) => column.notNull())
      .addColumn("repositories", "text", (column) => column.notNull())
      .addColumn("tags", "text", (column) => column.notNull())
      .addColumn("url", "text")
      .addColumn("credential", "text")
      .addColumn("token_hosts", "text", (column) => column.notNull())
      .addColumn("on_events", "integer", (column) => column.notNull())
      .addColumn("every_ms", "integer")
      .addColumn("evidence", "integer", (column) => column.notNull())
      .addColumn("set_time", "integer", (column) => column.notNull())
      .addColumn("set_by", "text", (column) => column.notNull())
      .addColumn("from_seq", "integer", (column) => column.notNull())
      .addColumn("to_seq", "integer")
      .addPrimaryKeyConstraint("replication_key", ["org", "name", "from_seq"])
      .execute();
    // INVARIANT: at any time an organisation has at most one replication of a name.
    await sql`create unique index replication_current on replication (org, name) where to_seq is null`.execute(
      database,
    );
    await sql`create index replication_org on replication (org, from_seq)`.execute(database);

    await schema
      .createTable("mirror_run")
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("subject", "text", (column) => column.notNull())
      .addColumn("state", "text", (column) => column.notNull())
      .addColumn("started", "integer", (column) => column.notNull())
      .addColumn("finished", "integer")
      .addColumn("copied", "integer", (column) => column.notNull())
      .addColumn("present", "integer", (column) => column.notNull())
      .addColumn("failed", "integer", (column) => column.notNull())
      .addColumn("at", "text")
      .addColumn("problem", "text")
      .addColumn("covered", "integer", (column) => column.notNull())
      .addPrimaryKeyConstraint("mirror_run_key", ["org", "subject"])
      .execute();

    // What has come since a replication last went through everything.
    await sql`create index tag_org on tag (org, from_seq)`.execute(database);
    await sql`create index manifest_org on manifest (org, from_seq)`.execute(database);
  },
};
