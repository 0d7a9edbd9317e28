import { sql } from "kysely";
import type { Migration } from "./migration.ts";

/** Organisations, principals, API keys, roles over time; and the counters of refused requests. */
export const accessMigration: Migration = {
  name: "0002-access",
  async up(database) {
    await database.schema
      .createTable("organisation")
      .addColumn("name", "text", (column) => column.primaryKey())
      .addColumn("is_default", "integer", (column) => column.notNull().check(sql`is_default in (0, 1)`))
      .addColumn("created_sequence", "integer", (column) => column.notNull())
      .addColumn("created_time", "integer", (column) => column.notNull())
      .addColumn("created_by", "text", (column) => column.notNull())
      .execute();
    // INVARIANT: there is one default organisation, and it never changes.
    await sql`create unique index organisation_default on organisation (is_default) where is_default = 1`.execute(
      database,
    );
    await sql`create index organisation_created on organisation (created_sequence)`.execute(database);
    await database.schema
      .createTable("principal")
      .addColumn("id", "text", (column) => column.primaryKey())
      .addColumn("kind", "text", (column) => column.notNull())
      .addColumn("name", "text", (column) => column.notNull())
      .addColumn("org", "text")
      .addColumn("epoch", "integer", (column) => column.notNull())
      .addColumn("created_sequence", "integer", (column) => column.notNull())
      .addColumn("created_time", "integer", (column) => column.notNull())
      .addColumn("created_by", "text", (column) => column.notNull())
      .addColumn("ended_sequence", "integer")
      .execute();
    await sql`create index principal_kind on principal (kind, org, created_sequence)`.execute(database);
    await database.schema
      .createTable("api_key")
      .addColumn("id", "text", (column) => column.primaryKey())
      .addColumn("principal", "text", (column) => column.notNull())
      .addColumn("label", "text", (column) => column.notNull())
      .addColumn("secret_hash", "text", (column) => column.notNull())
      .addColumn("created_sequence", "integer", (column) => column.notNull())
      .addColumn("created_time", "integer", (column) => column.notNull())
      .addColumn("created_by", "text", (column) => column.notNull())
      .addColumn("expires_time", "integer")
      .addColumn("revoked_sequence", "integer")
      .addColumn("revoked_time", "integer")
      .execute();
    await sql`create index api_key_principal on api_key (principal, created_sequence)`.execute(database);
    await database.schema
      .createTable("role_membership")
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("principal", "text", (column) => column.notNull())
      .addColumn("role", "text", (column) => column.notNull().check(sql`role in ('reader', 'member', 'admin')`))
      .addColumn("from_seq", "integer", (column) => column.notNull())
      .addColumn("to_seq", "integer")
      .addPrimaryKeyConstraint("role_membership_key", ["org", "principal", "from_seq"])
      .execute();
    // INVARIANT: at any time a principal has at most one role in an organisation.
    await sql`create unique index role_membership_current on role_membership (org, principal) where to_seq is null`.execute(
      database,
    );
    await sql`create index role_membership_org on role_membership (org, from_seq)`.execute(database);
    await sql`create index role_membership_principal on role_membership (principal, org)`.execute(database);
    await database.schema
      .createTable("denial")
      .addColumn("identity", "text", (column) => column.notNull())
      .addColumn("route", "text", (column) => column.notNull())
      .addColumn("hour", "integer", (column) => column.notNull())
      .addColumn("count", "integer", (column) => column.notNull())
      .addPrimaryKeyConstraint("denial_key", ["hour", "identity", "route"])
      .execute();
  },
};
