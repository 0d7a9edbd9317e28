import { sql } from "kysely";
import type { Migration } from "./migration.ts";

/**
 * What bytes are called besides their SHA-256: on record, with a lease, and in the place of a tag. The columns are null for programs of
 * before, which go on working beside this one.
 */
export const digestAliasMigration: Migration = {
  name: "0015-digest-alias",
  async up(database) {
    const { schema } = database;
    await schema
      .createTable("digest_alias")
      .addColumn("repository", "text", (column) => column.notNull())
      .addColumn("alias", "text", (column) => column.notNull())
      .addColumn("digest", "text", (column) => column.notNull())
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("sequence", "integer", (column) => column.notNull())
      // INVARIANT: in a repository a digest of whatever algorithm names one thing.
      .addPrimaryKeyConstraint("digest_alias_key", ["repository", "alias"])
      .execute();
    await sql`create index digest_alias_org on digest_alias (org, alias, repository)`.execute(database);

    await schema.alterTable("tag").addColumn("named_as", "text").execute();

    await schema.alterTable("blob_lease").addColumn("sha512", "text").execute();
    await sql`create index blob_lease_sha512 on blob_lease (repository, sha512) where sha512 is not null`.execute(
      database,
    );
    // Where else an organisation holds a blob: what a mount that names no repository asks.
    await sql`create index blob_lease_org on blob_lease (org, digest)`.execute(database);
    await sql`create index blob_lease_org_sha512 on blob_lease (org, sha512) where sha512 is not null`.execute(
      database,
    );
  },
};
