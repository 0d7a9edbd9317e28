import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { ServerError } from "../errors.ts";
import type { JsonObject } from "../record/command.ts";
import type { RecordClient } from "../record/client.ts";
import type { Reader } from "../storage/database.ts";
import { backOffMs } from "./back-off.ts";
import type { JobDefinition, Schedule } from "./job.ts";
import { JOB_LIMITS } from "./limits.ts";
import { checkRhythm } from "./occurrence.ts";
import { leasedAnswer } from "./operations.ts";
import { nextDue } from "./queries.ts";

/** How often a runner looks for jobs that others made, ms. Its own schedules and those it is woken for it finds at once. */
const LOOK_MS = 2_000;

/** How often it asks the writer even when it sees nothing to do, ms: its notion of the writer's clock is never older. */
const ASK_MS = 60_000;

/** How long it waits after it could not reach the writer or the database, ms. */
const TROUBLE_MS = 5_000;

/** How often the end of a run is told again when the writer did not take it, and how long between, ms. */
const TELL_ATTEMPTS = 5;
const TELL_WAIT_MS = 500;

/** What hears of runs that fail. */
export interface JobsLog {
  warn(detail: object, message: string): void;
  error(detail: object, message: string): void;
}

/** What a process runs jobs with. */
export interface JobRunnerOptions {
  readonly record: Pick<RecordClient, "operate">;
  readonly reader: Reader;
  readonly jobs: readonly JobDefinition[];
  readonly schedules: readonly Schedule[];
  /** Names this process to people: who runs what. */
  readonly owner: string;
  readonly log: JobsLog;
}

type Leased = z.output<typeof leasedAnswer>["jobs"][number];

/** A run under way. */
interface Run {
  readonly job: Leased;
  readonly ended: Promise<void>;
  abort(reason: Error): void;
  /** The lease was handed back or lost: nothing is told about the end of the run. */
  given: boolean;
  /** How long the job rests at least, should the run fail, ms. */
  rest: number;
}

const heldAnswer = z.object({ held: z.boolean() });

/**
 * Runs this process's share of the queue. It leases jobs of the kinds it knows, as many of a kind at once as the kind allows, and tells
 * the writer how each run ended. Any number of runners may work on one queue: who runs what is decided by the writer.
 */
export class JobRunner {
  readonly #options: JobRunnerOptions;
  readonly #definitions = new Map<string, JobDefinition>();
  readonly #running = new Set<Run>();
  #turn: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #woken = false;
  #scheduled = false;
  #stopped = false;
  #troubled = false;
  /** The writer's clock minus ours (performance.now), and when it was asked. */
  #clock = { offset: 0, asked: Number.NEGATIVE_INFINITY };

  /** @throws ServerError `internal` when two kinds or schedules have one name, or a schedule makes jobs of a kind not given. */
  constructor(options: JobRunnerOptions) {
    this.#options = options;
    for (const job of options.jobs) {
      if (this.#definitions.has(job.kind)) throw new ServerError("internal", `the job ${job.kind} is defined twice`);
      this.#definitions.set(job.kind, job);
    }
    const keys = new Set<string>();
    for (const schedule of options.schedules) {
      const job = this.#definitions.get(schedule.kind);
      if (job === undefined) throw new ServerError("internal", `no job ${schedule.kind} for ${schedule.key}`);
      if (keys.has(schedule.key)) throw new ServerError("internal", `the schedule ${schedule.key} is defined twice`);
      keys.add(schedule.key);
      job.body.parse(schedule.body);
      checkRhythm(schedule);
    }
  }

  start(): void {
    this.#plan(0);
  }

  /** Looks for work at once: something was enqueued in this process. */
  wake(): void {
    this.#woken = true;
    this.#plan(0);
  }

  /**
   * Takes no more jobs, tells the running ones to end, and hands back what has not ended within `graceMs`: another process, or this one
   * after its start, runs it again. A job that ends of itself in that time is done or failed as ever.
   */
  async stop(graceMs: number): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    const grace = sleep(graceMs, undefined, { ref: false });
    await Promise.race([this.#turn, grace]);
    const runs = [...this.#running];
    if (runs.length === 0) return;
    for (const run of runs) run.abort(new ServerError("writer-stopped", "the server is stopping"));
    await Promise.race([Promise.all(runs.map((run) => run.ended)), grace]);
    await Promise.all([...this.#running].map((run) => this.#release(run)));
  }

  #plan(delayMs: number): void {
    if (this.#stopped || this.#turn !== undefined) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#turn = this.#look().then((next) => {
        this.#turn = undefined;
        this.#plan(this.#woken ? 0 : next);
      });
    }, delayMs);
    this.#timer.unref();
  }

  /** One look at the queue. @returns when to look again, ms from now. Never rejects. */
  async #look(): Promise<number> {
    try {
      if (!this.#scheduled) await this.#schedule();
      const woken = this.#woken;
      this.#woken = false;
      const now = performance.now();
      const due = woken ? 0 : await this.#untilDue();
      if (due <= 0 || now - this.#clock.asked >= ASK_MS) await this.#lease();
      this.#troubled = false;
      return Math.min(LOOK_MS, Math.max(due > 0 ? due : await this.#untilDue(), 20));
    } catch (error) {
      // Nothing is lost: jobs wait in the database. What lasts shows at every write and in the readiness probe; here it is said once.
      if (!this.#troubled) this.#options.log.warn({ err: error }, "the job queue cannot be reached; trying again");
      this.#troubled = true;
      return TROUBLE_MS;
    }
  }

  /** How long until there is something to do, ms, by the writer's clock as far as it is known. */
  async #untilDue(): Promise<number> {
    const kinds = [...this.#definitions.values()].map((job) => ({
      kind: job.kind,
      free: this.#free(job) > 0,
      perLane: job.perLane,
    }));
    const due = await nextDue(this.#options.reader, kinds);
    return due === undefined ? Number.POSITIVE_INFINITY : due - (performance.now() + this.#clock.offset);
  }

  #free(job: JobDefinition): number {
    let taken = 0;
    for (const run of this.#running) if (run.job.kind === job.kind) taken += 1;
    return Math.max((job.atOnce ?? 1) - taken, 0);
  }

  async #schedule(): Promise<void> {
    const schedules: JsonObject[] = this.#options.schedules.map((schedule) => ({
      key: schedule.key,
      kind: schedule.kind,
      body: schedule.body,
      everyMs: "everyMs" in schedule ? schedule.everyMs : null,
      cron: "cron" in schedule ? schedule.cron : null,
      maxAttempts: this.#definitions.get(schedule.kind)?.maxAttempts ?? 1,
    }));
    await this.#options.record.operate("jobs.schedule", { schedules });
    this.#scheduled = true;
  }

  async #lease(): Promise<void> {
    const kinds: JsonObject[] = [...this.#definitions.values()].map((job) => ({
      kind: job.kind,
      slots: this.#free(job),
      leaseMs: job.leaseMs,
      ...(job.perLane === undefined ? {} : { perLane: job.perLane }),
    }));
    const asked = performance.now();
    const answer = await this.#options.record.operate("jobs.lease", { owner: this.#options.owner, kinds });
    const { time, jobs } = leasedAnswer.parse(answer);
    this.#clock = { offset: time - performance.now(), asked };
    if (this.#stopped) {
      await Promise.all(jobs.map(({ id, lease }) => this.#options.record.operate("jobs.release", { id, lease })));
      return;
    }
    for (const job of jobs) {
      const definition = this.#definitions.get(job.kind);
      if (definition !== undefined) this.#begin(job, definition, asked);
    }
  }

  #begin(job: Leased, definition: JobDefinition, leasedAt: number): void {
    const controller = new AbortController();
    // The lease began before its answer came: this end is never later than the writer's.
    const lapse = (from: number): NodeJS.Timeout =>
      setTimeout(
        () => controller.abort(leaseLost(job)),
        Math.max(definition.leaseMs - (performance.now() - from), 0),
      ).unref();
    let end = lapse(leasedAt);
    const renew = async (): Promise<void> => {
      controller.signal.throwIfAborted();
      const from = performance.now();
      const { id, lease } = job;
      const answer = await this.#options.record.operate("jobs.renew", { id, lease, leaseMs: definition.leaseMs });
      if (!heldAnswer.parse(answer).held) {
        controller.abort(leaseLost(job));
        throw leaseLost(job);
      }
      clearTimeout(end);
      end = lapse(from);
    };
    const notBefore = (ms: number): void => {
      run.rest = Math.max(run.rest, ms);
    };
    const work = async (): Promise<void> => {
      const { signal } = controller;
      const failure = await this.#run(job, definition, { signal, attempt: job.attempt, renew, notBefore });
      clearTimeout(end);
      if (run.given) return;
      await this.#tell(run, failure);
    };
    const run: Run = {
      job,
      given: false,
      rest: 0,
      abort: (reason) => controller.abort(reason),
      ended: Promise.resolve()
        .then(work)
        .catch((error: unknown) => {
          // The lease ends by itself, and the job is run again.
          this.#options.log.error({ err: error, job: job.id, kind: job.kind }, "the end of a job could not be told");
        })
        .finally(() => {
          this.#running.delete(run);
          this.wake();
        }),
    };
    this.#running.add(run);
  }

  /** @returns why the run failed; undefined when it did not. */
  async #run(
    job: Leased,
    definition: JobDefinition,
    context: Parameters<JobDefinition["run"]>[1],
  ): Promise<{ readonly error: unknown; readonly final: boolean } | undefined> {
    const body = definition.body.safeParse(JSON.parse(job.body));
    if (!body.success) {
      return { error: new ServerError("command-invalid", `${job.kind}: ${z.prettifyError(body.error)}`), final: true };
    }
    try {
      await definition.run(body.data as never, context);
      return undefined;
    } catch (error) {
      return { error, final: false };
    }
  }

  /** Tells the writer how a run ended. A writer that is overloaded or away is told again while the lease lasts. */
  async #tell(run: Run, failure: { readonly error: unknown; readonly final: boolean } | undefined): Promise<void> {
    const { id, lease, kind, attempt } = run.job;
    // A run that ended because this process stops did not fail.
    if (failure !== undefined && this.#stopped) return await this.#release(run);
    const [type, body]: [string, JsonObject] =
      failure === undefined
        ? ["jobs.finish", { id, lease }]
        : [
            "jobs.fail",
            {
              id,
              lease,
              error: errorText(failure.error),
              delayMs: Math.max(backOffMs(attempt, Math.random()), run.rest),
              final: failure.final,
            },
          ];
    const answer = z.object({ held: z.boolean(), dead: z.boolean().optional() }).parse(await this.#insist(type, body));
    const detail = { job: id, kind, attempt };
    if (!answer.held) this.#options.log.warn(detail, "a job ended after its lease: it is run again");
    else if (answer.dead === true) this.#options.log.error({ ...detail, err: failure?.error }, "a job is dead");
    else if (failure !== undefined) this.#options.log.warn({ ...detail, err: failure.error }, "a job failed");
  }

  async #insist(type: string, body: JsonObject): Promise<unknown> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#options.record.operate(type, body);
      } catch (error) {
        if (attempt >= TELL_ATTEMPTS || this.#stopped) throw error;
        await sleep(TELL_WAIT_MS * attempt, undefined, { ref: false });
      }
    }
  }

  async #release(run: Run): Promise<void> {
    if (run.given) return;
    run.given = true;
    const { id, lease, kind } = run.job;
    try {
      await this.#options.record.operate("jobs.release", { id, lease });
    } catch (error) {
      this.#options.log.warn({ err: error, job: id, kind }, "a lease could not be handed back: it ends by itself");
    }
  }
}

function leaseLost(job: Leased): ServerError {
  return new ServerError("job-lease-lost", `the lease of job ${job.id} (${job.kind}) has ended`);
}

/** An error as the queue keeps it; the character that PostgreSQL cannot hold is left out. */
function errorText(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replaceAll("\0", "").slice(0, JOB_LIMITS.errorLength);
}
