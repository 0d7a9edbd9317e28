import type { Reader } from "../storage/database.ts";
import { fullLanes, waitingJobs } from "./lane-queries.ts";
import type { JobState, JobTables } from "./schema.ts";
import { ONE_ROW } from "../storage/one-row.ts";

export type JobRow = JobTables["job"];
export type ScheduleRow = JobTables["job_schedule"];

export async function findJob(reader: Reader, id: number): Promise<JobRow | undefined> {
  return await reader.tables<JobTables>().selectFrom("job").selectAll().where("id", "=", id).executeTakeFirst();
}

/** Which jobs a list shows: newest first, those before `before`. */
export interface JobPlace {
  readonly state?: JobState | undefined;
  readonly kind?: string | undefined;
  readonly before: number | undefined;
  readonly limit: number;
}

export async function listJobs(reader: Reader, place: JobPlace): Promise<JobRow[]> {
  let query = reader
    .tables<JobTables>()
    .selectFrom("job")
    .selectAll()
    .where("id", "<", place.before ?? Number.MAX_SAFE_INTEGER)
    .orderBy("id", "desc")
    .limit(place.limit);
  if (place.state !== undefined) query = query.where("state", "=", place.state);
  if (place.kind !== undefined) query = query.where("kind", "=", place.kind);
  return await query.execute();
}

export async function listSchedules(reader: Reader): Promise<ScheduleRow[]> {
  return await reader.tables<JobTables>().selectFrom("job_schedule").selectAll().orderBy("key").execute();
}

/** When the next thing is to be done for jobs of these kinds (a run, a lease to take back, an occurrence), ms; undefined: nothing is. */
export async function nextDue(
  reader: Reader,
  kinds: readonly { readonly kind: string; readonly free: boolean; readonly perLane?: number | undefined }[],
): Promise<number | undefined> {
  const dues: (number | undefined)[] = [];
  for (const { kind, free, perLane } of kinds) {
    dues.push(await firstDue(reader, kind, "running"));
    if (!free) continue;
    // What waits for a place in its own lane is not to be done now: the end of a run there is.
    const waiting = waitingJobs(reader, kind, await fullLanes(reader, kind, perLane));
    dues.push((await waiting.select("due").limit(ONE_ROW).executeTakeFirst())?.due);
  }
  const known = new Set(kinds.map(({ kind }) => kind));
  const schedules = await reader.tables<JobTables>().selectFrom("job_schedule").select(["kind", "next"]).execute();
  for (const schedule of schedules) if (known.has(schedule.kind)) dues.push(schedule.next);
  const there = dues.filter((due) => due !== undefined);
  return there.length === 0 ? undefined : Math.min(...there);
}

/** How many jobs of each kind are in each state, and when the oldest that could run was due. */
export async function countJobs(reader: Reader): Promise<{
  readonly counts: { state: JobState; kind: string; count: number }[];
  readonly oldest: number | undefined;
}> {
  const tables = reader.tables<JobTables>();
  const counts = await tables
    .selectFrom("job")
    .select((is) => ["state", "kind", is.fn.countAll<number | bigint>().as("count")])
    .groupBy(["state", "kind"])
    .execute();
  const waiting = counts.filter(({ state }) => state === "waiting");
  let oldest: number | undefined;
  for (const { kind } of waiting) {
    const due = await firstDue(reader, kind, "waiting");
    if (due !== undefined && (oldest === undefined || due < oldest)) oldest = due;
  }
  return { counts: counts.map((row) => ({ ...row, count: Number(row.count) })), oldest };
}

/** The earliest `due` of a kind in a state. */
async function firstDue(reader: Reader, kind: string, state: JobState): Promise<number | undefined> {
  const row = await reader
    .tables<JobTables>()
    .selectFrom("job")
    .select("due")
    .where("state", "=", state)
    .where("kind", "=", kind)
    .orderBy("due")
    .limit(ONE_ROW)
    .executeTakeFirst();
  return row?.due;
}
