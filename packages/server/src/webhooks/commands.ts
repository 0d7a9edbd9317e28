import { z } from "zod";
import { authorize } from "../access/authorize.ts";
import { isPatternOf } from "../access/repository-pattern.ts";
import {
  accept,
  type CommandDefinition,
  type DecideContext,
  defineCommand,
  type Refusal,
  refuse,
} from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import { endpointSchema, filterOfRow, secretId, webhookName } from "./endpoint.ts";
import { WEBHOOK_LIMITS } from "./limits.ts";
import { countWebhooks, currentWebhook, type WebhookRow } from "./queries.ts";

/** The one answer for a webhook that is not there and for one that is not yours. */
export function webhookUnknown(name: string): Refusal {
  return {
    code: "webhook-unknown",
    status: 404,
    message: `there is no webhook ${JSON.stringify(name)} that you may administer`,
  };
}

/** The endpoint of a name, for those who may administer it: every command of this room but the first asks this. */
async function mine(
  reader: Reader,
  name: string,
  { actor, org }: DecideContext,
): Promise<{ readonly refusal: Refusal } | { readonly refusal: undefined; readonly row: WebhookRow }> {
  const refusal = await authorize(reader, actor, "org.administer", { org });
  if (refusal !== undefined) return { refusal };
  const row = await currentWebhook(reader, org, name);
  return row === undefined ? { refusal: webhookUnknown(name) } : { refusal: undefined, row };
}

/** Patterns that name another organisation's repositories: an endpoint is told of its own only. */
function elsewhere(org: string, repositories: readonly string[] | null) {
  const pattern = repositories?.find((one) => !isPatternOf(org, one));
  if (pattern === undefined) return undefined;
  return refuse("repository-elsewhere", `${pattern} names no repositories of ${org}`, {
    status: 400,
    hint: `write it as ${org}/<name>`,
  });
}

const named = { name: z.string().max(64) };

/** Stops telling an endpoint, or goes on: where it stood, with all that came meanwhile. */
function turn(type: string, event: string, paused: boolean): CommandDefinition {
  return defineCommand({
    type,
    body: z.strictObject(named),
    decide: async (reader, { name }, context) => {
      const found = await mine(reader, name, context);
      if (found.refusal !== undefined) return { accepted: false, refusal: found.refusal };
      return accept((found.row.paused_time !== null) === paused ? [] : [{ type: event, body: { name } }]);
    },
  });
}

/** The life of webhooks. The secret itself is in no command: only its name. */
export const webhookCommands: readonly CommandDefinition[] = [
  defineCommand({
    type: "webhooks.create",
    body: endpointSchema.extend({ name: webhookName, secret: secretId }),
    decide: async (reader, body, context) => {
      const { org } = context;
      const refusal = await authorize(reader, context.actor, "org.administer", { org });
      if (refusal !== undefined) return { accepted: false, refusal };
      const wrong = elsewhere(org, body.repositories);
      if (wrong !== undefined) return wrong;
      if ((await currentWebhook(reader, org, body.name)) !== undefined) {
        return refuse("webhook-exists", `there is a webhook ${JSON.stringify(body.name)} already`, {
          hint: "change it, or take another name",
        });
      }
      if ((await countWebhooks(reader, org)) >= WEBHOOK_LIMITS.perOrganisation) {
        return refuse("webhooks-full", `an organisation has at most ${WEBHOOK_LIMITS.perOrganisation} webhooks`);
      }
      return accept([{ type: "webhooks.created", body }], { set: context.time });
    },
  }),
  defineCommand({
    type: "webhooks.change",
    body: endpointSchema.extend({ name: webhookName }),
    decide: async (reader, body, context) => {
      const found = await mine(reader, body.name, context);
      if (found.refusal !== undefined) return { accepted: false, refusal: found.refusal };
      const wrong = elsewhere(context.org, body.repositories);
      if (wrong !== undefined) return wrong;
      const { row } = found;
      const { kinds, repositories } = filterOfRow(row);
      const same =
        row.url === body.url &&
        row.format === body.format &&
        JSON.stringify([kinds, repositories]) === JSON.stringify([body.kinds, body.repositories]);
      if (same) return accept([], { set: row.set_time });
      return accept([{ type: "webhooks.changed", body }], { set: context.time });
    },
  }),
  defineCommand({
    type: "webhooks.rotate-secret",
    body: z.strictObject({
      ...named,
      secret: secretId,
      /** How long the former secret signs too, ms. */
      overlap: z.int().min(0).max(WEBHOOK_LIMITS.longestOverlapMs),
    }),
    decide: async (reader, { name, secret, overlap }, context) => {
      const found = await mine(reader, name, context);
      if (found.refusal !== undefined) return { accepted: false, refusal: found.refusal };
      const previousUntil = context.time + overlap;
      return accept(
        [{ type: "webhooks.secret-rotated", body: { name, secret, previous: found.row.secret, previousUntil } }],
        { previousUntil },
      );
    },
  }),
  turn("webhooks.pause", "webhooks.paused", true),
  turn("webhooks.resume", "webhooks.resumed", false),
  defineCommand({
    type: "webhooks.remove",
    body: z.strictObject(named),
    decide: async (reader, { name }, context) => {
      const found = await mine(reader, name, context);
      if (found.refusal !== undefined) return { accepted: false, refusal: found.refusal };
      return accept([{ type: "webhooks.removed", body: { name, id: found.row.id } }]);
    },
  }),
  defineCommand({
    type: "webhooks.replay",
    body: z.strictObject({ ...named, sequence: z.int().nonnegative(), only: z.boolean() }),
    decide: async (reader, body, context) => {
      const found = await mine(reader, body.name, context);
      if (found.refusal !== undefined) return { accepted: false, refusal: found.refusal };
      if (body.only && found.row.paused_time !== null) {
        return refuse("webhook-paused", `${JSON.stringify(body.name)} is paused: it is told nothing`, {
          hint: "resume it first",
        });
      }
      return accept([{ type: "webhooks.replayed", body }]);
    },
  }),
];
