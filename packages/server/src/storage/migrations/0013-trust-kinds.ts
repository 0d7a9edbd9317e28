import type { Migration } from "./migration.ts";

/** Trust in more than keys: entries of kinds, and the roots that certificates are judged under. */
export const trustKindsMigration: Migration = {
  name: "0013-trust-kinds",
  async up(database) {
    // Entries of before are keys, and stay what they were.
    await database.schema
      .alterTable("trust_entry")
      .addColumn("kind", "text", (column) => column.notNull().defaultTo("key"))
      .execute();
    await database.schema
      .createTable("trust_root")
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("name", "text", (column) => column.notNull())
      .addColumn("root", "text", (column) => column.notNull())
      .addColumn("from_version", "integer", (column) => column.notNull())
      .addColumn("to_version", "integer")
      .addColumn("from_seq", "integer", (column) => column.notNull())
      .addColumn("to_seq", "integer")
      .addPrimaryKeyConstraint("trust_root_key", ["org", "name", "from_version"])
      .execute();
  },
};
