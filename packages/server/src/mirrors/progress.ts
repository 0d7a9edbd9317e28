import { ServerError } from "../errors.ts";
import type { JobContext } from "../jobs/job.ts";
import type { RecordClient } from "../record/client.ts";
import { MIRROR_LIMITS } from "./limits.ts";
import { UpstreamBusy } from "./remote.ts";

/** What a run did with one tag or piece of evidence. */
export type Outcome = "copied" | "present";

/** What a run needs of its job. */
export type RunJob = Pick<JobContext, "signal" | "renew" | "notBefore">;

/** Which run it is. */
export interface RunPlace {
  readonly org: string;
  readonly subject: string;
  readonly started: number;
  /** Whether everything is asked of one registry: when that has too much to do, the run waits until it has not. */
  readonly oneRegistry: boolean;
  /** Of a replication: the rule it goes by, and whether that stands. */
  readonly rule?: { readonly name: string; readonly setting: number; stands(): Promise<boolean> };
}

/**
 * One run over many things: counts, writes down how far it is, and keeps its job. What cannot be copied keeps back nothing else; at the end
 * the run fails because of it, so that the queue's back-off says when it is tried again, and what is there by then is passed over.
 */
export class Progress {
  readonly #record: Pick<RecordClient, "operate">;
  readonly #job: RunJob;
  readonly #place: RunPlace;
  #copied = 0;
  #present = 0;
  #failed = 0;
  #at: string | null = null;
  #problem: string | null = null;
  #written = 0;
  #renewed = performance.now();
  #asked = Number.NEGATIVE_INFINITY;
  /** Why the run goes no further. */
  #over: ServerError | undefined;

  constructor(record: Pick<RecordClient, "operate">, job: RunJob, place: RunPlace) {
    this.#record = record;
    this.#job = job;
    this.#place = place;
  }

  /**
   * Called as the work gets on.
   *
   * @throws ServerError `job-lease-lost`; `upstream-failed` when the rule it goes by was changed or taken back: nothing more goes anywhere
   * because of it; the signal's reason when the process stops.
   */
  async beat(): Promise<void> {
    this.#job.signal.throwIfAborted();
    const now = performance.now();
    if (now - this.#asked >= MIRROR_LIMITS.progressMs) {
      this.#asked = now;
      await this.#requireRule();
    }
    if (now - this.#renewed < MIRROR_LIMITS.renewMs) return;
    this.#renewed = now;
    await this.#job.renew();
  }

  async #requireRule(): Promise<void> {
    if ((await this.#place.rule?.stands()) !== false) return;
    this.#over = new ServerError("upstream-failed", "the replication was set anew, or removed, while it ran");
    throw this.#over;
  }

  /** Does one thing, and counts what came of it. */
  async attempt(what: string, work: () => Promise<Outcome>): Promise<void> {
    await this.beat();
    this.#at = what.slice(0, MIRROR_LIMITS.problemLength);
    if (performance.now() - this.#written > MIRROR_LIMITS.progressMs) await this.#write("running", undefined);
    try {
      if ((await work()) === "copied") this.#copied += 1;
      else this.#present += 1;
    } catch (error) {
      // The process stops, or the job is somebody else's: that is no fault of what was being copied.
      this.#job.signal.throwIfAborted();
      if (this.#over !== undefined) throw this.#over;
      if (error instanceof ServerError && error.code === "job-lease-lost") throw error;
      this.#failed += 1;
      this.#problem ??= `${what}: ${inWords(error)}`.slice(0, MIRROR_LIMITS.problemLength);
      if (!(error instanceof UpstreamBusy) || !this.#place.oneRegistry) return;
      // It wants to be asked nothing more for a while, and so it is.
      this.#job.notBefore(error.restMs);
      throw error;
    }
  }

  /** Writes down that it has begun. */
  begin(): Promise<void> {
    return this.#write("running", undefined);
  }

  /**
   * Writes down what came of it.
   *
   * @param covered the record's sequence up to which everything is brought over, if all went well; undefined: that did not change.
   * @throws ServerError `upstream-failed` when something could not be copied, or the rule it went by does not stand any more: the next goes by
   * the new one.
   */
  async end(covered: number | undefined): Promise<void> {
    await this.#requireRule();
    this.#at = null;
    if (this.#failed === 0) return await this.#write("done", covered);
    await this.#write("failed", undefined);
    throw new ServerError("upstream-failed", `${this.#failed} could not be copied; the first: ${this.#problem ?? ""}`);
  }

  /** Writes down that it could not even go through everything; nothing, when only this process stops, or the job is somebody else's. */
  async broke(error: unknown): Promise<void> {
    if (this.#job.signal.aborted) return;
    // What asked to be left alone was counted with what was being copied, if anything was.
    if (!(error instanceof UpstreamBusy) || this.#failed === 0) this.#failed += 1;
    this.#problem ??= inWords(error).slice(0, MIRROR_LIMITS.problemLength);
    await this.#write("failed", undefined);
  }

  async #write(state: "running" | "done" | "failed", covered: number | undefined): Promise<void> {
    this.#written = performance.now();
    const { org, subject, started, rule } = this.#place;
    await this.#record.operate("mirrors.ran", {
      org,
      subject,
      started,
      state,
      copied: this.#copied,
      present: this.#present,
      failed: this.#failed,
      at: this.#at,
      problem: this.#problem,
      ...(covered === undefined ? {} : { covered }),
      ...(rule === undefined ? {} : { rule: { name: rule.name, setting: rule.setting } }),
    });
  }
}

/** What went wrong, and what to do about it. It may say what another registry said: the character that PostgreSQL cannot hold is left out. */
function inWords(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const hint = error instanceof ServerError ? error.hint : undefined;
  return (hint === undefined ? error.message : `${error.message}: ${hint}`).replaceAll("\0", "");
}
