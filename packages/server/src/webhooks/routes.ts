import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { API, append, orgParams, pageParams, pageSchema, readPage, receiptField, timeSchema } from "../access/wire.ts";
import { registerDeliveryRoutes } from "./delivery-routes.ts";
import { endpointSchema, webhookName } from "./endpoint.ts";
import { WEBHOOK_LIMITS } from "./limits.ts";
import { listWebhooks } from "./queries.ts";
import { newSecret } from "./secret.ts";
import {
  administrator,
  requireWebhook,
  secretField,
  showWebhook,
  tags,
  type WebhookRoutesContext,
  webhookParams,
  webhookSchema,
} from "./wire.ts";

const rotatedResult = z.object({ previousUntil: z.int() });

/** Where an organisation is told what. */
export function registerWebhookRoutes(instance: FastifyInstance, context: WebhookRoutesContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { reader, record, sender } = context;

  app.post(
    `${API}/orgs/:org/webhooks`,
    {
      schema: {
        summary: "Make a webhook: what is recorded from now on is POSTed to its URL",
        description: "The answer holds its secret, this once. For admins of the organisation.",
        tags,
        params: orgParams,
        body: endpointSchema.extend({ name: webhookName }),
        response: { 201: webhookSchema.extend({ secret: secretField, receipt: receiptField }) },
      },
    },
    async (request, reply) => {
      const { org } = request.params;
      const actor = await administrator(context, request, org);
      const secret = newSecret(sender.keyring, org);
      const appended = await append(record, {
        type: "webhooks.create",
        org,
        actor,
        body: { ...request.body, secret: secret.id },
      });
      const row = await requireWebhook(reader, org, request.body.name);
      return reply
        .code(201)
        .send({ ...(await showWebhook(reader, row)), secret: secret.shown, receipt: appended.receipts[0] ?? null });
    },
  );

  app.get(
    `${API}/orgs/:org/webhooks`,
    {
      schema: {
        summary: "List an organisation's webhooks",
        description: "For admins of the organisation.",
        tags,
        params: orgParams,
        querystring: pageParams,
        response: { 200: pageSchema(webhookSchema) },
      },
    },
    async (request) => {
      const { org } = request.params;
      await administrator(context, request, org);
      const page = await readPage(
        reader,
        request.query,
        (place) => listWebhooks(reader, org, place),
        (row) => row.from_seq,
        (row) => row,
      );
      return { items: await Promise.all(page.items.map((row) => showWebhook(reader, row))), next: page.next };
    },
  );

  app.get(
    `${API}/orgs/:org/webhooks/:name`,
    {
      schema: {
        summary: "One webhook",
        description: "For admins of the organisation.",
        tags,
        params: webhookParams,
        response: { 200: webhookSchema },
      },
    },
    async (request) => {
      const { org, name } = request.params;
      await administrator(context, request, org);
      return await showWebhook(reader, await requireWebhook(reader, org, name));
    },
  );

  app.put(
    `${API}/orgs/:org/webhooks/:name`,
    {
      schema: {
        summary: "Change a webhook",
        description:
          "What waits is sent to the new URL, in the new format; kinds and repositories count for what is recorded from now on. For admins of the organisation.",
        tags,
        params: webhookParams,
        body: endpointSchema,
        response: { 200: webhookSchema.extend({ receipt: receiptField }) },
      },
    },
    async (request) => {
      const { org, name } = request.params;
      const actor = await administrator(context, request, org);
      const body = { name, ...request.body };
      const appended = await append(record, { type: "webhooks.change", org, actor, body });
      const row = await requireWebhook(reader, org, name);
      return { ...(await showWebhook(reader, row)), receipt: appended.receipts[0] ?? null };
    },
  );

  app.delete(
    `${API}/orgs/:org/webhooks/:name`,
    {
      schema: {
        summary: "Remove a webhook",
        description: "What it was not told yet, it is not told any more. For admins of the organisation.",
        tags,
        params: webhookParams,
        response: { 200: z.strictObject({ receipt: receiptField }) },
      },
    },
    async (request) => {
      const { org, name } = request.params;
      const actor = await administrator(context, request, org);
      const appended = await append(record, { type: "webhooks.remove", org, actor, body: { name } });
      return { receipt: appended.receipts[0] ?? null };
    },
  );

  app.post(
    `${API}/orgs/:org/webhooks/:name/rotate`,
    {
      schema: {
        summary: "Give a webhook another secret",
        description:
          "For a while messages are signed with both, so that the receiver can change at leisure. The answer holds the new one, this once. For admins of the organisation.",
        tags,
        params: webhookParams,
        body: z.strictObject({
          overlapMs: z
            .int()
            .min(0)
            .max(WEBHOOK_LIMITS.longestOverlapMs)
            .default(WEBHOOK_LIMITS.overlapMs)
            .describe("How long the former secret signs too; 0 when it leaked."),
        }),
        response: {
          200: z.strictObject({
            name: z.string(),
            secret: secretField,
            formerUntil: timeSchema,
            receipt: receiptField,
          }),
        },
      },
    },
    async (request) => {
      const { org, name } = request.params;
      const actor = await administrator(context, request, org);
      const secret = newSecret(sender.keyring, org);
      const body = { name, secret: secret.id, overlap: request.body.overlapMs };
      const appended = await append(record, { type: "webhooks.rotate-secret", org, actor, body });
      return {
        name,
        secret: secret.shown,
        formerUntil: rotatedResult.parse(appended.results[0]).previousUntil,
        receipt: appended.receipts[0] ?? null,
      };
    },
  );

  const turns = [
    {
      verb: "pause",
      summary: "Tell a webhook nothing until it is resumed",
      description:
        "What is recorded meanwhile waits, in the record. What is being sent just now is. For admins of the organisation.",
    },
    {
      verb: "resume",
      summary: "Tell a webhook again: all that came while it was paused, in order",
      description: "It goes on with the event it stood at, with all its attempts. For admins of the organisation.",
    },
  ] as const;
  for (const { verb, summary, description } of turns) {
    app.post(
      `${API}/orgs/:org/webhooks/:name/${verb}`,
      {
        schema: {
          summary,
          description,
          tags,
          params: webhookParams,
          response: { 200: webhookSchema.extend({ receipt: receiptField }) },
        },
      },
      async (request) => {
        const { org, name } = request.params;
        const actor = await administrator(context, request, org);
        const appended = await append(record, { type: `webhooks.${verb}`, org, actor, body: { name } });
        const row = await requireWebhook(reader, org, name);
        return { ...(await showWebhook(reader, row)), receipt: appended.receipts[0] ?? null };
      },
    );
  }

  registerDeliveryRoutes(instance, context);
}
