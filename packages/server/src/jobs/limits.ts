/** Every bound of the queue, in one place. */
export const JOB_LIMITS = {
  /** Jobs of one kind that wait at most; beyond, `jobs-overloaded`. */
  waitingPerKind: 10_000,
  /** Jobs of one kind and lane that wait or run at most; beyond, `jobs-overloaded`: the others' room stays theirs. */
  openPerLane: 200,
  /** Bytes of a job's body as JSON. */
  bodyBytes: 64 * 1024,
  /** Characters of an error that are kept. */
  errorLength: 2_000,
  /** Kinds one process runs. */
  kinds: 64,
  /** Schedules of one process. */
  schedules: 64,
} as const;

const DAY = 86_400_000;

/** How long jobs that ended are kept, ms, and how many of a state at most. A dead letter nobody answers goes in the end. */
export const KEPT = {
  done: { ms: 7 * DAY, count: 10_000 },
  discarded: { ms: 7 * DAY, count: 10_000 },
  dead: { ms: 90 * DAY, count: 10_000 },
} as const;
