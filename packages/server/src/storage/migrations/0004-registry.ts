import { sql } from "kysely";
import type { Migration } from "./migration.ts";

/** The registry: repositories, manifests and what they name, tags; upload sessions, blob leases, pull counts. */
export const registryMigration: Migration = {
  name: "0004-registry",
  async up(database) {
    await database.schema
      .createTable("repository")
      .addColumn("name", "text", (column) => column.primaryKey())
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("created_seq", "integer", (column) => column.notNull())
      .execute();
    await sql`create index repository_org on repository (org, name)`.execute(database);

    await database.schema
      .createTable("manifest")
      .addColumn("repository", "text", (column) => column.notNull())
      .addColumn("digest", "text", (column) => column.notNull())
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("size", "integer", (column) => column.notNull())
      .addColumn("media_type", "text", (column) => column.notNull())
      .addColumn("artifact_type", "text")
      .addColumn("subject", "text")
      .addColumn("annotations", "text")
      .addColumn("pushed_by", "text", (column) => column.notNull())
      .addColumn("pushed_time", "integer", (column) => column.notNull())
      .addColumn("from_seq", "integer", (column) => column.notNull())
      .addColumn("to_seq", "integer")
      .addPrimaryKeyConstraint("manifest_key", ["repository", "digest", "from_seq"])
      .execute();
    // INVARIANT: a manifest is at most once in a repository at any time.
    await sql`create unique index manifest_current on manifest (repository, digest) where to_seq is null`.execute(
      database,
    );
    await sql`create index manifest_subject on manifest (repository, subject, digest) where to_seq is null`.execute(
      database,
    );

    await database.schema
      .createTable("manifest_reference")
      .addColumn("repository", "text", (column) => column.notNull())
      .addColumn("manifest", "text", (column) => column.notNull())
      .addColumn("kind", "text", (column) => column.notNull().check(sql`kind in ('config', 'layer', 'child', 'blob')`))
      .addColumn("digest", "text", (column) => column.notNull())
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("size", "integer", (column) => column.notNull())
      .addColumn("media_type", "text", (column) => column.notNull())
      .addColumn("held", "integer", (column) => column.notNull().check(sql`held in (0, 1)`))
      .addColumn("from_seq", "integer", (column) => column.notNull())
      .addColumn("to_seq", "integer")
      .addPrimaryKeyConstraint("manifest_reference_key", ["repository", "manifest", "kind", "digest", "from_seq"])
      .execute();
    await sql`create index manifest_reference_digest on manifest_reference (repository, digest) where to_seq is null`.execute(
      database,
    );

    await database.schema
      .createTable("tag")
      .addColumn("repository", "text", (column) => column.notNull())
      .addColumn("name", "text", (column) => column.notNull())
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("digest", "text", (column) => column.notNull())
      .addColumn("from_seq", "integer", (column) => column.notNull())
      .addColumn("to_seq", "integer")
      .addPrimaryKeyConstraint("tag_key", ["repository", "name", "from_seq"])
      .execute();
    // INVARIANT: a tag names at most one manifest at any time.
    await sql`create unique index tag_current on tag (repository, name) where to_seq is null`.execute(database);
    await sql`create index tag_digest on tag (repository, digest) where to_seq is null`.execute(database);

    await database.schema
      .createTable("upload")
      .addColumn("id", "text", (column) => column.primaryKey())
      .addColumn("owner", "text", (column) => column.notNull())
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("repository", "text", (column) => column.notNull())
      .addColumn("offset", "integer", (column) => column.notNull())
      .addColumn("claim", "text")
      .addColumn("claimed_until", "integer", (column) => column.notNull())
      .addColumn("created", "integer", (column) => column.notNull())
      .addColumn("expires", "integer", (column) => column.notNull())
      .execute();
    await sql`create index upload_expires on upload (expires)`.execute(database);
    await sql`create index upload_owner on upload (owner)`.execute(database);

    await database.schema
      .createTable("blob_lease")
      .addColumn("repository", "text", (column) => column.notNull())
      .addColumn("digest", "text", (column) => column.notNull())
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("size", "integer", (column) => column.notNull())
      .addColumn("expires", "integer", (column) => column.notNull())
      .addPrimaryKeyConstraint("blob_lease_key", ["repository", "digest"])
      .execute();
    await sql`create index blob_lease_expires on blob_lease (expires)`.execute(database);

    await database.schema
      .createTable("pull_count")
      .addColumn("repository", "text", (column) => column.notNull())
      .addColumn("digest", "text", (column) => column.notNull())
      .addColumn("actor", "text", (column) => column.notNull())
      .addColumn("day", "text", (column) => column.notNull())
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("count", "integer", (column) => column.notNull())
      .addPrimaryKeyConstraint("pull_count_key", ["repository", "digest", "actor", "day"])
      .execute();
  },
};
