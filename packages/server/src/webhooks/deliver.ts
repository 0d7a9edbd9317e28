import { z } from "zod";
import { ServerError } from "../errors.ts";
import type { JobContext } from "../jobs/job.ts";
import type { RecordClient } from "../record/client.ts";
import type { RecordedEvent } from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import { WEBHOOK_LIMITS } from "./limits.ts";
import { messageId, messageType, type Occurrence } from "./message.ts";
import { cursorOf, findDelivery, type WebhookRow, webhookById } from "./queries.ts";
import { factAt, type Lift } from "./scan.ts";
import { type Sender, type Sent, send } from "./send.ts";
import type { Fact } from "./fact.ts";
import type { WebhookWatch } from "./watch.ts";

/** One event to one endpoint. */
export const deliverySchema = z.strictObject({
  org: z.string(),
  webhook: z.int(),
  sequence: z.int(),
  /** Somebody asked for it once more: also when it was delivered. */
  again: z.boolean(),
});

/** What deliveries are made with. */
export interface DeliverContext {
  readonly reader: Reader;
  readonly record: Pick<RecordClient, "operate">;
  readonly lift: Lift;
  readonly sender: Sender;
  readonly watch: Pick<WebhookWatch, "advance">;
  /** Told what came of each attempt. */
  readonly told: (outcome: "delivered" | "failed" | "dead") => void;
}

const settled = z.object({ inTurn: z.boolean() });

/** An event as the world is told of it. */
export function occurrenceOf(event: RecordedEvent, fact: Fact): Occurrence {
  const { org, sequence, time, actor } = event;
  return { org, id: messageId(org, sequence), sequence, time, actor, fact };
}

/**
 * One run of a delivery's job: one request. What came of it is written down before the job ends, so that a crash at any point repeats the
 * message under its id and never leaves it out. A request that was not taken fails the run, and the queue's back-off says when the next is,
 * or the endpoint itself; after the last, the delivery is dead and the endpoint's next event has its turn.
 *
 * @throws ServerError `webhook-failed` when the message was not taken and is tried again.
 */
export async function deliver(
  context: DeliverContext,
  body: z.output<typeof deliverySchema>,
  { attempt, signal, notBefore }: Pick<JobContext, "attempt" | "signal" | "notBefore">,
): Promise<void> {
  const { reader, record, lift, sender, watch, told } = context;
  const { org, webhook: id, sequence, again } = body;
  const webhook = await webhookById(reader, org, id);
  // Removed meanwhile: there is nobody to tell. Or paused: it stays in turn, and is found again when it is resumed.
  if (webhook === undefined || webhook.paused_time !== null) return;
  const before = await findDelivery(reader, org, id, sequence);
  if (before?.state === "delivered" && !again) {
    // Settled by a run that ended before it could say so; unless the endpoint was sent back to this event.
    const cursor = await cursorOf(reader, org, id);
    if (cursor?.head !== sequence) return await watch.advance(webhook);
  }
  const found = await factAt(reader, lift, org, sequence);
  if (found === undefined) throw new ServerError("internal", `event ${sequence} of ${org} tells nothing`);
  const sent = await sendOrSay(sender, webhook, occurrenceOf(found.event, found.fact));
  // The process stops, or the lease is over: what came of it is for the next run to say.
  if (!sent.taken) signal.throwIfAborted();
  const state = outcomeOf(sent, attempt);
  const answer = await record.operate("webhooks.settle", {
    org,
    webhook: id,
    sequence,
    orgSequence: found.event.orgSequence,
    type: messageType(webhook.format, found.fact.type),
    state,
    status: sent.status,
    error: sent.error,
  });
  told(state);
  if (settled.parse(answer).inTurn && state !== "failed") await watch.advance(webhook);
  // A dead delivery is the organisation's own dead letter: it takes no room among the operator's, who can do nothing about it.
  if (state === "failed") {
    notBefore(sent.restMs);
    throw new ServerError("webhook-failed", `${org}/${webhook.name} was not told of event ${sequence}: ${sent.error}`);
  }
}

/** What came of a message; one that we cannot make or sign is one that was not taken, so that it holds up what comes after it no longer than any. */
async function sendOrSay(sender: Sender, webhook: WebhookRow, occurrence: Occurrence): Promise<Sent> {
  try {
    return await send(sender, webhook, occurrence);
  } catch (error) {
    if (!(error instanceof ServerError) || (error.code !== "webhook-failed" && error.code !== "key-missing"))
      throw error;
    return { taken: false, status: null, error: error.message.slice(0, WEBHOOK_LIMITS.errorLength), restMs: 0 };
  }
}

function outcomeOf(sent: Sent, attempt: number): "delivered" | "failed" | "dead" {
  if (sent.taken) return "delivered";
  return attempt >= WEBHOOK_LIMITS.attempts ? "dead" : "failed";
}
