import { Gathering } from "../jobs/gathering.ts";
import { enqueueJob } from "../jobs/operations.ts";
import type { RecordClient } from "../record/client.ts";
import { referrersAfter, tagsSetAfter } from "../registry/queries.ts";
import type { Reader } from "../storage/database.ts";
import { MIRROR_LIMITS } from "./limits.ts";
import { allReplications, findRun, replicationsOnEvents, type ReplicationRow } from "./replication-queries.ts";
import { coveredBy, REPLICATE, replicationKey, replicationSubject } from "./replicate.ts";

/** What looks after replications need. */
export interface ReplicationWatchOptions {
  readonly reader: Reader;
  readonly record: Pick<RecordClient, "operate">;
  /** Tells the runner of this process that there is work. */
  readonly wake: () => void;
  readonly now: () => number;
  readonly log: { warn(detail: object, message: string): void };
}

/**
 * Makes the jobs of replications: as soon as something is pushed, where they go along with that, and when their time has come. It is told of
 * every append of this process; what one that died did not look at, the look at all of them finds, every minute.
 */
export class ReplicationWatch {
  readonly #options: ReplicationWatchOptions;
  readonly #gathering = new Gathering(MIRROR_LIMITS.gatherMs, (orgs) => this.#look(orgs));

  constructor(options: ReplicationWatchOptions) {
    this.#options = options;
  }

  /** Something was recorded of these organisations. */
  appended(orgs: Iterable<string>): void {
    this.#gathering.add(orgs);
  }

  /** Ends looking, and waits for a look under way. */
  async stop(): Promise<void> {
    await this.#gathering.stop();
  }

  /** Never rejects: the look at all replications comes again. */
  async #look(orgs: readonly string[]): Promise<void> {
    const { reader, log } = this.#options;
    try {
      for (const org of orgs) {
        for (const row of await replicationsOnEvents(reader, org)) await this.#goAlong(row);
      }
    } catch (error) {
      if (!this.#gathering.isStopped) log.warn({ err: error }, "what is to be replicated could not be looked up");
    }
  }

  /** Looks at every replication of every organisation. @param renew called as it gets on. */
  async lookAtAll(renew: () => Promise<void>): Promise<void> {
    const { reader, now } = this.#options;
    let after = { org: "", name: "" };
    for (;;) {
      const rows = await allReplications(reader, after, MIRROR_LIMITS.step);
      for (const row of rows) {
        after = { org: row.org, name: row.name };
        if (row.every_ms !== null) {
          const run = await findRun(reader, row.org, replicationSubject(row.name, true));
          // One that is still under way is joined.
          if (run === undefined || run.started + row.every_ms <= now()) await this.enqueue(row, true);
        }
        if (row.on_events === 1) await this.#goAlong(row);
      }
      if (rows.length < MIRROR_LIMITS.step) return;
      await renew();
    }
  }

  /** Whether anything that a replication may be about came since it was last through. */
  async #goAlong(row: ReplicationRow): Promise<void> {
    const { reader } = this.#options;
    const since = await coveredBy(reader, row.org, row.name);
    const tags = await tagsSetAfter(reader, row.org, since, 1);
    const about = tags.length > 0 ? tags : await referrersAfter(reader, row.org, since, 1);
    if (about.length > 0) await this.enqueue(row, false);
  }

  /** Makes a replication's job, or joins the one that waits or runs. @throws ServerError `jobs-overloaded`. */
  async enqueue({ org, name }: Pick<ReplicationRow, "org" | "name">, full: boolean): Promise<void> {
    await enqueueJob(this.#options.record, {
      kind: REPLICATE,
      key: replicationKey(org, name, full),
      lane: org,
      body: { org, name, full },
      maxAttempts: MIRROR_LIMITS.attempts,
    });
    this.#options.wake();
  }
}
