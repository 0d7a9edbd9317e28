import type { Reader } from "../storage/database.ts";
import type { JobTables } from "./schema.ts";

/** Jobs of a kind and lane that wait or run. */
export async function countLane(reader: Reader, kind: string, lane: string): Promise<number> {
  const row = await reader
    .tables<JobTables>()
    .selectFrom("job")
    .select((is) => is.fn.countAll<number | string | bigint>().as("count"))
    .where("kind", "=", kind)
    .where("lane", "=", lane)
    .where("state", "in", ["waiting", "running"])
    .executeTakeFirstOrThrow();
  return Number(row.count);
}

/** How many jobs of a kind run in each lane. There are no more rows than places in all processes. */
async function runningByLane(reader: Reader, kind: string): Promise<Map<string, number>> {
  const rows = await reader
    .tables<JobTables>()
    .selectFrom("job")
    .select((is) => ["lane", is.fn.countAll<number | string | bigint>().as("count")])
    .where("state", "=", "running")
    .where("kind", "=", kind)
    .where("lane", "is not", null)
    .groupBy("lane")
    .execute();
  return new Map(rows.flatMap(({ lane, count }) => (lane === null ? [] : [[lane, Number(count)] as const])));
}

/** The lanes of a kind that have no place free. */
export async function fullLanes(reader: Reader, kind: string, perLane: number | undefined): Promise<string[]> {
  if (perLane === undefined) return [];
  return [...(await runningByLane(reader, kind))].filter(([, count]) => count >= perLane).map(([lane]) => lane);
}

/** The jobs of a kind that wait, those due first; none of the lanes left out. A query to be narrowed. */
export function waitingJobs(reader: Reader, kind: string, without: readonly string[]) {
  const query = reader
    .tables<JobTables>()
    .selectFrom("job")
    .where("state", "=", "waiting")
    .where("kind", "=", kind)
    .orderBy("due");
  if (without.length === 0) return query;
  return query.where((is) => is.or([is("lane", "is", null), is("lane", "not in", without)]));
}

/** A job that is due. */
export interface DueJob {
  readonly id: number;
  readonly key: string | null;
  readonly lane: string | null;
  readonly body: string;
  readonly attempt: number;
}

/**
 * The jobs of a kind to be run now, those due longest first, and of no lane more than its share: whoever has many, or slow ones, waits for
 * their own, and nobody else does. What is passed over of a lane is bounded by what a lane may have (`openPerLane`).
 */
export async function jobsDue(
  reader: Reader,
  wanted: { readonly kind: string; readonly slots: number; readonly perLane?: number | undefined },
  time: number,
): Promise<DueJob[]> {
  const { kind, slots, perLane } = wanted;
  const running = perLane === undefined ? new Map<string, number>() : await runningByLane(reader, kind);
  const full = (lane: string): boolean => perLane !== undefined && (running.get(lane) ?? 0) >= perLane;
  const taken: DueJob[] = [];
  let before = -1;
  for (;;) {
    const without = [...running.keys()].filter(full);
    // INVARIANT: each further round leaves out a lane that the round before filled, so there are no more rounds than places.
    if (taken.length >= slots || without.length === before) return taken;
    before = without.length;
    let query = waitingJobs(reader, kind, without)
      .select(["id", "key", "lane", "body", "attempt"])
      .where("due", "<=", time)
      .limit(slots - taken.length);
    if (taken.length > 0) {
      query = query.where(
        "id",
        "not in",
        taken.map((job) => job.id),
      );
    }
    for (const job of await query.execute()) {
      if (job.lane !== null) {
        if (full(job.lane)) continue;
        running.set(job.lane, (running.get(job.lane) ?? 0) + 1);
      }
      taken.push(job);
    }
    if (perLane === undefined) return taken;
  }
}
