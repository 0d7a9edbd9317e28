import { randomUUID } from "node:crypto";
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { API, append, pageParams, pageSchema, receiptField } from "../access/wire.ts";
import { decodeCursor, pageOf } from "../http/cursor.ts";
import { Problem } from "../http/problem.ts";
import { WEBHOOK_LIMITS } from "./limits.ts";
import { findDelivery, listDeliveries, orgSequenceBefore } from "./queries.ts";
import { Places } from "./places.ts";
import { DELIVERY_STATES } from "./schema.ts";
import { send } from "./send.ts";
import {
  administrator,
  deliverySchema,
  requireWebhook,
  showDelivery,
  tags,
  type WebhookRoutesContext,
  webhookParams,
} from "./wire.ts";

const sequence = z.int().nonnegative();
const made = z.object({ made: z.boolean() });

/** What an endpoint was told, what came of it; telling it again; and a test. */
export function registerDeliveryRoutes(instance: FastifyInstance, context: WebhookRoutesContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { reader, record, sender, watch, wake } = context;
  const tests = new Places(WEBHOOK_LIMITS.testsAtOnce, WEBHOOK_LIMITS.testsPerOrganisation);

  app.get(
    `${API}/orgs/:org/webhooks/:name/deliveries`,
    {
      schema: {
        summary: "What a webhook was told and what came of it, the newest events first",
        description: `The newest ${WEBHOOK_LIMITS.kept} of each state are kept. For admins of the organisation.`,
        tags,
        params: webhookParams,
        querystring: pageParams.extend({ state: z.enum(DELIVERY_STATES).optional() }),
        response: { 200: pageSchema(deliverySchema) },
      },
    },
    async (request) => {
      const { org, name } = request.params;
      await administrator(context, request, org);
      const { state, limit, cursor } = request.query;
      const { id: webhook } = await requireWebhook(reader, org, name);
      // Deliveries are no facts: their list is bound to no sequence of the record.
      const before = cursor === undefined ? undefined : decodeCursor(cursor).position;
      const rows = await listDeliveries(reader, { org, webhook, state, before, limit: limit + 1 });
      const page = pageOf(rows, limit, -1, (row) => row.sequence);
      return { items: page.items.map(showDelivery), next: page.next };
    },
  );

  app.post(
    `${API}/orgs/:org/webhooks/:name/replay`,
    {
      schema: {
        summary: "Tell a webhook again: one delivery, or everything from an event on",
        description:
          "`delivery`: that one, out of turn. `from`: the webhook is sent back (or forward) to that event and told all since, in order; nothing else is told meanwhile. Messages keep their ids. Recorded. For admins of the organisation.",
        tags,
        params: webhookParams,
        body: z
          .union([z.strictObject({ delivery: sequence }), z.strictObject({ from: sequence })])
          .describe("Sequences of the record."),
        response: { 200: z.strictObject({ receipt: receiptField }) },
      },
    },
    async (request) => {
      const { org, name } = request.params;
      const actor = await administrator(context, request, org);
      const webhook = await requireWebhook(reader, org, name);
      const only = "delivery" in request.body;
      const wanted = "delivery" in request.body ? request.body.delivery : request.body.from;
      if (only && (await findDelivery(reader, org, webhook.id, wanted)) === undefined) {
        throw new Problem(404, "delivery-unknown", `${name} has no delivery of event ${wanted}`, {
          hint: "its deliveries are listed; `from` replays what is not kept any more",
        });
      }
      const place = { org, webhook: webhook.id };
      const position = only ? undefined : await orgSequenceBefore(reader, org, wanted);
      const body = { name, sequence: wanted, only };
      const appended = await append(record, { type: "webhooks.replay", org, actor, body });
      if (position === undefined) {
        const answer = made.parse(await record.operate("webhooks.again", { ...place, sequence: wanted }));
        if (!answer.made) throw new Problem(503, "jobs-overloaded", "too many deliveries wait", { hint: "try later" });
        wake();
      } else {
        await record.operate("webhooks.rewind", { ...place, position });
        await watch.advance(webhook);
      }
      return { receipt: appended.receipts[0] ?? null };
    },
  );

  app.post(
    `${API}/orgs/:org/webhooks/:name/test`,
    {
      schema: {
        summary: "Send a webhook a test message, now and once, and say what came of it",
        description:
          "Signed as every message is, of the type dev.assay.webhook.test. Of the answer only the status is read. For admins of the organisation.",
        tags,
        params: webhookParams,
        response: {
          200: z.strictObject({
            taken: z.boolean().describe("Whether it was answered 200 to 299."),
            id: z.string(),
            status: z.int().nullable(),
            error: z.string().nullable(),
          }),
        },
      },
    },
    async (request) => {
      const { org, name } = request.params;
      const actor = await administrator(context, request, org);
      const webhook = await requireWebhook(reader, org, name);
      if (!tests.take(org)) {
        throw new Problem(429, "webhook-tests-busy", "other tests of webhooks are under way", {
          headers: { "retry-after": "5" },
        });
      }
      try {
        const id = `${org}/test/${randomUUID()}`;
        const fact = { type: "webhook.test", repository: null, subject: name, data: { webhook: name } };
        const time = sender.now();
        const sent = await send(sender, webhook, { org, id, sequence: undefined, time, actor: actor.id, fact });
        const { taken, status, error } = sent;
        return { id, taken, status, error };
      } finally {
        tests.giveBack(org);
      }
    },
  );
}
