import { z } from "zod";
import { ServerError } from "../errors.ts";
import { enqueue, hasten, openJob } from "../jobs/operations.ts";
import { defineOperation, type OperationDefinition } from "../record/command.ts";
import type { Transactor } from "../storage/database.ts";
import { WEBHOOK_LIMITS } from "./limits.ts";
import { type CursorRow, cursorOf, findDelivery, type WebhookRow, webhookById } from "./queries.ts";
import { DELIVERY_STATES, type WebhookTables } from "./schema.ts";

/** The kind of the jobs that deliver. */
export const DELIVER = "webhooks.deliver";

/** One event to one endpoint: names its job, so that at most one of it waits or runs. */
export function deliveryKey(org: string, webhook: number, sequence: number): string {
  return `${org}/${webhook}/${sequence}`;
}

const place = { org: z.string().max(64), webhook: z.int().nonnegative() };

/** How far an endpoint has been told; one that was never told begins after the event that made it. */
export async function cursorOrFirst(reader: Transactor, webhook: WebhookRow): Promise<CursorRow> {
  return (await cursorOf(reader, webhook.org, webhook.id)) ?? firstCursor(webhook);
}

/** Where an endpoint begins. */
export function firstCursor(webhook: Pick<WebhookRow, "org" | "id" | "born_org_sequence">): CursorRow {
  return { org: webhook.org, webhook: webhook.id, position: webhook.born_org_sequence, head: null };
}

async function setCursor(transactor: Transactor, cursor: CursorRow): Promise<void> {
  await transactor
    .tables<WebhookTables>()
    .insertInto("webhook_cursor")
    .values(cursor)
    .onConflict((conflict) =>
      conflict.columns(["org", "webhook"]).doUpdateSet({ position: cursor.position, head: cursor.head }),
    )
    .execute();
}

/** Makes the job of a delivery, or joins the one that is there. @returns false when the organisation's part of the queue, or all of it, is full. */
async function enqueueDelivery(
  transactor: Transactor,
  delivery: { org: string; webhook: number; sequence: number; again: boolean },
  time: number,
): Promise<boolean> {
  const { org, webhook, sequence, again } = delivery;
  const job = {
    kind: DELIVER,
    key: deliveryKey(org, webhook, sequence),
    lane: org,
    body: { org, webhook, sequence, again },
    maxAttempts: WEBHOOK_LIMITS.attempts,
  };
  try {
    await enqueue(transactor, job, time);
    return true;
  } catch (error) {
    if (error instanceof ServerError && error.code === "jobs-overloaded") return false;
    throw error;
  }
}

/**
 * Unrecorded state of this room: how far each endpoint was told, and what became of what it was told.
 *
 * INVARIANT: of one endpoint at most one job delivers in order, that of the cursor's `head`. The cursor moves past an event when that
 * delivery was settled (delivered, or dead), never before: a crash in between repeats it, under the same id.
 */
export const webhookOperations: readonly OperationDefinition[] = [
  /** Moves on to what a scan found: `to`, and the event after it that is to be delivered, if there is one. */
  defineOperation({
    type: "webhooks.advance",
    body: z.strictObject({
      ...place,
      /** Where the scan began: if the cursor is elsewhere by now, nothing changes. */
      from: z.int().min(-1),
      to: z.int().min(-1),
      next: z.int().nonnegative().nullable(),
    }),
    run: async (transactor, { org, webhook: id, from, to, next }, { time }) => {
      const webhook = await webhookById(transactor, org, id);
      if (webhook === undefined || webhook.paused_time !== null) return { moved: false };
      const cursor = await cursorOrFirst(transactor, webhook);
      if (cursor.position !== from) return { moved: false };
      if (cursor.head !== null && (await openJob(transactor, DELIVER, deliveryKey(org, id, cursor.head))) !== undefined)
        return { moved: false };
      const made =
        next !== null && (await enqueueDelivery(transactor, { org, webhook: id, sequence: next, again: false }, time));
      await setCursor(transactor, { org, webhook: id, position: to, head: made ? next : null });
      return { moved: true };
    },
  }),
  /** What became of one attempt. The cursor moves on when the delivery was the one in turn and is settled. */
  defineOperation({
    type: "webhooks.settle",
    body: z.strictObject({
      ...place,
      sequence: z.int().nonnegative(),
      orgSequence: z.int().nonnegative(),
      type: z.string().max(128),
      state: z.enum(DELIVERY_STATES),
      status: z.int().nullable(),
      error: z.string().max(WEBHOOK_LIMITS.errorLength).nullable(),
    }),
    run: async (transactor, body, { time }) => {
      const { org, webhook: id, sequence, orgSequence, type, state, status, error } = body;
      const webhook = await webhookById(transactor, org, id);
      if (webhook === undefined) return { inTurn: false };
      const before = await findDelivery(transactor, org, id, sequence);
      const row = { type, state, status, error, attempts: (before?.attempts ?? 0) + 1, last_time: time };
      await transactor
        .tables<WebhookTables>()
        .insertInto("webhook_delivery")
        .values({ org, webhook: id, sequence, first_time: time, ...row })
        .onConflict((conflict) => conflict.columns(["org", "webhook", "sequence"]).doUpdateSet(row))
        .execute();
      const cursor = await cursorOrFirst(transactor, webhook);
      const inTurn = cursor.head === sequence;
      if (inTurn && state !== "failed") {
        await setCursor(transactor, { org, webhook: id, position: orgSequence, head: null });
      }
      return { inTurn };
    },
  }),
  /** Goes back (or forward) to just after `position`. What is under way is delivered, and moves nothing any more. */
  defineOperation({
    type: "webhooks.rewind",
    body: z.strictObject({ ...place, position: z.int().min(-1) }),
    run: async (transactor, { org, webhook, position }) => {
      if ((await webhookById(transactor, org, webhook)) === undefined) return null;
      await setCursor(transactor, { org, webhook, position, head: null });
      return null;
    },
  }),
  /** Delivers one event once more, out of turn; at once, also where it waits to be tried again. */
  defineOperation({
    type: "webhooks.again",
    body: z.strictObject({ ...place, sequence: z.int().nonnegative() }),
    run: async (transactor, { org, webhook, sequence }, { time }) => {
      if ((await webhookById(transactor, org, webhook)) === undefined) return { made: true };
      const made = await enqueueDelivery(transactor, { org, webhook, sequence, again: true }, time);
      if (made) await hasten(transactor, DELIVER, deliveryKey(org, webhook, sequence), time);
      return { made };
    },
  }),
  /** Lets go of deliveries up to and with an event's. */
  defineOperation({
    type: "webhooks.forget",
    body: z.strictObject({ ...place, state: z.enum(DELIVERY_STATES), upTo: z.int() }),
    run: async (transactor, { org, webhook, state, upTo }) => {
      await transactor
        .tables<WebhookTables>()
        .deleteFrom("webhook_delivery")
        .where("org", "=", org)
        .where("webhook", "=", webhook)
        .where("state", "=", state)
        .where("sequence", "<=", upTo)
        .execute();
      return null;
    },
  }),
];
