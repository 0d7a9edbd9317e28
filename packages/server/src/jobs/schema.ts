/** A job's life: waiting → running → done; failed for good: dead, until somebody retries or discards it. */
export const JOB_STATES = ["waiting", "running", "done", "dead", "discarded"] as const;

export type JobState = (typeof JOB_STATES)[number];

/** The tables of this room (migration 0007). Both are unrecorded. */
export interface JobTables {
  job: {
    /** Grows with time and is never given twice. */
    id: number;
    kind: string;
    /** Names the work: of one kind and key at most one job waits or runs. Null: any number may. */
    key: string | null;
    /** `key` while the job waits or runs, null after: what the unique index (kind, held_key) is over. */
    held_key: string | null;
    /** Whose work it is, where a kind is shared out; null: everybody's. */
    lane: string | null;
    /** JSON. */
    body: string;
    state: JobState;
    /** Runs begun. */
    attempt: number;
    max_attempts: number;
    /** ms. Waiting: not to be run before. Running: when the lease ends. Else: when it last was one of the two. */
    due: number;
    /** The process that runs it, for people. */
    owner: string | null;
    /** What the holder of the lease shows; another at every run. */
    lease: string | null;
    /** Why the last run failed. */
    error: string | null;
    /** ms. */
    created: number;
    /** When the newest run began, ms. */
    started: number | null;
    /** When it became done, dead or discarded, ms. */
    finished: number | null;
  };
  job_schedule: {
    key: string;
    kind: string;
    /** JSON. */
    body: string;
    /** Exactly one of these two is set. */
    every_ms: number | null;
    cron: string | null;
    max_attempts: number;
    /** The next occurrence, ms. */
    next: number;
    /** The newest occurrence that became a job (or joined one), ms, and that job. */
    last: number | null;
    last_job: number | null;
  };
}
