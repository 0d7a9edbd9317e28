import { sql } from "kysely";
import type { Migration } from "./migration.ts";

/**
 * Data directories of the very first state lack what step 0005 came to hold while it was already in use: evidence by signature, by its
 * first appearance and by step. They get it here, and their tables are filled again: what some events do to them had changed too. All
 * others have it, and nothing happens to them. The first state knew SQLite only, so no other program is at work meanwhile.
 */
export const firstStateMigration: Migration = {
  name: "0011-first-state",
  async up(database) {
    const tables = await database.introspection.getTables();
    const evidence = tables.find(({ name }) => name === "evidence");
    if (evidence?.columns.some(({ name }) => name === "signature") === true) return undefined;

    const { schema } = database;
    await schema.alterTable("evidence").addColumn("signature", "text").execute();
    for (const column of ["first_sequence", "first_time"]) {
      await schema
        .alterTable("evidence")
        .addColumn(column, "integer", (definition) => definition.notNull().defaultTo(sql`0`))
        .execute();
    }
    await schema.createIndex("evidence_signature").on("evidence").columns(["org", "signature", "sequence"]).execute();
    await schema
      .createTable("evidence_step")
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("flow", "text", (column) => column.notNull())
      .addColumn("trail", "text", (column) => column.notNull())
      .addColumn("name", "text", (column) => column.notNull())
      .addColumn("digest", "text", (column) => column.notNull())
      .addColumn("form", "text", (column) => column.notNull())
      .addColumn("sequence", "integer", (column) => column.notNull())
      .addPrimaryKeyConstraint("evidence_step_key", ["org", "digest", "form"])
      .execute();
    await schema
      .createIndex("evidence_step_place")
      .on("evidence_step")
      .columns(["org", "flow", "trail", "name", "sequence"])
      .execute();
    await schema.createIndex("evidence_step_flow").on("evidence_step").columns(["org", "flow", "sequence"]).execute();
    return "refill";
  },
};
