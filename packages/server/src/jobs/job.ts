import type { z } from "zod";
import type { JsonObject } from "../record/command.ts";

/** What a run of a job may use besides its body. */
export interface JobContext {
  /**
   * Aborted when the process stops, or when the lease has ended: somebody else may be running the job by then. A handler that goes on
   * all the same does no harm to the queue, its end is refused; what it does elsewhere must be safe to be done twice.
   */
  readonly signal: AbortSignal;
  /** From 1. */
  readonly attempt: number;
  /**
   * Takes the lease anew for its whole length: a handler that runs long calls it as it gets on, so that one that hangs loses its job.
   *
   * @throws ServerError `job-lease-lost`; `signal` is aborted then.
   */
  readonly renew: () => Promise<void>;
  /** Not to be run again before this has passed, ms, should this run fail: what it asked said so. It is never sooner than the back-off has it. */
  readonly notBefore: (ms: number) => void;
}

/** A kind of job and what is done for it. A job is run at least once: after a crash it is run again from its start. */
export interface JobDefinition {
  /** `room.what`. */
  readonly kind: string;
  readonly body: z.ZodType;
  /** Runs after which a job that fails is dead. */
  readonly maxAttempts: number;
  /** How long a run may take without {@link JobContext.renew}, ms. A crashed process's job is run again after this long. */
  readonly leaseMs: number;
  /** How many of the kind one process runs at once; 1 when absent. */
  readonly atOnce?: number;
  /** How many of them of one lane run at once, in all processes together; absent: as many as there are places. */
  readonly perLane?: number;
  run(body: never, context: JobContext): Promise<void>;
}

/** Defines a kind of job; `run` gets the body as its schema types it. */
export function defineJob<S extends z.ZodType>(definition: {
  kind: string;
  body: S;
  maxAttempts: number;
  leaseMs: number;
  atOnce?: number;
  perLane?: number;
  run: (body: z.output<S>, context: JobContext) => Promise<void>;
}): JobDefinition {
  return definition;
}

/**
 * Makes a job again and again. An occurrence becomes one job at most, however many processes and hosts there are; while the job of
 * an earlier one waits or runs, it joins that one. What was missed while no server ran is made up for once.
 */
export type Schedule = {
  /** Names the schedule, and is its jobs' key. */
  readonly key: string;
  readonly kind: string;
  readonly body: JsonObject;
} & (
  | { readonly everyMs: number }
  /** Five or six fields, in UTC. */
  | { readonly cron: string }
);
