import type { FastifyInstance, FastifyRequest } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { decodeCursor, pageOf, pageQuery } from "../http/cursor.ts";
import { Problem } from "../http/problem.ts";
import { receiptSchema } from "../http/receipt.ts";
import type { RecordClient } from "../record/client.ts";
import { type Actor, SYSTEM_ORG } from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import { jobUnknown } from "./letters.ts";
import { findJob, type JobRow, listJobs, listSchedules } from "./queries.ts";
import { JOB_STATES } from "./schema.ts";

/** What the routes of the queue need. */
export interface JobRoutesContext {
  readonly reader: Reader;
  readonly record: RecordClient;
  /** Who asks, if they may administer the queue; throws the Problem otherwise. Filled by `app.ts`. */
  readonly administrator: (request: FastifyRequest) => Promise<Actor>;
  /** Tells the runner of this process that there is work. */
  readonly wake: () => void;
}

const timeField = z.int().describe("ms since the epoch");

const jobSchema = z.strictObject({
  id: z.int(),
  kind: z.string(),
  key: z.string().nullable().describe("Of one kind and key at most one job waits or runs."),
  state: z.enum(JOB_STATES),
  body: z.record(z.string(), z.unknown()),
  attempt: z.int().nonnegative().describe("Runs begun."),
  maxAttempts: z.int(),
  due: timeField.nullable().describe("Waiting: not run before. Running: when its lease ends. Else null."),
  owner: z.string().nullable().describe("The process that runs it."),
  error: z.string().nullable().describe("Why its last run failed."),
  created: timeField,
  started: timeField.nullable().describe("When its newest run began."),
  finished: timeField.nullable(),
});

const scheduleSchema = z.strictObject({
  key: z.string(),
  kind: z.string(),
  everyMs: z.int().nullable(),
  cron: z.string().nullable().describe("In UTC."),
  next: timeField.describe("The next occurrence."),
  last: z
    .strictObject({ due: timeField, job: jobSchema.nullable().describe("Null when it is no longer kept.") })
    .nullable()
    .describe("The newest occurrence, and the job that did its work."),
});

const idParams = z.object({
  id: z
    .string()
    .regex(/^\d{1,16}$/)
    .transform(Number),
});

const answered = z.strictObject({ job: jobSchema, receipt: receiptSchema.nullable() });

const tags = ["jobs"];

function showJob(row: JobRow): z.output<typeof jobSchema> {
  const open = row.state === "waiting" || row.state === "running";
  return {
    id: row.id,
    kind: row.kind,
    key: row.key,
    state: row.state,
    body: JSON.parse(row.body) as Record<string, unknown>,
    attempt: row.attempt,
    maxAttempts: row.max_attempts,
    due: open ? row.due : null,
    owner: row.owner,
    error: row.error,
    created: row.created,
    started: row.started,
    finished: row.finished,
  };
}

/** The queue in the own API: what waits, runs, was done and is dead; what is scheduled; and what a person does with a dead letter. */
export function registerJobRoutes(instance: FastifyInstance, context: JobRoutesContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { reader, record, administrator } = context;

  async function job(id: number): Promise<JobRow> {
    const row = await findJob(reader, id);
    if (row === undefined) throw Problem.fromRefusal(jobUnknown(id));
    return row;
  }

  app.get(
    "/api/assay/v1/jobs",
    {
      schema: {
        summary: "List background jobs, newest first",
        description: "For the bootstrap admin.",
        tags,
        querystring: z.object({
          ...pageQuery,
          state: z.enum(JOB_STATES).optional(),
          kind: z.string().min(1).max(64).optional(),
        }),
        response: { 200: z.strictObject({ items: z.array(jobSchema), next: z.string().nullable() }) },
      },
    },
    async (request) => {
      await administrator(request);
      const { state, kind, limit, cursor } = request.query;
      // Jobs are no facts: their list is bound to no sequence of the record. New ones come before the first page only.
      const before = cursor === undefined ? undefined : decodeCursor(cursor).position;
      const rows = await listJobs(reader, { state, kind, before, limit: limit + 1 });
      const page = pageOf(rows, limit, -1, (row) => row.id);
      return { items: page.items.map(showJob), next: page.next };
    },
  );

  app.get(
    "/api/assay/v1/jobs/:id",
    {
      schema: {
        summary: "One job",
        description: "For the bootstrap admin.",
        tags,
        params: idParams,
        response: { 200: jobSchema },
      },
    },
    async (request) => {
      await administrator(request);
      return showJob(await job(request.params.id));
    },
  );

  for (const [verb, type, summary] of [
    ["retry", "jobs.retry", "Run a dead job again, with all its attempts"],
    ["discard", "jobs.discard", "Give a dead job up"],
  ] as const) {
    app.post(
      `/api/assay/v1/jobs/:id/${verb}`,
      {
        schema: {
          summary,
          description: "For the bootstrap admin. Recorded.",
          tags,
          params: idParams,
          response: { 200: answered },
        },
      },
      async (request) => {
        const actor = await administrator(request);
        const { id } = request.params;
        const appended = await record.append({ type, org: SYSTEM_ORG, actor, body: { id } });
        if (!appended.ok) throw Problem.fromRefusal(appended.refusal);
        if (verb === "retry") context.wake();
        return { job: showJob(await job(id)), receipt: appended.receipts[0] ?? null };
      },
    );
  }

  app.get(
    "/api/assay/v1/schedules",
    {
      schema: {
        summary: "What is done again and again, with its next and last run",
        description: "For the bootstrap admin.",
        tags,
        response: { 200: z.strictObject({ items: z.array(scheduleSchema) }) },
      },
    },
    async (request) => {
      await administrator(request);
      const items: z.output<typeof scheduleSchema>[] = [];
      for (const row of await listSchedules(reader)) {
        const last = row.last_job === null ? undefined : await findJob(reader, row.last_job);
        items.push({
          key: row.key,
          kind: row.kind,
          everyMs: row.every_ms,
          cron: row.cron,
          next: row.next,
          last: row.last === null ? null : { due: row.last, job: last === undefined ? null : showJob(last) },
        });
      }
      return { items };
    },
  );
}
