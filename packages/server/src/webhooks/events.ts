import { z } from "zod";
import { defineEvent, type EventDefinition, type RecordedEvent } from "../record/command.ts";
import type { Transactor } from "../storage/database.ts";
import { WEBHOOK_FORMATS, WEBHOOK_KINDS } from "./endpoint.ts";
import { currentWebhook } from "./queries.ts";
import type { WebhookTables } from "./schema.ts";

const settings = {
  name: z.string(),
  url: z.string(),
  kinds: z.array(z.enum(WEBHOOK_KINDS)),
  repositories: z.array(z.string()).nullable(),
  format: z.enum(WEBHOOK_FORMATS),
};

const createdBody = z.strictObject({ ...settings, secret: z.string() });
const changedBody = z.strictObject(settings);
const rotatedBody = z.strictObject({
  name: z.string(),
  secret: z.string(),
  /** The former secret, and until when it signs too, ms. */
  previous: z.string(),
  previousUntil: z.int(),
});
const replayedBody = z.strictObject({
  name: z.string(),
  /** The sequence of the one delivery, or of the first. */
  sequence: z.int().nonnegative(),
  only: z.boolean(),
});

type Row = WebhookTables["webhook"];

/** A URL in the place of one that is redacted: of a host that is none (RFC 2606). */
const nowhere = (replacement: string): boolean =>
  URL.canParse(replacement) && /^https:\/\/[^/]+\.invalid(?:\/|$)/.test(replacement);

async function end(transactor: Transactor, org: string, name: string, sequence: number): Promise<void> {
  await transactor
    .tables<WebhookTables>()
    .updateTable("webhook")
    .set({ to_seq: sequence })
    .where("org", "=", org)
    .where("name", "=", name)
    .where("to_seq", "is", null)
    .execute();
}

/** Ends the row that stands and writes the next, with `changes`. */
async function succeed(
  transactor: Transactor,
  event: Pick<RecordedEvent, "org" | "sequence" | "time" | "actor">,
  name: string,
  changes: Partial<Row>,
): Promise<void> {
  const row = await currentWebhook(transactor, event.org, name);
  // The decision saw it in this transaction; in a replay the earlier events made it.
  if (row === undefined) return;
  await end(transactor, event.org, name, event.sequence);
  await transactor
    .tables<WebhookTables>()
    .insertInto("webhook")
    .values({
      ...row,
      ...changes,
      set_time: event.time,
      set_by: event.actor,
      from_seq: event.sequence,
      to_seq: null,
    })
    .execute();
}

const filterColumns = (body: z.output<typeof changedBody>): Pick<Row, "url" | "kinds" | "repositories" | "format"> => ({
  url: body.url,
  kinds: JSON.stringify(body.kinds),
  repositories: body.repositories === null ? null : JSON.stringify(body.repositories),
  format: body.format,
});

/** Where an organisation is told what: facts of its own chain. No secret is in them. */
export const webhookEvents: readonly EventDefinition[] = [
  defineEvent({
    type: "webhooks.created",
    version: 1,
    body: createdBody,
    redactable: { "/url": nowhere },
    project: async (transactor, event) => {
      await transactor
        .tables<WebhookTables>()
        .insertInto("webhook")
        .values({
          org: event.org,
          name: event.body.name,
          id: event.sequence,
          born_org_sequence: event.orgSequence,
          ...filterColumns(event.body),
          secret: event.body.secret,
          previous_secret: null,
          previous_until: null,
          paused_time: null,
          set_time: event.time,
          set_by: event.actor,
          from_seq: event.sequence,
          to_seq: null,
        })
        .execute();
    },
  }),
  defineEvent({
    type: "webhooks.changed",
    version: 1,
    body: changedBody,
    redactable: { "/url": nowhere },
    project: (transactor, event) => succeed(transactor, event, event.body.name, filterColumns(event.body)),
  }),
  defineEvent({
    type: "webhooks.secret-rotated",
    version: 1,
    body: rotatedBody,
    project: (transactor, event) =>
      succeed(transactor, event, event.body.name, {
        secret: event.body.secret,
        previous_secret: event.body.previous,
        previous_until: event.body.previousUntil,
      }),
  }),
  defineEvent({
    type: "webhooks.paused",
    version: 1,
    body: z.strictObject({ name: z.string() }),
    project: (transactor, event) => succeed(transactor, event, event.body.name, { paused_time: event.time }),
  }),
  defineEvent({
    type: "webhooks.resumed",
    version: 1,
    body: z.strictObject({ name: z.string() }),
    project: (transactor, event) => succeed(transactor, event, event.body.name, { paused_time: null }),
  }),
  defineEvent({
    type: "webhooks.removed",
    version: 1,
    body: z.strictObject({ name: z.string(), id: z.int() }),
    project: async (transactor, event) => {
      await end(transactor, event.org, event.body.name, event.sequence);
      // How far it was told is no fact, and nobody asks any more. The id never comes back: in a replay there is nothing to delete.
      for (const table of ["webhook_delivery", "webhook_cursor"] as const) {
        await transactor
          .tables<WebhookTables>()
          .deleteFrom(table)
          .where("org", "=", event.org)
          .where("webhook", "=", event.body.id)
          .execute();
      }
    },
  }),
  // Who had what told again is a fact, though the deliveries are none: they are made by an operation after it.
  defineEvent({ type: "webhooks.replayed", version: 1, body: replayedBody, project: async () => undefined }),
];
