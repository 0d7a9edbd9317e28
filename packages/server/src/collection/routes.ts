import type { FastifyInstance, FastifyRequest } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { ServerError } from "../errors.ts";
import { Problem } from "../http/problem.ts";
import type { RecordClient } from "../record/client.ts";
import type { Actor } from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import { COLLECTION_LIMITS } from "./limits.ts";
import { findRun, listRuns, type RunRow } from "./queries.ts";

/** What the routes of the collection need. */
export interface CollectionRoutesContext {
  readonly reader: Reader;
  readonly record: RecordClient;
  /** Who asks, if they may administer the server's work; throws the Problem otherwise. Filled by `app.ts`. */
  readonly administrator: (request: FastifyRequest) => Promise<Actor>;
  /** Tells the runner of this process that there is work. */
  readonly wake: () => void;
}

const timeField = z.int().describe("ms since the epoch");
const amount = z.strictObject({ blobs: z.int(), bytes: z.int() });

const runSchema = z.strictObject({
  id: z.int(),
  mode: z.enum(["collect", "preview"]).describe("A preview changes nothing."),
  state: z.enum(["running", "done"]),
  requestedBy: z.string().nullable().describe("Null for a run of the schedule."),
  looked: amount.describe("What lay in the store."),
  collected: amount.describe("What nothing needed any more and is removed; of a preview: would be."),
  leftovers: amount.describe("What earlier runs had collected and did not come to remove."),
  started: timeField,
  updated: timeField.describe("When it last said where it is."),
  finished: timeField.nullable(),
});

const tags = ["storage"];

function shown(row: RunRow): z.output<typeof runSchema> {
  return {
    id: row.id,
    mode: row.mode,
    state: row.state,
    requestedBy: row.requested_by,
    looked: { blobs: row.looked, bytes: row.looked_bytes },
    collected: { blobs: row.collected, bytes: row.collected_bytes },
    leftovers: { blobs: row.leftovers, bytes: row.leftover_bytes },
    started: row.started,
    updated: row.updated,
    finished: row.finished,
  };
}

/** Garbage collection in the own API: a run on request, and what runs did. */
export function registerCollectionRoutes(instance: FastifyInstance, context: CollectionRoutesContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { reader, record, administrator } = context;

  app.post(
    "/api/assay/v1/collections",
    {
      schema: {
        summary: "Collect garbage now: remove the bytes that nothing needs, while everything goes on",
        description: "For the bootstrap admin. It runs as a job; GET the answer's id to see how far it is.",
        tags,
        body: z.strictObject({
          preview: z.boolean().default(false).describe("Only count what would go."),
        }),
        response: { 202: runSchema },
      },
    },
    async (request, reply) => {
      const actor = await administrator(request);
      const mode = request.body.preview ? "preview" : "collect";
      const answer = await record.operate("collection.request", { mode, requestedBy: actor.id });
      const { id } = z.strictObject({ id: z.int() }).parse(answer);
      context.wake();
      const row = await findRun(reader, id);
      if (row === undefined) throw new ServerError("internal", `the run ${id} was made and cannot be found`);
      return reply.code(202).send(shown(row));
    },
  );

  app.get(
    "/api/assay/v1/collections",
    {
      schema: {
        summary: `The last ${COLLECTION_LIMITS.runs} runs of the garbage collection, newest first`,
        description: "For the bootstrap admin.",
        tags,
        response: { 200: z.strictObject({ items: z.array(runSchema) }) },
      },
    },
    async (request) => {
      await administrator(request);
      return { items: (await listRuns(reader, COLLECTION_LIMITS.runs)).map(shown) };
    },
  );

  app.get(
    "/api/assay/v1/collections/:id",
    {
      schema: {
        summary: "One run of the garbage collection, and how far it is",
        description: "For the bootstrap admin.",
        tags,
        params: z.object({
          id: z
            .string()
            .regex(/^\d{1,15}$/)
            .transform(Number),
        }),
        response: { 200: runSchema },
      },
    },
    async (request) => {
      await administrator(request);
      const row = await findRun(reader, request.params.id);
      if (row === undefined) {
        throw new Problem(404, "collection-unknown", `there is no run ${request.params.id} of the garbage collection`);
      }
      return shown(row);
    },
  );
}
