import { sql } from "kysely";
import type { Migration } from "./migration.ts";

/** Which repositories mirror what; and, unrecorded, what upstreams are asked with and when they last were. */
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
    await sql`create index mirror_credential_named on mirror (org, credential) where to_seq is null`.execute(database);

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
  },
};
