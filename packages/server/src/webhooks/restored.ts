import { sql } from "kysely";
import type { Transactor } from "../storage/database.ts";
import type { WebhookTables } from "./schema.ts";

/**
 * Forgets what endpoints were told of events that a restored record does not have: a backup's counters may be a moment newer than its
 * events. Other events get those sequences now, and must be told. Nothing else may be writing.
 */
export async function forgetLostDeliveries(transactor: Transactor): Promise<void> {
  const tables = transactor.tables<WebhookTables>();
  const head = sql<number>`coalesce((select org_sequence from org_head where org_head.org = webhook_cursor.org), -1)`;
  await tables.updateTable("webhook_cursor").set({ position: head, head: null }).where("position", ">", head).execute();
  // An endpoint that the record does not have either: its id, an event's sequence, may be another's now.
  for (const table of ["webhook_cursor", "webhook_delivery"] as const) {
    await tables
      .deleteFrom(table)
      .where((row) =>
        row.not(
          row.exists(
            row
              .selectFrom("webhook")
              .select("webhook.id")
              .whereRef("webhook.org", "=", `${table}.org`)
              .whereRef("webhook.id", "=", `${table}.webhook`)
              .where("webhook.to_seq", "is", null),
          ),
        ),
      )
      .execute();
  }
  await tables
    .deleteFrom("webhook_delivery")
    .where("sequence", ">", sql<number>`(select coalesce(max(sequence), -1) from event)`)
    .execute();
}
