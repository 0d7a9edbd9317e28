import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { SYSTEM_ORG } from "../record/command.ts";
import { requireActor } from "./authenticate.ts";
import { BOOTSTRAP_ADMIN } from "./names.ts";
import { registerKeyRoutes } from "./key-routes.ts";
import { registerOrganisationRoutes } from "./organisation-routes.ts";
import { registerPrincipalRoutes } from "./principal-routes.ts";
import { findKey } from "./queries.ts";
import { type AccessRoutesContext, API, append, receiptField, timeSchema } from "./wire.ts";

/** Access in the own API: who am I, organisations and roles, people and service accounts, API keys. */
export function registerAccessRoutes(instance: FastifyInstance, context: AccessRoutesContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { reader, record, authenticator } = context;

  app.get(
    `${API}/whoami`,
    {
      schema: {
        summary: "Who you are to this server",
        tags: ["access"],
        response: {
          200: z.strictObject({
            id: z.string(),
            bootstrapAdmin: z.boolean(),
            credential: z.strictObject({
              kind: z.enum(["admin-token", "api-key"]),
              id: z.string().nullable().describe("the API key's id"),
              expires: timeSchema.nullable(),
            }),
          }),
        },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const key = actor.credential.id === undefined ? undefined : await findKey(reader, actor.credential.id);
      return {
        id: actor.id,
        bootstrapAdmin: actor.id === BOOTSTRAP_ADMIN,
        credential: {
          kind: key === undefined ? ("admin-token" as const) : ("api-key" as const),
          id: key?.id ?? null,
          expires: key?.expires_time ?? null,
        },
      };
    },
  );

  app.post(
    `${API}/bootstrap-admin/disable`,
    {
      schema: {
        summary: "Disable the bootstrap admin token",
        description:
          "For the bootstrap admin, once an admin of the default organisation has a working API key. Only the server's operator can enable it again.",
        tags: ["access"],
        response: { 200: z.strictObject({ receipt: receiptField }) },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const appended = await append(record, { type: "access.disable-bootstrap", org: SYSTEM_ORG, actor, body: {} });
      return { receipt: appended.receipts[0] ?? null };
    },
  );

  registerOrganisationRoutes(instance, context);
  registerPrincipalRoutes(instance, context);
  registerKeyRoutes(instance, context);
}
