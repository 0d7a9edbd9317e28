import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { Problem } from "../http/problem.ts";
import { requireActor } from "./authenticate.ts";
import { authorize } from "./authorize.ts";
import { repositoryPatternSchema } from "./repository-pattern.ts";
import { listRepositoryRoles } from "./repository-role-queries.ts";
import {
  type AccessRoutesContext,
  API,
  append,
  memberId,
  memberParams,
  orgParams,
  pageParams,
  pageSchema,
  readPage,
  receiptField,
  roleSchema,
} from "./wire.ts";

const repositoryField = repositoryPatternSchema.describe(
  'The repositories: "acme/app", "acme/team-*", or "acme/team/**" for any number of components.',
);
const heldSchema = z.strictObject({ principal: z.string(), repository: z.string(), role: roleSchema });
const tags = ["access"];

/** Roles in some repositories of an organisation. */
export function registerRepositoryRoleRoutes(instance: FastifyInstance, context: AccessRoutesContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { reader, record, authenticator } = context;

  app.get(
    `${API}/orgs/:org/repository-roles`,
    {
      schema: {
        summary: "List who has which role in which repositories",
        description: "Beside the roles in the whole organisation. For all who have one of those.",
        tags,
        params: orgParams,
        querystring: pageParams,
        response: {
          200: pageSchema(
            heldSchema.extend({ since: z.int().describe("the sequence of the event that gave the role") }),
          ),
        },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const { org } = request.params;
      const refusal = await authorize(reader, actor, "org.read", { org });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      return await readPage(
        reader,
        request.query,
        (place) => listRepositoryRoles(reader, org, place),
        (row) => row.from_seq,
        ({ principal, repository, role, from_seq }) => ({ principal, repository, role, since: from_seq }),
      );
    },
  );

  app.put(
    `${API}/orgs/:org/repository-roles/:kind/:name`,
    {
      schema: {
        summary: "Give a person or service account a role in some repositories",
        description:
          "Where its role in the organisation is greater, that one counts. Replaces the role under the same pattern. For admins of the organisation.",
        tags,
        params: memberParams,
        body: z.strictObject({ repository: repositoryField, role: roleSchema }),
        response: { 200: heldSchema.extend({ receipt: receiptField }) },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const { org } = request.params;
      const refusal = await authorize(reader, actor, "org.administer", { org });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      const body = { principal: memberId(request.params), ...request.body };
      const appended = await append(record, { type: "access.grant-repository-role", org, actor, body });
      return { ...body, receipt: appended.receipts[0] ?? null };
    },
  );

  app.delete(
    `${API}/orgs/:org/repository-roles/:kind/:name`,
    {
      schema: {
        summary: "Take a role in some repositories away",
        description: "For admins of the organisation.",
        tags,
        params: memberParams,
        querystring: z.object({ repository: repositoryField }),
        response: { 200: z.strictObject({ receipt: receiptField }) },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const { org } = request.params;
      const refusal = await authorize(reader, actor, "org.administer", { org });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      const body = { principal: memberId(request.params), repository: request.query.repository };
      const appended = await append(record, { type: "access.revoke-repository-role", org, actor, body });
      return { receipt: appended.receipts[0] ?? null };
    },
  );
}
