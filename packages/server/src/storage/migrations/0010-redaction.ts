import type { Migration } from "./migration.ts";

/** Which events stand redacted, and by which event. */
export const redactionMigration: Migration = {
  name: "0010-redaction",
  async up(database) {
    await database.schema
      .createTable("redaction")
      .addColumn("sequence", "integer", (column) => column.primaryKey())
      .addColumn("redacted_by", "integer", (column) => column.notNull())
      .addColumn("digest", "text", (column) => column.notNull())
      .addColumn("fields", "text", (column) => column.notNull())
      .execute();
  },
};
