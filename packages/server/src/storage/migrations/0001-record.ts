import { sql } from "kysely";
import type { Migration } from "./migration.ts";

/** The record and its log: events, salts and commitments, the chain heads, the log's state, the service's public keys. */
export const recordMigration: Migration = {
  name: "0001-record",
  async up(database) {
    await database.schema
      .createTable("event")
      .addColumn("sequence", "integer", (column) => column.primaryKey())
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("org_sequence", "integer", (column) => column.notNull())
      .addColumn("type", "text", (column) => column.notNull())
      .addColumn("version", "integer", (column) => column.notNull())
      .addColumn("actor", "text", (column) => column.notNull())
      .addColumn("time", "integer", (column) => column.notNull())
      .addColumn("bytes", "blob", (column) => column.notNull())
      .execute();
    await database.schema.createIndex("event_org").unique().on("event").columns(["org", "org_sequence"]).execute();
    // The salt lies apart from the event, so that a body can be redacted while its commitment, and so the tree, stands.
    await database.schema
      .createTable("leaf")
      .addColumn("sequence", "integer", (column) => column.primaryKey())
      .addColumn("salt", "blob", (column) => column.notNull())
      .addColumn("commitment", "blob", (column) => column.notNull())
      .execute();
    await database.schema
      .createTable("org_head")
      .addColumn("org", "text", (column) => column.primaryKey())
      .addColumn("org_sequence", "integer", (column) => column.notNull())
      .addColumn("commitment", "blob", (column) => column.notNull())
      .addColumn("sequence", "integer", (column) => column.notNull())
      .addColumn("anchored", "integer", (column) => column.notNull())
      .execute();
    await database.schema
      .createTable("log_state")
      .addColumn("name", "text", (column) => column.primaryKey())
      .addColumn("origin", "text", (column) => column.notNull())
      .addColumn("vkey", "text", (column) => column.notNull())
      .addColumn("epoch", "integer", (column) => column.notNull())
      .addColumn("size", "integer", (column) => column.notNull())
      .addColumn("root", "blob", (column) => column.notNull())
      .execute();
    await database.schema
      .createTable("key")
      .addColumn("id", "text", (column) => column.primaryKey())
      .addColumn("purpose", "text", (column) => column.notNull())
      .addColumn("algorithm", "text", (column) => column.notNull())
      .addColumn("public_key", "text", (column) => column.notNull())
      .addColumn("created_sequence", "integer", (column) => column.notNull())
      .addColumn("active_from_sequence", "integer")
      .addColumn("retired_sequence", "integer")
      .execute();
    await sql`create index key_purpose on key (purpose, active_from_sequence)`.execute(database);
  },
};
