import type { FastifyRequest } from "fastify";
import { z } from "zod";
import { type Authenticator, requireActor } from "../access/authenticate.ts";
import { authorize } from "../access/authorize.ts";
import { orgParams, timeSchema } from "../access/wire.ts";
import { Problem } from "../http/problem.ts";
import type { RecordClient } from "../record/client.ts";
import type { Actor } from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import { webhookUnknown } from "./commands.ts";
import { endpointSchema, filterOfRow, webhookName } from "./endpoint.ts";
import { messageId } from "./message.ts";
import { currentWebhook, cursorOf, type DeliveryRow, type WebhookRow } from "./queries.ts";
import { DELIVERY_STATES } from "./schema.ts";
import type { Sender } from "./send.ts";
import type { WebhookWatch } from "./watch.ts";

/** What the routes of webhooks need. */
export interface WebhookRoutesContext {
  readonly reader: Reader;
  readonly record: RecordClient;
  readonly authenticator: Authenticator;
  readonly sender: Sender;
  readonly watch: Pick<WebhookWatch, "advance">;
  /** Tells the runner of this process that there is work. */
  readonly wake: () => void;
}

export const tags = ["webhooks"];
export const webhookParams = orgParams.extend({ name: webhookName });

export const webhookSchema = z.strictObject({
  name: z.string(),
  ...endpointSchema.shape,
  formerSecretUntil: timeSchema.nullable().describe("Until when messages are signed with the former secret too."),
  paused: timeSchema.nullable().describe("Since when it is told nothing; what comes meanwhile waits."),
  next: z
    .int()
    .nullable()
    .describe("The event that is being delivered, or waits for its next attempt; those after it wait behind it."),
  set: timeSchema,
  setBy: z.string(),
});

export const secretField = z.string().describe("Standard Webhooks: `whsec_` and base64. Shown this once.");

export const deliverySchema = z.strictObject({
  sequence: z.int().describe("The event's."),
  id: z.string().describe("The message's id: the same at every attempt, and for every endpoint."),
  type: z.string(),
  state: z.enum(DELIVERY_STATES).describe("failed: tried again; dead: given up, until somebody replays it."),
  attempts: z.int(),
  status: z.int().nullable().describe("The newest answer's HTTP status; null when there was none."),
  error: z.string().nullable().describe("Why the newest attempt failed."),
  first: timeSchema.describe("When it was first tried."),
  last: timeSchema.describe("When it was last tried."),
});

/**
 * Who asks, if they may administer the organisation's webhooks. THE one place of this room's routes that says so; every command asks again
 * in its transaction.
 *
 * @throws Problem.
 */
export async function administrator(
  { reader, authenticator }: WebhookRoutesContext,
  request: FastifyRequest,
  org: string,
): Promise<Actor> {
  const actor = await requireActor(authenticator, request);
  const refusal = await authorize(reader, actor, "org.administer", { org });
  if (refusal !== undefined) throw Problem.fromRefusal(refusal);
  return actor;
}

/** The endpoint of a name. @throws Problem 404 `webhook-unknown`. */
export async function requireWebhook(reader: Reader, org: string, name: string): Promise<WebhookRow> {
  const row = await currentWebhook(reader, org, name);
  if (row === undefined) throw Problem.fromRefusal(webhookUnknown(name));
  return row;
}

/** An endpoint as answers show it: without its secret, whose name in the record is of no use to anybody. */
export async function showWebhook(reader: Reader, row: WebhookRow): Promise<z.output<typeof webhookSchema>> {
  const cursor = await cursorOf(reader, row.org, row.id);
  return {
    name: row.name,
    url: row.url,
    ...filterOfRow(row),
    format: row.format,
    formerSecretUntil: row.previous_until,
    paused: row.paused_time,
    next: cursor?.head ?? null,
    set: row.set_time,
    setBy: row.set_by,
  };
}

export function showDelivery(row: DeliveryRow): z.output<typeof deliverySchema> {
  return {
    sequence: row.sequence,
    id: messageId(row.org, row.sequence),
    type: row.type,
    state: row.state,
    attempts: row.attempts,
    status: row.status,
    error: row.error,
    first: row.first_time,
    last: row.last_time,
  };
}
