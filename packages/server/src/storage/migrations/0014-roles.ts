import { sql } from "kysely";
import type { Migration } from "./migration.ts";

/**
 * Roles in repositories, one role more, workload identities and what was exchanged under them, keys that follow one another, and the uses
 * of the bootstrap admin's token. `role_membership` is made anew with the same columns, because the check on its roles cannot be widened in
 * place: programs of before go on working with it.
 */
export const rolesMigration: Migration = {
  name: "0014-roles",
  async up(database) {
    const { schema } = database;
    await schema
      .createTable("role_membership_widened")
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("principal", "text", (column) => column.notNull())
      .addColumn("role", "text", (column) =>
        column.notNull().check(sql`role in ('reader', 'snapshotter', 'member', 'admin')`),
      )
      .addColumn("from_seq", "integer", (column) => column.notNull())
      .addColumn("to_seq", "integer")
      .addPrimaryKeyConstraint("role_membership_place", ["org", "principal", "from_seq"])
      .execute();
    await sql`insert into role_membership_widened (org, principal, role, from_seq, to_seq)
      select org, principal, role, from_seq, to_seq from role_membership`.execute(database);
    await schema.dropTable("role_membership").execute();
    await sql`alter table role_membership_widened rename to role_membership`.execute(database);
    // INVARIANT: at any time a principal has at most one role in an organisation.
    await sql`create unique index role_membership_current on role_membership (org, principal) where to_seq is null`.execute(
      database,
    );
    await sql`create index role_membership_org on role_membership (org, from_seq)`.execute(database);
    await sql`create index role_membership_principal on role_membership (principal, org)`.execute(database);

    await schema
      .createTable("repository_role")
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("principal", "text", (column) => column.notNull())
      .addColumn("repository", "text", (column) => column.notNull())
      .addColumn("role", "text", (column) => column.notNull())
      .addColumn("from_seq", "integer", (column) => column.notNull())
      .addColumn("to_seq", "integer")
      .addPrimaryKeyConstraint("repository_role_key", ["org", "principal", "repository", "from_seq"])
      .execute();
    // INVARIANT: at any time a principal has at most one role under one pattern.
    await sql`create unique index repository_role_current on repository_role (org, principal, repository) where to_seq is null`.execute(
      database,
    );
    await sql`create index repository_role_org on repository_role (org, from_seq)`.execute(database);
    await sql`create index repository_role_principal on repository_role (principal, org)`.execute(database);

    await schema.alterTable("api_key").addColumn("replaced_by", "text").execute();

    await schema
      .createTable("workload_identity")
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("name", "text", (column) => column.notNull())
      .addColumn("issuer", "text", (column) => column.notNull())
      .addColumn("audience", "text", (column) => column.notNull())
      .addColumn("conditions", "text", (column) => column.notNull())
      .addColumn("service_account", "text", (column) => column.notNull())
      .addColumn("repositories", "text")
      .addColumn("single_use", "integer", (column) => column.notNull())
      .addColumn("expires_time", "integer")
      .addColumn("set_time", "integer", (column) => column.notNull())
      .addColumn("set_by", "text", (column) => column.notNull())
      .addColumn("from_seq", "integer", (column) => column.notNull())
      .addColumn("to_seq", "integer")
      .addPrimaryKeyConstraint("workload_identity_key", ["org", "name", "from_seq"])
      .execute();
    await sql`create unique index workload_identity_current on workload_identity (org, name) where to_seq is null`.execute(
      database,
    );
    await sql`create index workload_identity_org on workload_identity (org, from_seq)`.execute(database);
    await sql`create index workload_identity_account on workload_identity (service_account)`.execute(database);

    await schema
      .createTable("token_exchange")
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("identity", "text", (column) => column.notNull())
      .addColumn("token", "text", (column) => column.notNull())
      .addColumn("subject", "text", (column) => column.notNull())
      .addColumn("sequence", "integer", (column) => column.notNull())
      .addColumn("time", "integer", (column) => column.notNull())
      .addPrimaryKeyConstraint("token_exchange_key", ["org", "identity", "token"])
      .execute();

    for (const table of ["bootstrap_use", "bootstrap_use_count"]) {
      await schema
        .createTable(table)
        .addColumn("hour", "integer", (column) => column.notNull())
        .addColumn("route", "text", (column) => column.notNull())
        .addColumn("count", "integer", (column) => column.notNull())
        .addPrimaryKeyConstraint(`${table}_key`, ["hour", "route"])
        .execute();
    }
  },
};
