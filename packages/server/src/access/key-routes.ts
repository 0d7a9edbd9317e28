import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { Problem } from "../http/problem.ts";
import type { Actor } from "../record/command.ts";
import { generateApiKey, hashSecret } from "./api-key.ts";
import { requireActor } from "./authenticate.ts";
import { authorizeKeys } from "./authorize.ts";
import { homeOf, keyLabelSchema, MAX_GRACE_SECONDS } from "./key-commands.ts";
import { keyScopeSchema, scopeOfKey } from "./key-scope.ts";
import { personId, serviceAccountId } from "./names.ts";
import { type KeyRow, listKeys } from "./queries.ts";
import {
  type AccessRoutesContext,
  API,
  append,
  pageParams,
  pageSchema,
  personParams,
  readPage,
  receiptField,
  serviceParams,
  timeSchema,
} from "./wire.ts";

const DAY = 86_400_000;

const keySchema = z.strictObject({
  id: z.string(),
  principal: z.string(),
  label: z.string(),
  created: timeSchema,
  createdBy: z.string(),
  expires: timeSchema.nullable().describe("null: until revoked"),
  revoked: timeSchema.nullable(),
  scope: keyScopeSchema.nullable().describe("What it is bound to; null: it is good for whatever its owner may."),
  replacedBy: z.string().nullable().describe("the key a rotation put in its place; it may work until `expires`"),
});

const createBody = z.strictObject({
  label: keyLabelSchema,
  expiresInDays: z
    .int()
    .min(1)
    .max(3660)
    .nullable()
    .default(90)
    .describe("null: until revoked. A key made with your own key never outlives that one."),
  scope: keyScopeSchema
    .nullable()
    .default(null)
    .describe("Binds it to repositories and actions; such a key always expires, and administers nothing."),
});

const createdAnswer = z.strictObject({
  id: z.string(),
  principal: z.string(),
  label: z.string(),
  scope: keyScopeSchema.nullable(),
  created: timeSchema,
  expires: timeSchema.nullable(),
  key: z.string().describe("the API key itself, shown this once and kept nowhere"),
  receipt: receiptField,
});

const rotateBody = z.strictObject({
  graceSeconds: z
    .int()
    .min(0)
    .max(MAX_GRACE_SECONDS)
    .default(86_400)
    .describe("How long the old key still works; 0: not any more."),
  expiresInDays: z
    .int()
    .min(1)
    .max(3660)
    .nullable()
    .optional()
    .describe("null: until revoked; absent: as long as the old key was made for."),
});

const rotatedAnswer = createdAnswer.extend({
  replaces: z.string(),
  oldWorksUntil: timeSchema.describe("when the old key stops working"),
});

const rotatedResult = z.object({
  created: z.int(),
  expires: z.int().nullable(),
  label: z.string(),
  scope: keyScopeSchema.nullable(),
  oldWorksUntil: z.int(),
});

const createdResult = z.object({ created: z.int(), expires: z.int().nullable() });

const tags = ["access"];

function showKey(row: KeyRow): z.output<typeof keySchema> {
  return {
    id: row.id,
    principal: row.principal,
    label: row.label,
    created: row.created_time,
    createdBy: row.created_by,
    expires: row.expires_time,
    revoked: row.revoked_time,
    scope: scopeOfKey(row) ?? null,
    replacedBy: row.replaced_by,
  };
}

/** API keys: the same three requests for a person's and for a service account's. */
export function registerKeyRoutes(instance: FastifyInstance, context: AccessRoutesContext): void {
  registerFor(instance, context, {
    whose: "a person",
    who: "For that person and the bootstrap admin.",
    path: `${API}/people/:name/keys`,
    params: personParams,
    principal: (params) => personId(params.name),
  });
  registerFor(instance, context, {
    whose: "a service account",
    who: "For admins of the organisation.",
    path: `${API}/orgs/:org/service-accounts/:name/keys`,
    params: serviceParams,
    principal: (params) => serviceAccountId(params.org, params.name),
  });
}

function registerFor<S extends typeof personParams | typeof serviceParams>(
  instance: FastifyInstance,
  context: AccessRoutesContext,
  kind: {
    readonly whose: string;
    readonly who: string;
    readonly path: string;
    readonly params: S;
    readonly principal: (params: z.output<S>) => string;
  },
): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { reader, record, authenticator } = context;

  async function mayAdminister(actor: Actor, principal: string): Promise<void> {
    const refusal = await authorizeKeys(reader, actor, principal);
    if (refusal !== undefined) throw Problem.fromRefusal(refusal);
  }

  app.post(
    kind.path,
    {
      schema: {
        summary: `Create an API key of ${kind.whose}`,
        description: `${kind.who} The key is shown in this answer only.`,
        tags,
        params: kind.params,
        body: createBody,
        response: { 201: createdAnswer },
      },
    },
    async (request, reply) => {
      const actor = await requireActor(authenticator, request);
      const principal = kind.principal(kind.params.parse(request.params) as z.output<S>);
      await mayAdminister(actor, principal);
      const { label, expiresInDays, scope } = request.body;
      const key = generateApiKey();
      const expires = expiresInDays === null ? null : authenticator.now() + expiresInDays * DAY;
      const appended = await append(record, {
        type: "access.create-api-key",
        org: homeOf(principal),
        actor,
        body: { id: key.id, principal, label, secretHash: hashSecret(key.secret), expires, scope },
      });
      return await reply
        .code(201)
        .header("cache-control", "no-store")
        .send({
          id: key.id,
          principal,
          label,
          scope,
          ...createdResult.parse(appended.results[0]),
          key: key.text,
          receipt: appended.receipts[0] ?? null,
        });
    },
  );

  app.get(
    kind.path,
    {
      schema: {
        summary: `List the API keys of ${kind.whose}`,
        description: kind.who,
        tags,
        params: kind.params,
        querystring: pageParams,
        response: { 200: pageSchema(keySchema) },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const principal = kind.principal(kind.params.parse(request.params) as z.output<S>);
      await mayAdminister(actor, principal);
      return await readPage(
        reader,
        request.query,
        (place) => listKeys(reader, principal, place),
        (row) => row.created_sequence,
        showKey,
      );
    },
  );

  app.post(
    `${kind.path}/:id/rotate`,
    {
      schema: {
        summary: `Put a new API key in the place of one of ${kind.whose}`,
        description: `${kind.who} The new key is shown in this answer only; the old one works until its grace ends.`,
        tags,
        params: kind.params.extend({ id: z.string().min(1).max(64) }),
        body: rotateBody,
        response: { 201: rotatedAnswer },
      },
    },
    async (request, reply) => {
      const actor = await requireActor(authenticator, request);
      const principal = kind.principal(kind.params.parse(request.params) as z.output<S>);
      await mayAdminister(actor, principal);
      const { id } = idParams.parse(request.params);
      const { graceSeconds, expiresInDays } = request.body;
      const key = generateApiKey();
      const expires =
        expiresInDays === undefined || expiresInDays === null ? null : authenticator.now() + expiresInDays * DAY;
      const appended = await append(record, {
        type: "access.rotate-api-key",
        org: homeOf(principal),
        actor,
        body: {
          id,
          principal,
          newId: key.id,
          secretHash: hashSecret(key.secret),
          grace: graceSeconds * 1000,
          ...(expiresInDays === undefined ? {} : { expires }),
        },
      });
      return await reply
        .code(201)
        .header("cache-control", "no-store")
        .send({
          id: key.id,
          principal,
          replaces: id,
          ...rotatedResult.parse(appended.results[0]),
          key: key.text,
          receipt: appended.receipts[0] ?? null,
        });
    },
  );

  app.delete(
    `${kind.path}/:id`,
    {
      schema: {
        summary: `Revoke an API key of ${kind.whose}`,
        description: `${kind.who} It stops working at once, and so does every registry token made with it.`,
        tags,
        params: kind.params.extend({ id: z.string().min(1).max(64) }),
        response: { 200: z.strictObject({ receipt: receiptField }) },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const principal = kind.principal(kind.params.parse(request.params) as z.output<S>);
      await mayAdminister(actor, principal);
      const { id } = idParams.parse(request.params);
      const appended = await append(record, {
        type: "access.revoke-api-key",
        org: homeOf(principal),
        actor,
        body: { id, principal },
      });
      return { receipt: appended.receipts[0] ?? null };
    },
  );
}

const idParams = z.object({ id: z.string() });
