import { z } from "zod";
import {
  accept,
  type CommandDefinition,
  type DecideContext,
  defineCommand,
  type NewEvent,
  type Refusal,
  refuse,
  SYSTEM_ORG,
} from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import { authorizeKeys, principalUnknown } from "./authorize.ts";
import { type KeyScope, keyScopeSchema, scopeOfKey } from "./key-scope.ts";
import { parsePrincipal, principalIdSchema } from "./names.ts";
import { isPatternOf } from "./repository-pattern.ts";
import { countLiveKeys, findKey, findPrincipal } from "./queries.ts";

/** Keys of one principal that may be live at once: enough to rotate, few enough to look through. */
const MAX_LIVE_KEYS = 100;

/** The longest a rotated key may still work: 90 days, ms. */
const MAX_GRACE = 90 * 86_400_000;

/** The same in seconds, as the request gives it. */
export const MAX_GRACE_SECONDS = MAX_GRACE / 1000;

/** What an owner may call a key: printable, short, no control characters. */
export const keyLabelSchema = z
  .string()
  .min(1)
  .max(100)
  .regex(/^[^\p{C}]+$/u, "printable characters only");

/** The organisation whose chain tells of a principal's keys: a service account's own, the service's for people. */
export function homeOf(principal: string): string {
  const name = parsePrincipal(principal);
  return name?.kind === "service" ? name.org : SYSTEM_ORG;
}

/** The one answer for a key that is not there and for one that is not this principal's. */
function keyUnknown(id: string): Refusal {
  return {
    code: "key-unknown",
    status: 404,
    message: `there is no API key ${JSON.stringify(id)} that you may administer`,
  };
}

/** When the credential itself ends, ms; null: not by itself. */
async function credentialExpiry(reader: Reader, context: DecideContext): Promise<number | null> {
  const { credential } = context.actor;
  if (credential.kind !== "api-key" || credential.id === undefined) return null;
  return (await findKey(reader, credential.id))?.expires_time ?? null;
}

/** What a bound key must be: of its own organisation's repositories where it is a robot's, and not for ever. */
function scopeRefused(principal: string, scope: KeyScope | null, expires: number | null) {
  if (scope === null) return undefined;
  const owner = parsePrincipal(principal);
  const elsewhere =
    owner?.kind === "service" ? scope.repositories.find((one) => !isPatternOf(owner.org, one)) : undefined;
  if (elsewhere !== undefined && owner?.kind === "service") {
    return refuse("repository-elsewhere", `${elsewhere} names no repositories of ${owner.org}`, {
      status: 400,
      hint: `write it as ${owner.org}/<name>`,
    });
  }
  if (expires !== null) return undefined;
  return refuse("key-expiry-required", "a key that is bound to repositories has an end", {
    status: 400,
    hint: "say in how many days it expires; rotate it before then",
  });
}

/** The life of API keys. The secret is made by the route and never comes here: only its hash does. */
export const keyCommands: readonly CommandDefinition[] = [
  defineCommand({
    type: "access.create-api-key",
    body: z.strictObject({
      id: z.string().regex(/^[0-9a-z]{16}$/),
      principal: principalIdSchema,
      label: keyLabelSchema,
      secretHash: z.string().regex(/^[0-9a-f]{64}$/),
      expires: z.int().nonnegative().nullable(),
      scope: keyScopeSchema.nullable().default(null),
    }),
    decide: async (reader, body, context) => {
      const refusal = await authorizeKeys(reader, context.actor, body.principal);
      if (refusal !== undefined) return { accepted: false, refusal };
      const principal = await findPrincipal(reader, body.principal);
      if (principal === undefined || principal.ended_sequence !== null) {
        return { accepted: false, refusal: principalUnknown(body.principal) };
      }
      if ((await findKey(reader, body.id)) !== undefined)
        return refuse("key-exists", `there is a key ${body.id} already`);
      if ((await countLiveKeys(reader, body.principal, context.time)) >= MAX_LIVE_KEYS) {
        return refuse("keys-full", `${body.principal} has ${MAX_LIVE_KEYS} live keys`, {
          hint: "revoke those not in use",
        });
      }
      // A key made with one's own key does not outlive it: a stolen key can not make itself last.
      const own = context.actor.id === body.principal ? await credentialExpiry(reader, context) : null;
      const expires = own === null ? body.expires : Math.min(own, body.expires ?? own);
      if (expires !== null && expires <= context.time) {
        return refuse("key-expiry-past", "the key would be expired already", { status: 400 });
      }
      const wrong = scopeRefused(body.principal, body.scope, expires);
      if (wrong !== undefined) return wrong;
      const created = { ...body, expires, replaces: null };
      return accept([{ type: "access.api-key-created", org: homeOf(body.principal), body: created }], {
        created: context.time,
        expires,
      });
    },
  }),
  defineCommand({
    type: "access.rotate-api-key",
    body: z.strictObject({
      /** The key to be followed. */
      id: z.string().max(64),
      principal: principalIdSchema,
      newId: z.string().regex(/^[0-9a-z]{16}$/),
      secretHash: z.string().regex(/^[0-9a-f]{64}$/),
      /** How long the old key still works, ms. */
      grace: z.int().min(0).max(MAX_GRACE),
      /** When the new one ends; null: not by itself; absent: after as long as the old one was made for. */
      expires: z.int().nonnegative().nullable().optional(),
    }),
    decide: async (reader, body, context) => {
      const { principal } = body;
      const refusal = await authorizeKeys(reader, context.actor, principal);
      if (refusal !== undefined) return { accepted: false, refusal };
      const old = await findKey(reader, body.id);
      if (old === undefined || old.principal !== principal) return { accepted: false, refusal: keyUnknown(body.id) };
      if (old.revoked_sequence !== null || (old.expires_time !== null && old.expires_time <= context.time)) {
        return refuse("key-ended", `the key ${body.id} does not work any more`, { hint: "create a new one" });
      }
      // Twice would leave two keys in its place, and nobody who knows of both.
      if (old.replaced_by !== null) {
        return refuse("key-rotated", `the key ${body.id} was rotated already: ${old.replaced_by} follows it`, {
          hint: "rotate that one, or revoke what is not in use",
        });
      }
      if ((await findKey(reader, body.newId)) !== undefined)
        return refuse("key-exists", `there is a key ${body.newId} already`);
      if ((await countLiveKeys(reader, principal, context.time)) >= MAX_LIVE_KEYS) {
        return refuse("keys-full", `${principal} has ${MAX_LIVE_KEYS} live keys`, { hint: "revoke those not in use" });
      }
      const asLong = old.expires_time === null ? null : context.time + (old.expires_time - old.created_time);
      const wanted = body.expires === undefined ? asLong : body.expires;
      // As with a key made with one's own key: a stolen one can not make itself last.
      const own = context.actor.id === principal ? await credentialExpiry(reader, context) : null;
      const expires = own === null ? wanted : Math.min(own, wanted ?? own);
      if (expires !== null && expires <= context.time) {
        return refuse("key-expiry-past", "the new key would be expired already", { status: 400 });
      }
      // What follows a bound key is bound as it was: a rotation is no way to more.
      const scope = scopeOfKey(old) ?? null;
      const wrong = scopeRefused(principal, scope, expires);
      if (wrong !== undefined) return wrong;
      const graceEnds = Math.min(context.time + body.grace, old.expires_time ?? Number.MAX_SAFE_INTEGER);
      const org = homeOf(principal);
      const created = {
        id: body.newId,
        principal,
        label: old.label,
        secretHash: body.secretHash,
        expires,
        replaces: body.id,
        scope,
      };
      const ended: NewEvent =
        body.grace === 0
          ? { type: "access.api-key-revoked", org, body: { id: body.id, principal } }
          : { type: "access.api-key-shortened", org, body: { id: body.id, principal, expires: graceEnds } };
      const result = { created: context.time, expires, label: old.label, scope, oldWorksUntil: graceEnds };
      return accept([{ type: "access.api-key-created", org, body: created }, ended], result);
    },
  }),
  defineCommand({
    type: "access.revoke-api-key",
    body: z.strictObject({ id: z.string().max(64), principal: principalIdSchema }),
    decide: async (reader, body, context) => {
      const refusal = await authorizeKeys(reader, context.actor, body.principal);
      if (refusal !== undefined) return { accepted: false, refusal };
      const key = await findKey(reader, body.id);
      if (key === undefined || key.principal !== body.principal)
        return { accepted: false, refusal: keyUnknown(body.id) };
      if (key.revoked_sequence !== null) return accept([]);
      return accept([{ type: "access.api-key-revoked", org: homeOf(body.principal), body }]);
    },
  }),
];
