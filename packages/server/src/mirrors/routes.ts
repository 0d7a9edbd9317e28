import type { FastifyInstance, FastifyRequest } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { API, append, orgParams, pageParams, pageSchema, readPage, receiptField, timeSchema } from "../access/wire.ts";
import { Problem } from "../http/problem.ts";
import { enqueueJob } from "../jobs/operations.ts";
import type { Actor } from "../record/command.ts";
import { isTag } from "../registry/tag-rules.ts";
import { mirrorUnknown } from "./commands.ts";
import { MIRROR_LIMITS } from "./limits.ts";
import { currentMirror, listMirrors, type MirrorRow, refusedTags } from "./queries.ts";
import { FILL, fillSubject } from "./replicate.ts";
import { registerReplicationRoutes } from "./replication-routes.ts";
import { STALE_RULES } from "./schema.ts";
import { hostsOfRow, mirrorSchema } from "./setting.ts";
import {
  administratorOf,
  credentialField,
  dropCredential,
  keepCredential,
  type MirrorRoutesContext,
  runSchema,
  showRun,
  tags,
} from "./wire.ts";

const repositoryField = z.string().min(1).max(255).describe("The whole name, org/name.");

/** Tags shown that did not follow their upstream. */
const REFUSED_SHOWN = 20;

const shownSchema = z.strictObject({
  repository: z.string(),
  url: z.string(),
  credential: z.boolean().describe("Whether the upstream is asked with one. It is never shown."),
  tokenHosts: z.array(z.string()),
  maxAgeMs: z.int(),
  stale: z.enum(STALE_RULES),
  evidence: z.boolean(),
  set: timeSchema,
  setBy: z.string(),
});

const oneSchema = shownSchema.extend({
  fill: runSchema.nullable().describe("The newest filling ahead of time; null: none yet."),
  refusedTags: z
    .array(z.strictObject({ tag: z.string(), refused: z.string(), sequence: z.int() }))
    .describe("Release tags that the upstream moved, and that stayed here: the newest."),
});

function show(row: MirrorRow): z.output<typeof shownSchema> {
  return {
    repository: row.repository,
    url: row.url,
    credential: row.credential !== null,
    tokenHosts: hostsOfRow(row),
    maxAgeMs: row.max_age_ms,
    stale: row.stale,
    evidence: row.evidence === 1,
    set: row.set_time,
    setBy: row.set_by,
  };
}

/** Which repositories mirror what. */
export function registerMirrorRoutes(instance: FastifyInstance, context: MirrorRoutesContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { reader, record } = context;
  registerReplicationRoutes(instance, context);

  const administrator = (request: FastifyRequest, org: string): Promise<Actor> =>
    administratorOf(context, request, org);

  const requireMirror = async (org: string, repository: string): Promise<MirrorRow> => {
    const row = await currentMirror(reader, repository);
    if (row?.org !== org) throw Problem.fromRefusal(mirrorUnknown(repository));
    return row;
  };

  const showOne = async (row: MirrorRow): Promise<z.output<typeof oneSchema>> => ({
    ...show(row),
    fill: await showRun(reader, {
      org: row.org,
      subject: fillSubject(row.repository),
      kind: FILL,
      key: row.repository,
    }),
    refusedTags: await refusedTags(reader, row.repository, REFUSED_SHOWN),
  });

  app.get(
    `${API}/orgs/:org/mirrors`,
    {
      schema: {
        summary: "List the repositories that mirror others",
        description: "For admins of the organisation.",
        tags,
        params: orgParams,
        querystring: pageParams,
        response: { 200: pageSchema(shownSchema) },
      },
    },
    async (request) => {
      const { org } = request.params;
      await administrator(request, org);
      return await readPage(
        reader,
        request.query,
        (place) => listMirrors(reader, org, place),
        (row) => row.from_seq,
        show,
      );
    },
  );

  app.get(
    `${API}/orgs/:org/mirror`,
    {
      schema: {
        summary: "What one repository mirrors",
        description: "For admins of the organisation.",
        tags,
        params: orgParams,
        querystring: z.object({ repository: repositoryField }),
        response: { 200: oneSchema },
      },
    },
    async (request) => {
      const { org } = request.params;
      await administrator(request, org);
      return await showOne(await requireMirror(org, request.query.repository));
    },
  );

  app.put(
    `${API}/orgs/:org/mirror`,
    {
      schema: {
        summary: "Let a repository mirror one on another registry",
        description:
          "What it does not have is brought from there when somebody pulls it. Nobody else sets its tags from then on. For admins of the organisation.",
        tags,
        params: orgParams,
        body: mirrorSchema.extend({
          repository: repositoryField,
          credential: credentialField,
        }),
        response: { 200: oneSchema.extend({ receipt: receiptField }) },
      },
    },
    async (request) => {
      const { org } = request.params;
      const actor = await administrator(request, org);
      const { credential, ...setting } = request.body;
      const id = await keepCredential(context, org, credential);
      const body = { ...setting, ...(id === undefined ? {} : { credential: id }) };
      const before = await currentMirror(reader, setting.repository);
      const appended = await append(record, { type: "mirrors.set", org, actor, body });
      context.changed();
      const row = await requireMirror(org, setting.repository);
      await dropCredential(context, org, before?.credential, row.credential);
      return { ...(await showOne(row)), receipt: appended.receipts[0] ?? null };
    },
  );

  app.delete(
    `${API}/orgs/:org/mirror`,
    {
      schema: {
        summary: "Let a repository mirror nothing any more",
        description:
          "What it has, it keeps; from then on it is pushed to like any other. For admins of the organisation.",
        tags,
        params: orgParams,
        querystring: z.object({ repository: repositoryField }),
        response: { 200: z.strictObject({ receipt: receiptField }) },
      },
    },
    async (request) => {
      const { org } = request.params;
      const actor = await administrator(request, org);
      const { repository } = request.query;
      const before = await currentMirror(reader, repository);
      const appended = await append(record, { type: "mirrors.remove", org, actor, body: { repository } });
      context.changed();
      await dropCredential(context, org, before?.credential, null);
      return { receipt: appended.receipts[0] ?? null };
    },
  );

  app.post(
    `${API}/orgs/:org/mirror/fill`,
    {
      schema: {
        summary: "Bring tags of a mirror now, whole and with their evidence",
        description: "Ahead of who pulls them. For admins of the organisation.",
        tags,
        params: orgParams,
        body: z.strictObject({
          repository: repositoryField,
          tags: z
            .array(z.string().refine(isTag, "is no tag"))
            .min(1)
            .max(MIRROR_LIMITS.filledAtOnce)
            .nullable()
            .default(null)
            .describe("null: all that the upstream lists."),
        }),
        response: { 202: oneSchema },
      },
    },
    async (request, reply) => {
      const { org } = request.params;
      await administrator(request, org);
      const { repository, tags: asked } = request.body;
      const row = await requireMirror(org, repository);
      const { joined } = await enqueueJob(record, {
        kind: FILL,
        key: repository,
        lane: org,
        body: { org, repository, tags: asked },
        maxAttempts: MIRROR_LIMITS.attempts,
      });
      if (joined) {
        throw new Problem(409, "fill-under-way", `${repository} is being filled`, {
          hint: "wait for it to end: `assay mirror show` says how far it is",
        });
      }
      context.wake();
      return await reply.code(202).send(await showOne(row));
    },
  );
}
