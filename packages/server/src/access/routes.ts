import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { SYSTEM_ORG } from "../record/command.ts";
import { Problem } from "../http/problem.ts";
import { requireActor } from "./authenticate.ts";
import { authorize } from "./authorize.ts";
import { BOOTSTRAP_ADMIN } from "./names.ts";
import { registerKeyRoutes } from "./key-routes.ts";
import { registerOrganisationRoutes } from "./organisation-routes.ts";
import { registerPrincipalRoutes } from "./principal-routes.ts";
import type { Actor } from "../record/command.ts";
import { countedUses } from "./bootstrap-queries.ts";
import type { OutsideIssuers } from "./outside-issuers.ts";
import { currentRoles, findKey, findPrincipal } from "./queries.ts";
import { registerRepositoryRoleRoutes } from "./repository-role-routes.ts";
import { repositoryRolesOf } from "./repository-role-queries.ts";
import { type AccessRoutesContext, API, append, receiptField, roleSchema, timeSchema } from "./wire.ts";
import { registerWorkloadRoutes } from "./workload-routes.ts";

/** Uses of the bootstrap admin's token that are shown: of the last hours, and how many at most. */
const USES_HOURS = 30 * 24;
const USES_SHOWN = 500;
const HOUR = 3_600_000;

/** By what somebody proved who they are. A registry token never gets here. */
function shownKind(actor: Actor): "admin-token" | "api-key" | "workload-token" {
  const { kind } = actor.credential;
  if (kind === "admin-token" || kind === "api-key" || kind === "workload-token") return kind;
  throw new Problem(401, "unauthorized", "this credential is good elsewhere only");
}

/** Access in the own API: who am I, organisations and roles, people and service accounts, API keys, workload identities. */
export function registerAccessRoutes(
  instance: FastifyInstance,
  context: AccessRoutesContext & { readonly issuers: OutsideIssuers },
): void {
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
              kind: z.enum(["admin-token", "api-key", "workload-token"]),
              id: z.string().nullable().describe("the API key's id, or the workload identity's name"),
              expires: timeSchema.nullable(),
            }),
            roles: z
              .array(z.strictObject({ org: z.string(), repository: z.string().nullable(), role: roleSchema }))
              .describe(
                "repository null: in the whole organisation. A workload's token may be bound to fewer repositories.",
              ),
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
          kind: shownKind(actor),
          id: key?.id ?? actor.credential.workload?.name ?? null,
          expires: key?.expires_time ?? actor.credential.expires ?? null,
        },
        roles: [
          ...(await currentRoles(reader, actor.id)).map(({ org, role }) => ({ org, repository: null, role })),
          ...(await repositoryRolesOf(reader, actor.id)),
        ],
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

  app.get(
    `${API}/bootstrap-admin`,
    {
      schema: {
        summary: "Whether the bootstrap admin token works, and what it was used for",
        description:
          "For the bootstrap admin. Each hour's requests become an event of the record once the hour is over; what they changed is an event at once.",
        tags: ["access"],
        response: {
          200: z.strictObject({
            enabled: z.boolean(),
            uses: z
              .array(
                z.strictObject({ hour: timeSchema.describe("when the hour began"), route: z.string(), count: z.int() }),
              )
              .describe("of the last 30 days, counted up to some seconds ago"),
          }),
        },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const refusal = await authorize(reader, actor, "people.administer", { org: SYSTEM_ORG });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      const admin = await findPrincipal(reader, BOOTSTRAP_ADMIN);
      const since = Math.floor(authenticator.now() / HOUR) - USES_HOURS;
      const uses = await countedUses(reader, since, USES_SHOWN);
      return {
        enabled: admin?.ended_sequence === null,
        uses: uses.map(({ hour, route, count }) => ({ hour: hour * HOUR, route, count })),
      };
    },
  );

  registerOrganisationRoutes(instance, context);
  registerRepositoryRoleRoutes(instance, context);
  registerPrincipalRoutes(instance, context);
  registerKeyRoutes(instance, context);
  registerWorkloadRoutes(instance, context);
}
