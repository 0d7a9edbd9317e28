import { sql } from "kysely";
import type { Migration } from "./migration.ts";

/** Which repositories serve only what a policy allows. */
export const pullGateMigration: Migration = {
  name: "0019-pull-gate",
  async up(database) {
    await database.schema
      .createTable("pull_gate")
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("repository", "text", (column) => column.notNull())
      .addColumn("policy", "text", (column) => column.notNull())
      .addColumn("platforms", "text", (column) => column.notNull())
      .addColumn("actor", "text", (column) => column.notNull())
      .addColumn("time", "integer", (column) => column.notNull())
      .addColumn("from_seq", "integer", (column) => column.notNull())
      .addColumn("to_seq", "integer")
      .addPrimaryKeyConstraint("pull_gate_key", ["org", "repository", "from_seq"])
      .execute();
    // INVARIANT: at any time a pattern of an organisation has at most one gate.
    await sql`create unique index pull_gate_current on pull_gate (org, repository) where to_seq is null`.execute(
      database,
    );
  },
};
