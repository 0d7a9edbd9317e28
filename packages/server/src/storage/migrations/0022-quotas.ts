import { sql } from "kysely";
import type { Migration } from "./migration.ts";

/**
 * How much repositories and organisations may hold, and what those hold that have a quota. Programs of before go on working beside this one
 * while nobody sets a quota: what they record is not counted (docs/repositories.md says so).
 */
export const quotasMigration: Migration = {
  name: "0022-quotas",
  async up(database) {
    const { schema } = database;
    await schema
      .createTable("quota")
      .addColumn("scope", "text", (column) => column.notNull())
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("repository", "text")
      .addColumn("bytes", "integer")
      .addColumn("set_by", "text", (column) => column.notNull())
      .addColumn("set_time", "integer", (column) => column.notNull())
      .addColumn("from_seq", "integer", (column) => column.notNull())
      .addColumn("to_seq", "integer")
      .addPrimaryKeyConstraint("quota_key", ["scope", "from_seq"])
      .execute();
    // INVARIANT: at any time a scope has one quota at most.
    await sql`create unique index quota_current on quota (scope) where to_seq is null`.execute(database);
    await sql`create index quota_repository on quota (repository, to_seq)`.execute(database);
    await sql`create index quota_org on quota (org, from_seq)`.execute(database);

    await schema
      .createTable("quota_usage")
      .addColumn("scope", "text", (column) => column.primaryKey())
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("repository", "text")
      .addColumn("bytes", "integer", (column) => column.notNull())
      .addColumn("warned", "integer", (column) => column.notNull())
      .addColumn("refused_time", "integer")
      .execute();

    // Of blobs that lie in a repository by a lease those that no manifest there named when it was last looked: a day's leases are many, these few.
    await schema
      .alterTable("blob_lease")
      .addColumn("named", "integer", (column) => column.notNull().defaultTo(0))
      .execute();
    await sql`create index blob_lease_unnamed on blob_lease (org, repository) where named = 0`.execute(database);

    await schema
      .createTable("quota_content")
      .addColumn("scope", "text", (column) => column.notNull())
      .addColumn("digest", "text", (column) => column.notNull())
      .addColumn("size", "integer", (column) => column.notNull())
      .addPrimaryKeyConstraint("quota_content_key", ["scope", "digest"])
      .execute();
  },
};
