import { z } from "zod";
import {
  accept,
  type CommandDefinition,
  type DecideContext,
  defineCommand,
  type Refusal,
  refuse,
  SYSTEM_ORG,
} from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import { authorizeKeys, principalUnknown } from "./authorize.ts";
import { parsePrincipal, principalIdSchema } from "./names.ts";
import { countLiveKeys, findKey, findPrincipal } from "./queries.ts";

/** Keys of one principal that may be live at once: enough to rotate, few enough to look through. */
const MAX_LIVE_KEYS = 100;

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
      return accept([{ type: "access.api-key-created", org: homeOf(body.principal), body: { ...body, expires } }], {
        created: context.time,
        expires,
      });
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
