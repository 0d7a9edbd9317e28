import type { Migration } from "./migration.ts";

/** Trust: the versions of each organisation's trust material, and the entries that hold from one version to another. */
export const trustMigration: Migration = {
  name: "0003-trust",
  async up(database) {
    await database.schema
      .createTable("trust_version")
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("version", "integer", (column) => column.notNull())
      .addColumn("change", "text", (column) => column.notNull())
      .addColumn("entry", "text", (column) => column.notNull())
      .addColumn("actor", "text", (column) => column.notNull())
      .addColumn("time", "integer", (column) => column.notNull())
      .addColumn("from_seq", "integer", (column) => column.notNull())
      .addColumn("to_seq", "integer")
      .addPrimaryKeyConstraint("trust_version_key", ["org", "version"])
      .execute();
    await database.schema
      .createIndex("trust_version_sequence")
      .unique()
      .on("trust_version")
      .columns(["org", "from_seq"])
      .execute();
    await database.schema
      .createTable("trust_entry")
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("id", "text", (column) => column.notNull())
      .addColumn("name", "text", (column) => column.notNull())
      .addColumn("public_key", "text", (column) => column.notNull())
      .addColumn("key_id", "text", (column) => column.notNull())
      .addColumn("repositories", "text", (column) => column.notNull())
      .addColumn("predicate_types", "text", (column) => column.notNull())
      .addColumn("valid_from", "integer")
      .addColumn("valid_until", "integer")
      .addColumn("is_primary", "integer", (column) => column.notNull())
      .addColumn("from_version", "integer", (column) => column.notNull())
      .addColumn("to_version", "integer")
      .addColumn("from_seq", "integer", (column) => column.notNull())
      .addColumn("to_seq", "integer")
      .addPrimaryKeyConstraint("trust_entry_key", ["org", "id", "from_version"])
      .execute();
    // "The entries of a version" and "the current entries of a key" are the two questions; both start with the organisation.
    await database.schema
      .createIndex("trust_entry_version")
      .on("trust_entry")
      .columns(["org", "from_version", "to_version"])
      .execute();
    await database.schema
      .createIndex("trust_entry_holder")
      .on("trust_entry")
      .columns(["org", "key_id", "to_version"])
      .execute();
  },
};
