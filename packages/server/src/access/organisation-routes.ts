import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { Problem } from "../http/problem.ts";
import { requireActor } from "./authenticate.ts";
import { authorize, organisationUnknown } from "./authorize.ts";
import { organisationNameSchema } from "./names.ts";
import { currentRole, findOrganisation, listMembers, listOrganisations, type OrganisationRow } from "./queries.ts";
import type { Role } from "./roles.ts";
import {
  type AccessRoutesContext,
  API,
  append,
  createdTime,
  memberId,
  memberParams,
  orgParams,
  pageParams,
  pageSchema,
  readPage,
  receiptField,
  roleSchema,
  timeSchema,
} from "./wire.ts";

const organisationSchema = z.strictObject({
  name: z.string(),
  default: z.boolean().describe("one-component repository names lie in this organisation"),
  created: timeSchema,
  role: roleSchema.nullable().describe("yours; null when you see it as the bootstrap admin"),
});

const memberSchema = z.strictObject({
  principal: z.string(),
  role: roleSchema,
  since: z.int().describe("the sequence of the event that gave the role"),
});

function showOrganisation(row: OrganisationRow, role: Role | null): z.output<typeof organisationSchema> {
  return { name: row.name, default: row.is_default === 1, created: row.created_time, role };
}

const tags = ["access"];

/** Organisations and who has which role in them. */
export function registerOrganisationRoutes(instance: FastifyInstance, context: AccessRoutesContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { reader, record, authenticator } = context;

  app.post(
    `${API}/orgs`,
    {
      schema: {
        summary: "Create an organisation",
        description: "For the bootstrap admin.",
        tags,
        body: z.strictObject({ name: organisationNameSchema }),
        response: { 201: organisationSchema.extend({ receipt: receiptField }) },
      },
    },
    async (request, reply) => {
      const actor = await requireActor(authenticator, request);
      const { name } = request.body;
      const refusal = await authorize(reader, actor, "org.create", { org: name });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      const appended = await append(record, { type: "access.create-organisation", org: name, actor, body: { name } });
      const created = createdTime(appended);
      return await reply
        .code(201)
        .send({ name, default: false, created, role: null, receipt: appended.receipts[0] ?? null });
    },
  );

  app.get(
    `${API}/orgs`,
    {
      schema: {
        summary: "List the organisations you may see",
        tags,
        querystring: pageParams,
        response: { 200: pageSchema(organisationSchema) },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      return await readPage(
        reader,
        request.query,
        (place) => listOrganisations(reader, actor.id, place),
        (row) => row.created_sequence,
        (row) => showOrganisation(row, row.role),
      );
    },
  );

  app.get(
    `${API}/orgs/:org`,
    { schema: { summary: "Show an organisation", tags, params: orgParams, response: { 200: organisationSchema } } },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const { org } = request.params;
      const refusal = await authorize(reader, actor, "org.read", { org });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      const row = await findOrganisation(reader, org);
      if (row === undefined) throw Problem.fromRefusal(organisationUnknown(org));
      return showOrganisation(row, (await currentRole(reader, org, actor.id)) ?? null);
    },
  );

  app.get(
    `${API}/orgs/:org/members`,
    {
      schema: {
        summary: "List who has which role in an organisation",
        tags,
        params: orgParams,
        querystring: pageParams,
        response: { 200: pageSchema(memberSchema) },
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
        (place) => listMembers(reader, org, place),
        (row) => row.from_seq,
        (row) => ({ principal: row.principal, role: row.role, since: row.from_seq }),
      );
    },
  );

  app.put(
    `${API}/orgs/:org/members/:kind/:name`,
    {
      schema: {
        summary: "Give a person or service account its role in an organisation",
        description: "Replaces the role it has. For admins of the organisation.",
        tags,
        params: memberParams,
        body: z.strictObject({ role: roleSchema }),
        response: { 200: z.strictObject({ principal: z.string(), role: roleSchema, receipt: receiptField }) },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const { org } = request.params;
      const refusal = await authorize(reader, actor, "org.administer", { org });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      const body = { principal: memberId(request.params), role: request.body.role };
      const appended = await append(record, { type: "access.grant-role", org, actor, body });
      return { ...body, receipt: appended.receipts[0] ?? null };
    },
  );

  app.delete(
    `${API}/orgs/:org/members/:kind/:name`,
    {
      schema: {
        summary: "Take a person's or service account's role in an organisation away",
        description: "For admins of the organisation. Its only admin stays.",
        tags,
        params: memberParams,
        response: { 200: z.strictObject({ receipt: receiptField }) },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const { org } = request.params;
      const refusal = await authorize(reader, actor, "org.administer", { org });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      const body = { principal: memberId(request.params) };
      const appended = await append(record, { type: "access.revoke-role", org, actor, body });
      return { receipt: appended.receipts[0] ?? null };
    },
  );
}
