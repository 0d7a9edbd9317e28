import type { Migration } from "./migration.ts";

/** Witnesses: what this server cosigned of others' logs, and where it stands with the witnesses of its own. Unrecorded. */
export const witnessMigration: Migration = {
  name: "0008-witness",
  async up(database) {
    await database.schema
      .createTable("bound_key")
      .addColumn("purpose", "text", (column) => column.primaryKey())
      .addColumn("id", "text", (column) => column.notNull())
      .execute();
    await database.schema
      .createTable("witnessed_log")
      .addColumn("origin", "text", (column) => column.primaryKey())
      .addColumn("size", "integer", (column) => column.notNull())
      .addColumn("root", "blob", (column) => column.notNull())
      .addColumn("note", "text", (column) => column.notNull())
      .addColumn("time", "integer", (column) => column.notNull())
      .execute();
    await database.schema
      .createTable("witness_turn")
      .addColumn("log", "text", (column) => column.primaryKey())
      .addColumn("holder", "text", (column) => column.notNull())
      .addColumn("until", "integer", (column) => column.notNull())
      .addColumn("size", "integer", (column) => column.notNull())
      .addColumn("note", "text", (column) => column.notNull())
      .execute();
    await database.schema
      .createTable("witness_answer")
      .addColumn("vkey", "text", (column) => column.primaryKey())
      .addColumn("outcome", "text", (column) => column.notNull())
      .addColumn("message", "text", (column) => column.notNull())
      .addColumn("asked", "integer", (column) => column.notNull())
      .addColumn("size", "integer")
      .addColumn("cosigned", "integer")
      .execute();
  },
};
