import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { Problem } from "../http/problem.ts";
import { SYSTEM_ORG } from "../record/command.ts";
import { requireActor } from "./authenticate.ts";
import { authorize } from "./authorize.ts";
import { nameSchema, personId, serviceAccountId } from "./names.ts";
import { listPrincipals, type PrincipalRow } from "./queries.ts";
import {
  type AccessRoutesContext,
  API,
  append,
  createdTime,
  orgParams,
  pageParams,
  pageSchema,
  personParams,
  readPage,
  receiptField,
  serviceParams,
  timeSchema,
} from "./wire.ts";

const principalSchema = z.strictObject({
  id: z.string(),
  name: z.string(),
  created: timeSchema,
  createdBy: z.string(),
});

const createdAnswer = principalSchema.extend({ receipt: receiptField });
const removedAnswer = z.strictObject({ receipt: receiptField });
const nameBody = z.strictObject({ name: nameSchema });
const tags = ["access"];

function showPrincipal(row: PrincipalRow): z.output<typeof principalSchema> {
  return { id: row.id, name: row.name, created: row.created_time, createdBy: row.created_by };
}

/** People, who are the whole service's, and service accounts, which are one organisation's. */
export function registerPrincipalRoutes(instance: FastifyInstance, context: AccessRoutesContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { reader, record, authenticator } = context;

  app.post(
    `${API}/people`,
    {
      schema: {
        summary: "Create a person",
        description: "For the bootstrap admin. Give them an API key and roles next.",
        tags,
        body: nameBody,
        response: { 201: createdAnswer },
      },
    },
    async (request, reply) => {
      const actor = await requireActor(authenticator, request);
      const refusal = await authorize(reader, actor, "people.administer", { org: SYSTEM_ORG });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      const { name } = request.body;
      const appended = await append(record, { type: "access.create-person", org: SYSTEM_ORG, actor, body: { name } });
      const receipt = appended.receipts[0] ?? null;
      return await reply
        .code(201)
        .send({ id: personId(name), name, created: createdTime(appended), createdBy: actor.id, receipt });
    },
  );

  app.get(
    `${API}/people`,
    {
      schema: {
        summary: "List people",
        description: "For the bootstrap admin.",
        tags,
        querystring: pageParams,
        response: { 200: pageSchema(principalSchema) },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const refusal = await authorize(reader, actor, "people.administer", { org: SYSTEM_ORG });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      return await readPage(
        reader,
        request.query,
        (place) => listPrincipals(reader, null, place),
        (row) => row.created_sequence,
        showPrincipal,
      );
    },
  );

  app.delete(
    `${API}/people/:name`,
    {
      schema: {
        summary: "Remove a person, for good",
        description: "Their roles end and their keys are revoked; the name never comes back. For the bootstrap admin.",
        tags,
        params: personParams,
        response: { 200: removedAnswer },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const refusal = await authorize(reader, actor, "people.administer", { org: SYSTEM_ORG });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      const body = { principal: personId(request.params.name) };
      const appended = await append(record, { type: "access.remove-principal", org: SYSTEM_ORG, actor, body });
      return { receipt: appended.receipts.at(-1) ?? null };
    },
  );

  app.post(
    `${API}/orgs/:org/service-accounts`,
    {
      schema: {
        summary: "Create a service account of an organisation",
        description: "For admins of the organisation. Give it an API key and a role next.",
        tags,
        params: orgParams,
        body: nameBody,
        response: { 201: createdAnswer },
      },
    },
    async (request, reply) => {
      const actor = await requireActor(authenticator, request);
      const { org } = request.params;
      const refusal = await authorize(reader, actor, "org.administer", { org });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      const { name } = request.body;
      const appended = await append(record, { type: "access.create-service-account", org, actor, body: { name } });
      const receipt = appended.receipts[0] ?? null;
      return await reply
        .code(201)
        .send({ id: serviceAccountId(org, name), name, created: createdTime(appended), createdBy: actor.id, receipt });
    },
  );

  app.get(
    `${API}/orgs/:org/service-accounts`,
    {
      schema: {
        summary: "List an organisation's service accounts",
        description: "For admins of the organisation.",
        tags,
        params: orgParams,
        querystring: pageParams,
        response: { 200: pageSchema(principalSchema) },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const { org } = request.params;
      const refusal = await authorize(reader, actor, "org.administer", { org });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      return await readPage(
        reader,
        request.query,
        (place) => listPrincipals(reader, org, place),
        (row) => row.created_sequence,
        showPrincipal,
      );
    },
  );

  app.delete(
    `${API}/orgs/:org/service-accounts/:name`,
    {
      schema: {
        summary: "Remove a service account, for good",
        description:
          "Its role ends and its keys are revoked; the name never comes back. For admins of the organisation.",
        tags,
        params: serviceParams,
        response: { 200: removedAnswer },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const { org, name } = request.params;
      const refusal = await authorize(reader, actor, "org.administer", { org });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      const body = { principal: serviceAccountId(org, name) };
      const appended = await append(record, { type: "access.remove-principal", org, actor, body });
      return { receipt: appended.receipts.at(-1) ?? null };
    },
  );
}
