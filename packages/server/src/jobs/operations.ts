import { randomUUID } from "node:crypto";
import { z } from "zod";
import { ServerError } from "../errors.ts";
import { defineOperation, type JsonObject, type OperationDefinition } from "../record/command.ts";
import type { RecordClient } from "../record/client.ts";
import type { Reader, Transactor } from "../storage/database.ts";
import { JOB_LIMITS, KEPT } from "./limits.ts";
import { occurrenceAfter, type Rhythm } from "./occurrence.ts";
import { countLane, jobsDue } from "./lane-queries.ts";
import type { JobState, JobTables } from "./schema.ts";
import { ONE_ROW } from "../storage/one-row.ts";

/** Jobs of a kind whose lease has ended that one operation takes back, and schedules it looks at. */
const TAKE_BACK = 100;

/** Jobs one sweep removes of a state at most; the next takes the rest. */
const SWEEP_STEP = 1_000;

/** A schedule that nobody has run for this long belongs to no program any more, ms. */
const FORGOTTEN_MS = 30 * 86_400_000;

const kind = z
  .string()
  .max(64)
  .regex(/^[a-z][a-z0-9-]*(\.[a-z][a-z0-9-]*)+$/);
const key = z.string().min(1).max(256);
const maxAttempts = z.int().min(1).max(100);
const leaseMs = z
  .int()
  .min(1)
  .max(24 * 3_600_000);
const jobBody = z.record(z.string(), z.json());
const held = { id: z.int(), lease: z.string().max(64) };

/** A job to be made. */
export interface NewJob {
  readonly kind: string;
  readonly key?: string | undefined;
  /** Whose it is: no lane takes more than its share of places, waiting or running. */
  readonly lane?: string | undefined;
  readonly body: JsonObject;
  readonly maxAttempts: number;
  /** Not to be run before this has passed, ms; 0 when absent. */
  readonly delayMs?: number | undefined;
}

/** The job that will do the work: a new one, or the one that waits or runs already. */
export interface Enqueued {
  readonly id: number;
  readonly joined: boolean;
}

/**
 * Makes a job inside an operation of another room, with whatever else it writes.
 *
 * @throws ServerError `jobs-overloaded`.
 */
export async function enqueue(transactor: Transactor, job: NewJob, time: number): Promise<Enqueued> {
  const tables = transactor.tables<JobTables>();
  if (job.key !== undefined) {
    const there = await openJob(transactor, job.kind, job.key);
    if (there !== undefined) return { id: there, joined: true };
  }
  const body = JSON.stringify(job.body);
  if (Buffer.byteLength(body) > JOB_LIMITS.bodyBytes) {
    throw new ServerError("command-invalid", `a job's body has at most ${JOB_LIMITS.bodyBytes} bytes`);
  }
  if (job.lane !== undefined && (await countLane(transactor, job.kind, job.lane)) >= JOB_LIMITS.openPerLane) {
    throw new ServerError(
      "jobs-overloaded",
      `${JOB_LIMITS.openPerLane} jobs of the kind ${job.kind} are ${job.lane}'s`,
      {
        hint: "try again when some of them are done",
      },
    );
  }
  const last = await tables
    .selectFrom("job")
    .select("due")
    .where("state", "=", "waiting")
    .where("kind", "=", job.kind)
    .orderBy("due")
    .offset(JOB_LIMITS.waitingPerKind - 1)
    .limit(ONE_ROW)
    .executeTakeFirst();
  if (last !== undefined) {
    throw new ServerError("jobs-overloaded", `${JOB_LIMITS.waitingPerKind} jobs of the kind ${job.kind} are waiting`, {
      hint: "try again later; `assay jobs list --state waiting` shows them",
    });
  }
  const newest = await tables.selectFrom("job").select("id").orderBy("id", "desc").limit(ONE_ROW).executeTakeFirst();
  const id = Math.max((newest?.id ?? 0) + 1, time * 1000);
  await tables
    .insertInto("job")
    .values({
      id,
      kind: job.kind,
      key: job.key ?? null,
      held_key: job.key ?? null,
      lane: job.lane ?? null,
      body,
      state: "waiting",
      attempt: 0,
      max_attempts: job.maxAttempts,
      due: time + (job.delayMs ?? 0),
      owner: null,
      lease: null,
      error: null,
      created: time,
      started: null,
      finished: null,
    })
    .execute();
  return { id, joined: false };
}

/** The job of this kind and key that waits or runs. */
export async function openJob(reader: Reader, kind: string, key: string): Promise<number | undefined> {
  const row = await reader
    .tables<JobTables>()
    .selectFrom("job")
    .select("id")
    .where("kind", "=", kind)
    .where("held_key", "=", key)
    .executeTakeFirst();
  return row?.id;
}

/** Lets a job that waits be run at once, its back-off notwithstanding. */
export async function hasten(transactor: Transactor, kind: string, key: string, time: number): Promise<void> {
  await transactor
    .tables<JobTables>()
    .updateTable("job")
    .set({ due: time })
    .where("kind", "=", kind)
    .where("held_key", "=", key)
    .where("state", "=", "waiting")
    .where("due", ">", time)
    .execute();
}

/** Makes a job, durably. @throws ServerError `jobs-overloaded`, and what the writer throws. */
export async function enqueueJob(record: Pick<RecordClient, "operate">, job: NewJob): Promise<Enqueued> {
  const { key, lane, delayMs } = job;
  const answer = await record.operate("jobs.enqueue", {
    kind: job.kind,
    body: job.body,
    maxAttempts: job.maxAttempts,
    ...(key === undefined ? {} : { key }),
    ...(lane === undefined ? {} : { lane }),
    ...(delayMs === undefined ? {} : { delayMs }),
  });
  return enqueuedAnswer.parse(answer);
}

const enqueuedAnswer = z.strictObject({ id: z.int(), joined: z.boolean() });

/** What a runner is given to run. */
export const leasedAnswer = z.strictObject({
  /** The writer's clock, ms. */
  time: z.int(),
  jobs: z.array(
    z.strictObject({
      id: z.int(),
      kind: z.string(),
      key: z.string().nullable(),
      body: z.string(),
      attempt: z.int(),
      lease: z.string(),
    }),
  ),
});

/** Turns schedules whose time has come into jobs, each once: the row moves on in the same transaction. */
async function runSchedules(transactor: Transactor, kinds: readonly string[], time: number): Promise<void> {
  const tables = transactor.tables<JobTables>();
  const rows = await tables
    .selectFrom("job_schedule")
    .selectAll()
    .where("next", "<=", time)
    .orderBy("next")
    .limit(TAKE_BACK)
    .execute();
  for (const row of rows) {
    // One whose kind this process does not know is for a newer version's processes.
    if (!kinds.includes(row.kind)) continue;
    const body = JSON.parse(row.body) as JsonObject;
    const job = { kind: row.kind, key: row.key, body, maxAttempts: row.max_attempts };
    const id = await enqueueIfRoom(transactor, job, time);
    // Its time has come and stays so: whoever leases next tries again. Leasing is what makes room, and must not fail for want of it.
    if (id === undefined) continue;
    await tables
      .updateTable("job_schedule")
      .set({ next: occurrenceAfter(rhythmOf(row), row.next, time), last: row.next, last_job: id })
      .where("key", "=", row.key)
      .execute();
  }
}

async function enqueueIfRoom(transactor: Transactor, job: NewJob, time: number): Promise<number | undefined> {
  try {
    return (await enqueue(transactor, job, time)).id;
  } catch (error) {
    if (error instanceof ServerError && error.code === "jobs-overloaded") return undefined;
    throw error;
  }
}

/** A schedule's rhythm, from its row. */
export function rhythmOf(row: Pick<JobTables["job_schedule"], "every_ms" | "cron">): Rhythm {
  return row.cron === null ? { everyMs: row.every_ms ?? 0 } : { cron: row.cron };
}

/** Jobs whose holder has gone silent wait again, or are dead if that was their last run. */
async function takeBack(transactor: Transactor, kind: string, time: number): Promise<void> {
  const tables = transactor.tables<JobTables>();
  const rows = await tables
    .selectFrom("job")
    .select(["id", "attempt", "max_attempts", "owner"])
    .where("state", "=", "running")
    .where("kind", "=", kind)
    .where("due", "<=", time)
    .orderBy("due")
    .limit(TAKE_BACK)
    .execute();
  for (const row of rows) {
    const error = `run ${row.attempt} did not end before its lease did (${row.owner ?? "unknown"})`;
    await endRun(transactor, row.id, row.attempt >= row.max_attempts, { error, due: time, time });
  }
}

/** Ends a run that failed: the job is dead, or waits until `due`. */
async function endRun(
  transactor: Transactor,
  id: number,
  final: boolean,
  end: { readonly error: string; readonly due: number; readonly time: number },
): Promise<void> {
  const error = end.error.slice(0, JOB_LIMITS.errorLength);
  await transactor
    .tables<JobTables>()
    .updateTable("job")
    .set(
      final
        ? { state: "dead", error, lease: null, owner: null, held_key: null, finished: end.time }
        : { state: "waiting", error, lease: null, owner: null, due: end.due },
    )
    .where("id", "=", id)
    .execute();
}

/** The running job under a lease that stands. INVARIANT: whoever does not hold the lease changes nothing of the job. */
async function holding(
  transactor: Transactor,
  body: { readonly id: number; readonly lease: string },
  time: number,
): Promise<{ kind: string; key: string | null; attempt: number; max_attempts: number } | undefined> {
  const row = await transactor
    .tables<JobTables>()
    .selectFrom("job")
    .select(["kind", "key", "attempt", "max_attempts", "state", "lease", "due"])
    .where("id", "=", body.id)
    .executeTakeFirst();
  return row !== undefined && row.state === "running" && row.lease === body.lease && row.due > time ? row : undefined;
}

/** Unrecorded state of this room: every change of a job is one of these, run by the one writer, on the writer's clock. */
export const jobOperations: readonly OperationDefinition[] = [
  defineOperation({
    type: "jobs.enqueue",
    body: z.strictObject({
      kind,
      key: key.optional(),
      lane: z.string().min(1).max(64).optional(),
      body: jobBody,
      maxAttempts,
      delayMs: z
        .int()
        .nonnegative()
        .max(366 * 86_400_000)
        .optional(),
    }),
    run: async (transactor, body, { time }) => ({
      ...(await enqueue(transactor, { ...body, body: body.body as JsonObject }, time)),
    }),
  }),
  /** What a program brings along at its start. A schedule that is there goes on where it stood, unless its rhythm is another. */
  defineOperation({
    type: "jobs.schedule",
    body: z.strictObject({
      schedules: z
        .array(
          z.strictObject({
            key,
            kind,
            body: jobBody,
            everyMs: z.int().positive().nullable(),
            cron: z.string().max(256).nullable(),
            maxAttempts,
          }),
        )
        .max(JOB_LIMITS.schedules),
    }),
    run: async (transactor, body, { time }) => {
      const tables = transactor.tables<JobTables>();
      for (const schedule of body.schedules) {
        const wanted = {
          kind: schedule.kind,
          body: JSON.stringify(schedule.body),
          every_ms: schedule.everyMs,
          cron: schedule.cron,
          max_attempts: schedule.maxAttempts,
        };
        const there = await tables
          .selectFrom("job_schedule")
          .selectAll()
          .where("key", "=", schedule.key)
          .executeTakeFirst();
        if (there === undefined) {
          const next = occurrenceAfter(rhythmOf(wanted), undefined, time);
          await tables
            .insertInto("job_schedule")
            .values({ key: schedule.key, ...wanted, next, last: null, last_job: null })
            .execute();
          continue;
        }
        const same = there.every_ms === wanted.every_ms && there.cron === wanted.cron;
        const next = same ? there.next : occurrenceAfter(rhythmOf(wanted), undefined, time);
        await tables
          .updateTable("job_schedule")
          .set({ ...wanted, next })
          .where("key", "=", schedule.key)
          .execute();
      }
      const mine = new Set(body.schedules.map((schedule) => schedule.key));
      const old = await tables
        .selectFrom("job_schedule")
        .select("key")
        .where("next", "<", time - FORGOTTEN_MS)
        .execute();
      for (const row of old) {
        if (!mine.has(row.key)) await tables.deleteFrom("job_schedule").where("key", "=", row.key).execute();
      }
      return null;
    },
  }),
  defineOperation({
    type: "jobs.lease",
    body: z.strictObject({
      owner: z.string().max(256),
      kinds: z
        .array(
          z.strictObject({
            kind,
            slots: z.int().min(0).max(100),
            leaseMs,
            perLane: z.int().min(1).max(100).optional(),
          }),
        )
        .max(JOB_LIMITS.kinds),
    }),
    run: async (transactor, body, { time }) => {
      const tables = transactor.tables<JobTables>();
      await runSchedules(
        transactor,
        body.kinds.map((entry) => entry.kind),
        time,
      );
      const jobs: JsonObject[] = [];
      for (const { kind, slots, leaseMs, perLane } of body.kinds) {
        await takeBack(transactor, kind, time);
        if (slots === 0) continue;
        const rows = await jobsDue(transactor, { kind, slots, perLane }, time);
        for (const row of rows) {
          const lease = randomUUID();
          const attempt = row.attempt + 1;
          await tables
            .updateTable("job")
            .set({ state: "running", owner: body.owner, lease, attempt, due: time + leaseMs, started: time })
            .where("id", "=", row.id)
            .execute();
          jobs.push({ id: row.id, kind, key: row.key, body: row.body, attempt, lease });
        }
      }
      return { time, jobs };
    },
  }),
  defineOperation({
    type: "jobs.renew",
    body: z.strictObject({ ...held, leaseMs }),
    run: async (transactor, body, { time }) => {
      if ((await holding(transactor, body, time)) === undefined) return { held: false };
      await transactor
        .tables<JobTables>()
        .updateTable("job")
        .set({ due: time + body.leaseMs })
        .where("id", "=", body.id)
        .execute();
      return { held: true };
    },
  }),
  defineOperation({
    type: "jobs.finish",
    body: z.strictObject(held),
    run: async (transactor, body, { time }) => {
      const job = await holding(transactor, body, time);
      if (job === undefined) return { held: false };
      const tables = transactor.tables<JobTables>();
      const ended = { lease: null, owner: null, held_key: null, finished: time };
      await tables
        .updateTable("job")
        .set({ ...ended, state: "done", error: null })
        .where("id", "=", body.id)
        .execute();
      if (job.key !== null) {
        // What a dead job of the same key should have done is done now: nobody has to answer it any more.
        await tables
          .updateTable("job")
          .set({ state: "discarded", finished: time })
          .where("state", "=", "dead")
          .where("kind", "=", job.kind)
          .where("key", "=", job.key)
          .execute();
      }
      return { held: true };
    },
  }),
  defineOperation({
    type: "jobs.fail",
    body: z.strictObject({
      ...held,
      error: z.string(),
      /** How long it waits before its next run, ms. */
      delayMs: z.int().nonnegative(),
      /** No further run can end otherwise. */
      final: z.boolean(),
    }),
    run: async (transactor, body, { time }) => {
      const job = await holding(transactor, body, time);
      if (job === undefined) return { held: false, dead: false };
      const dead = body.final || job.attempt >= job.max_attempts;
      await endRun(transactor, body.id, dead, { error: body.error, due: time + body.delayMs, time });
      return { held: true, dead };
    },
  }),
  /** Hands a lease back: the process stops, which is no fault of the job's, so the run does not count. */
  defineOperation({
    type: "jobs.release",
    body: z.strictObject(held),
    run: async (transactor, body, { time }) => {
      const job = await holding(transactor, body, time);
      if (job === undefined) return { held: false };
      await transactor
        .tables<JobTables>()
        .updateTable("job")
        .set({ state: "waiting", lease: null, owner: null, due: time, attempt: job.attempt - 1 })
        .where("id", "=", body.id)
        .execute();
      return { held: true };
    },
  }),
  /** Ends every lease. Only for the start of a server that is alone on its data: whoever held one is gone, and its run counts as begun. */
  defineOperation({
    type: "jobs.end-leases",
    body: z.strictObject({}),
    run: async (transactor, _body, { time }) => {
      await transactor
        .tables<JobTables>()
        .updateTable("job")
        .set({ due: time })
        .where("state", "=", "running")
        .execute();
      return null;
    },
  }),
  /** Removes jobs that ended long ago, and the oldest where there are too many. */
  defineOperation({
    type: "jobs.sweep",
    body: z.strictObject({}),
    run: async (transactor, _body, { time }) => {
      let removed = 0;
      for (const [state, kept] of Object.entries(KEPT) as [keyof typeof KEPT, (typeof KEPT)["dead"]][]) {
        removed += await sweepState(transactor, state, time - kept.ms, kept.count);
      }
      return { removed };
    },
  }),
];

async function sweepState(transactor: Transactor, state: JobState, before: number, count: number): Promise<number> {
  const tables = transactor.tables<JobTables>();
  // The newest of those that are too many: ids grow with time.
  const surplus = await tables
    .selectFrom("job")
    .select("id")
    .where("state", "=", state)
    .orderBy("id", "desc")
    .offset(count)
    .limit(ONE_ROW)
    .executeTakeFirst();
  const oldest = await tables
    .selectFrom("job")
    .select(["id", "finished"])
    .where("state", "=", state)
    .orderBy("id")
    .limit(SWEEP_STEP)
    .execute();
  const gone = oldest.filter((row) => row.id <= (surplus?.id ?? 0) || (row.finished ?? 0) < before);
  for (const row of gone) await tables.deleteFrom("job").where("id", "=", row.id).execute();
  return gone.length;
}
