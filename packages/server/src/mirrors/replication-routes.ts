import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { API, append, orgParams, pageParams, pageSchema, readPage, receiptField, timeSchema } from "../access/wire.ts";
import { Problem } from "../http/problem.ts";
import { enqueueJob } from "../jobs/operations.ts";
import { MIRROR_LIMITS } from "./limits.ts";
import { REPLICATE, replicationKey, replicationSubject } from "./replicate.ts";
import { filterOfRow, replicationName, replicationSchema } from "./replication.ts";
import { replicationUnknown } from "./replication-commands.ts";
import { currentReplication, listReplications, type ReplicationRow } from "./replication-queries.ts";
import { DIRECTIONS } from "./schema.ts";
import { hostsOfRow } from "./setting.ts";
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

const params = orgParams.extend({ name: replicationName });

const shownSchema = z.strictObject({
  name: z.string(),
  direction: z.enum(DIRECTIONS),
  repositories: z.array(z.string()),
  tags: z.array(z.string()),
  url: z.string().nullable(),
  credential: z.boolean().describe("Whether the other registry is asked with one. It is never shown."),
  tokenHosts: z.array(z.string()),
  onEvents: z.boolean(),
  everyMs: z.int().nullable(),
  evidence: z.boolean(),
  set: timeSchema,
  setBy: z.string(),
  all: runSchema.nullable().describe("The newest run over everything; null: none yet."),
  new: runSchema.nullable().describe("The newest run over what had come since; null: none yet."),
});

/** What is replicated where. */
export function registerReplicationRoutes(instance: FastifyInstance, context: MirrorRoutesContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { reader, record } = context;

  const show = async (row: ReplicationRow): Promise<z.output<typeof shownSchema>> => {
    const { org, name } = row;
    const run = (full: boolean) =>
      showRun(reader, {
        org,
        subject: replicationSubject(name, full),
        kind: REPLICATE,
        key: replicationKey(org, name, full),
      });
    return {
      name,
      direction: row.direction,
      ...filterOfRow(row),
      url: row.url,
      credential: row.credential !== null,
      tokenHosts: hostsOfRow(row),
      onEvents: row.on_events === 1,
      everyMs: row.every_ms,
      evidence: row.evidence === 1,
      set: row.set_time,
      setBy: row.set_by,
      all: await run(true),
      new: await run(false),
    };
  };

  const requireReplication = async (org: string, name: string): Promise<ReplicationRow> => {
    const row = await currentReplication(reader, org, name);
    if (row === undefined) throw Problem.fromRefusal(replicationUnknown(name));
    return row;
  };

  app.get(
    `${API}/orgs/:org/replications`,
    {
      schema: {
        summary: "List an organisation's replications, with how they stand",
        description: "For admins of the organisation.",
        tags,
        params: orgParams,
        querystring: pageParams,
        response: { 200: pageSchema(shownSchema) },
      },
    },
    async (request) => {
      const { org } = request.params;
      await administratorOf(context, request, org);
      const page = await readPage(
        reader,
        request.query,
        (place) => listReplications(reader, org, place),
        (row) => row.from_seq,
        (row) => row,
      );
      return { items: await Promise.all(page.items.map(show)), next: page.next };
    },
  );

  app.get(
    `${API}/orgs/:org/replications/:name`,
    {
      schema: {
        summary: "One replication, and how it stands",
        description: "For admins of the organisation.",
        tags,
        params,
        response: { 200: shownSchema },
      },
    },
    async (request) => {
      const { org, name } = request.params;
      await administratorOf(context, request, org);
      return await show(await requireReplication(org, name));
    },
  );

  app.put(
    `${API}/orgs/:org/replications/:name`,
    {
      schema: {
        summary: "Say what is replicated where",
        description:
          "What was copied under a former setting is looked at again, and passed over where it is there. For admins of the organisation.",
        tags,
        params,
        body: replicationSchema.extend({ credential: credentialField }),
        response: { 200: shownSchema.extend({ receipt: receiptField }) },
      },
    },
    async (request) => {
      const { org, name } = request.params;
      const actor = await administratorOf(context, request, org);
      const { credential, ...setting } = request.body;
      const id = await keepCredential(context, org, credential);
      const body = { ...setting, name, ...(id === undefined ? {} : { credential: id }) };
      const before = await currentReplication(reader, org, name);
      const appended = await append(record, { type: "replications.set", org, actor, body });
      const row = await requireReplication(org, name);
      await dropCredential(context, org, before?.credential, row.credential);
      return { ...(await show(row)), receipt: appended.receipts[0] ?? null };
    },
  );

  app.delete(
    `${API}/orgs/:org/replications/:name`,
    {
      schema: {
        summary: "Replicate this no more",
        description: "What was copied stays where it is. For admins of the organisation.",
        tags,
        params,
        response: { 200: z.strictObject({ receipt: receiptField }) },
      },
    },
    async (request) => {
      const { org, name } = request.params;
      const actor = await administratorOf(context, request, org);
      const before = await currentReplication(reader, org, name);
      const appended = await append(record, { type: "replications.remove", org, actor, body: { name } });
      await dropCredential(context, org, before?.credential, null);
      return { receipt: appended.receipts[0] ?? null };
    },
  );

  app.post(
    `${API}/orgs/:org/replications/:name/run`,
    {
      schema: {
        summary: "Run a replication over everything now",
        description: "What is there already is passed over. For admins of the organisation.",
        tags,
        params,
        response: { 202: shownSchema },
      },
    },
    async (request, reply) => {
      const { org, name } = request.params;
      await administratorOf(context, request, org);
      const row = await requireReplication(org, name);
      await enqueueJob(record, {
        kind: REPLICATE,
        key: replicationKey(org, name, true),
        lane: org,
        body: { org, name, full: true },
        maxAttempts: MIRROR_LIMITS.attempts,
      });
      context.wake();
      return await reply.code(202).send(await show(row));
    },
  );
}
