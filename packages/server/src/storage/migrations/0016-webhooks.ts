import { sql } from "kysely";
import type { Migration } from "./migration.ts";

/** Where organisations are told what; and, unrecorded, how far each was told and what came of it. */
export const webhooksMigration: Migration = {
  name: "0016-webhooks",
  async up(database) {
    const { schema } = database;
    await schema
      .createTable("webhook")
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("name", "text", (column) => column.notNull())
      .addColumn("id", "integer", (column) => column.notNull())
      .addColumn("born_org_sequence", "integer", (column) => column.notNull())
      .addColumn("url", "text", (column) => column.notNull())
      .addColumn("kinds", "text", (column) => column.notNull())
      .addColumn("repositories", "text")
      .addColumn("format", "text", (column) => column.notNull())
      .addColumn("secret", "text", (column) => column.notNull())
      .addColumn("previous_secret", "text")
      .addColumn("previous_until", "integer")
      .addColumn("set_time", "integer", (column) => column.notNull())
      .addColumn("set_by", "text", (column) => column.notNull())
      .addColumn("from_seq", "integer", (column) => column.notNull())
      .addColumn("to_seq", "integer")
      .addPrimaryKeyConstraint("webhook_key", ["org", "name", "from_seq"])
      .execute();
    // INVARIANT: at any time an organisation has at most one webhook of a name.
    await sql`create unique index webhook_current on webhook (org, name) where to_seq is null`.execute(database);
    await sql`create index webhook_org on webhook (org, from_seq)`.execute(database);
    await sql`create index webhook_id on webhook (org, id, from_seq)`.execute(database);

    await schema
      .createTable("webhook_cursor")
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("webhook", "integer", (column) => column.notNull())
      .addColumn("position", "integer", (column) => column.notNull())
      .addColumn("head", "integer")
      .addPrimaryKeyConstraint("webhook_cursor_key", ["org", "webhook"])
      .execute();

    await schema
      .createTable("webhook_delivery")
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("webhook", "integer", (column) => column.notNull())
      .addColumn("sequence", "integer", (column) => column.notNull())
      .addColumn("type", "text", (column) => column.notNull())
      .addColumn("state", "text", (column) => column.notNull())
      .addColumn("attempts", "integer", (column) => column.notNull())
      .addColumn("status", "integer")
      .addColumn("error", "text")
      .addColumn("first_time", "integer", (column) => column.notNull())
      .addColumn("last_time", "integer", (column) => column.notNull())
      .addPrimaryKeyConstraint("webhook_delivery_key", ["org", "webhook", "sequence"])
      .execute();
    await sql`create index webhook_delivery_state on webhook_delivery (org, webhook, state, sequence)`.execute(
      database,
    );
  },
};
