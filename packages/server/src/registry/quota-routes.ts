import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { requireActor } from "../access/authenticate.ts";
import { type Action, authorize } from "../access/authorize.ts";
import { API, append, orgParams, pageParams, pageSchema, readPage, receiptField, timeSchema } from "../access/wire.ts";
import { Problem } from "../http/problem.ts";
import type { JsonObject } from "../record/command.ts";
import { currentQuota, leasedIn, listQuotas, type Quota } from "./quota-queries.ts";
import { quotaScope } from "./quota-scope.ts";
import { authorizeQuota } from "./quota-commands.ts";
import { admit, repositoryParams, type RepositoryRoutesContext, wholeName } from "./repository-wire.ts";

const quotaSchema = z.strictObject({
  repository: z.string().nullable().describe("Null: of the organisation with all of its repositories."),
  bytes: z.int().nullable().describe("How much may be held; null: it is counted, and nothing is refused."),
  used: z.int().describe("Bytes of manifests and of what they hold, each digest once."),
  leased: z
    .int()
    .describe("Bytes of blobs that were pushed or mounted and that no manifest names yet. They count for uploads."),
  setBy: z.string(),
  setAt: timeSchema,
  refusedAt: timeSchema.nullable().describe("When it last was on record that something was refused for want of room."),
});

const found = z.strictObject({
  quota: quotaSchema.nullable().describe("Null: there is none, and nothing is counted."),
});
const given = z.strictObject({
  bytes: z.int().nonnegative().nullable().describe("Null: count it, and refuse nothing."),
});
const set = found.extend({ receipt: receiptField });

/** How much organisations and repositories may hold, and how much they do. */
export function registerQuotaRoutes(instance: FastifyInstance, context: RepositoryRoutesContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { reader, record, authenticator } = context;
  const tags = ["quotas"];

  async function shown(quota: Quota): Promise<z.output<typeof quotaSchema>> {
    const { repository, bytes, used, setBy, setTime, refusedTime } = quota;
    const leased = await leasedIn(reader, quota, Date.now(), "");
    return { repository, bytes, used, leased: leased.bytes, setBy, setAt: setTime, refusedAt: refusedTime };
  }

  async function show(scope: string): Promise<z.output<typeof found>> {
    const quota = await currentQuota(reader, scope);
    return { quota: quota === undefined ? null : await shown(quota) };
  }

  /** Who asks, when they may. */
  async function asker(request: Parameters<typeof requireActor>[1], action: Action, org: string) {
    const actor = await requireActor(authenticator, request);
    const refusal = await authorize(reader, actor, action, { org });
    if (refusal !== undefined) throw Problem.fromRefusal(refusal);
    return actor;
  }

  async function change(
    request: Parameters<typeof requireActor>[1],
    org: string,
    repository: string | undefined,
    command: { readonly type: string; readonly body: JsonObject },
  ): Promise<z.output<typeof set>> {
    const actor = await requireActor(authenticator, request);
    const refusal = await authorizeQuota(reader, actor, org, repository);
    if (refusal !== undefined) throw Problem.fromRefusal(refusal);
    const body = { ...command.body, ...(repository === undefined ? {} : { repository }) };
    const appended = await append(record, { type: command.type, org, actor, body });
    return { ...(await show(quotaScope(org, repository).scope)), receipt: appended.receipts[0] ?? null };
  }

  /** @throws Problem 400 `repository-invalid`. */
  function whole(org: string, name: string): string {
    const repository = wholeName(org, name);
    if (repository !== undefined) return repository;
    throw new Problem(400, "repository-invalid", `${JSON.stringify(name)} is not the name of a repository`);
  }

  app.get(
    `${API}/orgs/:org/quotas`,
    {
      schema: {
        summary: "List an organisation's quotas, its own and its repositories', and how much of each is used",
        description: "For admins of the organisation.",
        tags,
        params: orgParams,
        querystring: pageParams,
        response: { 200: pageSchema(quotaSchema) },
      },
    },
    async (request) => {
      const { org } = request.params;
      await asker(request, "org.administer", org);
      const { items, next } = await readPage(
        reader,
        request.query,
        (place) => listQuotas(reader, org, place),
        ({ sequence }) => sequence,
        shown,
      );
      return { items: await Promise.all(items), next };
    },
  );

  app.get(
    `${API}/orgs/:org/quota`,
    {
      schema: {
        summary: "An organisation's quota, and how much of it is used",
        tags,
        params: orgParams,
        response: { 200: found },
      },
    },
    async (request) => {
      const { org } = request.params;
      await asker(request, "org.read", org);
      return await show(org);
    },
  );

  app.put(
    `${API}/orgs/:org/quota`,
    {
      schema: {
        summary: "Set how much an organisation may hold with all of its repositories",
        description:
          "For whoever runs the server. What is there counts from the start, and stays also where it is more.",
        tags,
        params: orgParams,
        body: given,
        response: { 200: set },
      },
    },
    (request) =>
      change(request, request.params.org, undefined, {
        type: "registry.set-quota",
        body: { bytes: request.body.bytes },
      }),
  );

  app.delete(
    `${API}/orgs/:org/quota`,
    {
      schema: {
        summary: "Remove an organisation's quota: nothing is refused or counted",
        description: "For whoever runs the server.",
        tags,
        params: orgParams,
        response: { 200: set },
      },
    },
    (request) => change(request, request.params.org, undefined, { type: "registry.remove-quota", body: {} }),
  );

  app.get(
    `${API}/orgs/:org/repositories/:name/quota`,
    {
      schema: {
        summary: "A repository's quota, and how much of it is used",
        tags,
        params: repositoryParams,
        response: { 200: found },
      },
    },
    async (request) => await show((await admit(context, request, "registry.pull", request.params)).repository),
  );

  app.put(
    `${API}/orgs/:org/repositories/:name/quota`,
    {
      schema: {
        summary: "Set how much a repository may hold; it need not have anything yet",
        description: "For admins of the organisation.",
        tags,
        params: repositoryParams,
        body: given,
        response: { 200: set },
      },
    },
    async (request) => {
      const { org, name } = request.params;
      await asker(request, "org.administer", org);
      const { bytes } = request.body;
      return await change(request, org, whole(org, name), { type: "registry.set-quota", body: { bytes } });
    },
  );

  app.delete(
    `${API}/orgs/:org/repositories/:name/quota`,
    {
      schema: {
        summary: "Remove a repository's quota; its organisation's still holds",
        description: "For admins of the organisation.",
        tags,
        params: repositoryParams,
        response: { 200: set },
      },
    },
    async (request) => {
      const { org, name } = request.params;
      await asker(request, "org.administer", org);
      return await change(request, org, whole(org, name), { type: "registry.remove-quota", body: {} });
    },
  );
}
