import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";

/** Buckets of durations, seconds: from a cached read to a large upload. */
const DURATION_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** The gauges of one scrape are collected together, and share one look. */
function sharedLook<T>(look: () => Promise<T>): () => Promise<T> {
  let looking: Promise<T> | undefined;
  return async () => {
    looking ??= look().finally(() => {
      looking = undefined;
    });
    return await looking;
  };
}

/** The server's metrics. Rooms and doors tell them what happened; nothing asks them anything. */
export class Metrics {
  readonly registry = new Registry();
  readonly #requests: Histogram<"method" | "route" | "status">;
  readonly #appends: Counter<"outcome">;
  readonly #witnessLate: Gauge;
  readonly #witnessContradicted: Gauge;
  readonly #witnessedSize: Gauge;
  readonly #refused: Counter<"reason">;
  readonly #webhooks: Counter<"outcome">;

  readonly #scrubbed: Counter;

  constructor() {
    this.#scrubbed = new Counter({
      name: "assay_scrub_bytes_total",
      help: "Bytes the background scrub has looked at in this process",
      registers: [this.registry],
    });
    collectDefaultMetrics({ register: this.registry });
    this.#requests = new Histogram({
      name: "http_server_request_duration_seconds",
      help: "Time from a request's arrival to the end of its answer",
      labelNames: ["method", "route", "status"],
      buckets: DURATION_BUCKETS,
      registers: [this.registry],
    });
    this.#appends = new Counter({
      name: "assay_record_appends_total",
      help: "Appends to the record by outcome: accepted, refused or failed",
      labelNames: ["outcome"],
      registers: [this.registry],
    });
    this.#refused = new Counter({
      name: "assay_requests_refused_total",
      help: "Requests not taken up, by reason: disk-low, memory-low, connections-full",
      labelNames: ["reason"],
      registers: [this.registry],
    });
    this.#webhooks = new Counter({
      name: "assay_webhook_attempts_total",
      help: "Messages to webhooks by outcome: delivered, failed (tried again) or dead",
      labelNames: ["outcome"],
      registers: [this.registry],
    });
    this.#witnessLate = new Gauge({
      name: "assay_witness_late",
      help: "1 while a published checkpoint has waited too long for a quorum of witnesses",
      registers: [this.registry],
    });
    this.#witnessContradicted = new Gauge({
      name: "assay_witness_contradicted",
      help: "Witnesses that have seen another history of the record's log, or more of it",
      registers: [this.registry],
    });
    this.#witnessedSize = new Gauge({
      name: "assay_log_witnessed_entries",
      help: "Entries under the newest checkpoint of the record's log that a quorum of witnesses cosigned",
      registers: [this.registry],
    });
  }

  request(method: string, route: string, status: number, seconds: number): void {
    this.#requests.observe({ method, route, status: String(status) }, seconds);
  }

  webhook(outcome: "delivered" | "failed" | "dead"): void {
    this.#webhooks.inc({ outcome });
  }

  append(outcome: "accepted" | "refused" | "failed"): void {
    this.#appends.inc({ outcome });
  }

  /** A number that is looked up at each scrape; not shown while it is undefined. */
  observe(name: string, help: string, look: () => Promise<number | undefined>): void {
    new Gauge({
      name,
      help,
      registers: [this.registry],
      async collect() {
        this.remove();
        const now = await look();
        if (now !== undefined) this.set(now);
      },
    });
  }

  /** How the server is at each scrape: an alarm must not depend on somebody asking `/readyz`. */
  observeHealth(
    ask: () => Promise<{
      readonly ready: boolean;
      /** Entries under the newest published checkpoint; undefined when it cannot be read. */
      readonly published: number | undefined;
      /** Since when publishing fails, ms; undefined while it does not, or when nobody knows. */
      readonly lateSince: number | undefined;
    }>,
  ): void {
    const look = sharedLook(ask);
    this.observe("assay_ready", "1 while the server can read and write", async () => ((await look()).ready ? 1 : 0));
    this.observe(
      "assay_log_published_entries",
      "Entries under the newest published checkpoint of the record's log",
      async () => (await look()).published,
    );
    this.observe("assay_log_late_seconds", "How long the log cannot be published; 0 while it can", async () => {
      const { lateSince } = await look();
      return lateSince === undefined ? 0 : Math.max(Date.now() - lateSince, 0) / 1000;
    });
  }

  /** What this process holds at each scrape. */
  observePressure(measure: {
    readonly diskFree: () => number | undefined;
    readonly diskLow: () => boolean;
    readonly bodies: () => number;
    readonly connections: () => number;
    readonly requests: () => number;
  }): void {
    const gauge = (name: string, help: string, value: () => number | undefined): void => {
      new Gauge({
        name,
        help,
        registers: [this.registry],
        collect() {
          const now = value();
          if (now === undefined) this.remove();
          else this.set(now);
        },
      });
    };
    gauge("assay_disk_free_bytes", "Free space of the data directory", measure.diskFree);
    gauge("assay_disk_low", "1 while writes are refused because the disk is low", () => (measure.diskLow() ? 1 : 0));
    gauge("assay_bodies_bytes", "Memory set aside for the bodies of requests under way", measure.bodies);
    gauge("assay_connections", "Open connections", measure.connections);
    gauge("assay_requests_under_way", "Requests begun and not ended", measure.requests);
  }

  /** A request that was not taken up, with the error that says why. */
  refused(error: unknown): void {
    this.#refused.inc({ reason: error instanceof Error && "code" in error ? String(error.code) : "internal" });
  }

  /** Bytes on a connection that were no request. */
  unreadable(reason: string): void {
    this.#refused.inc({ reason });
  }

  scrubbed(bytes: number): void {
    this.#scrubbed.inc(bytes);
  }

  /** The background scrub as it is at each scrape. Processes of one data directory tell the same: take their maximum, not their sum. */
  observeScrub(
    look: () => Promise<{
      /** Undefined when nothing is remembered, or what is remembered is damaged: no number would be true. */
      readonly findings: number | undefined;
      /** When the last round ended, ms; undefined before the first. */
      readonly finished: number | undefined;
    }>,
  ): void {
    new Gauge({
      name: "assay_scrub_findings",
      help: "Damaged things the background scrub knows of; absent before its first turn",
      registers: [this.registry],
      async collect() {
        this.remove();
        const { findings } = await look();
        if (findings !== undefined) this.set(findings);
      },
    });
    new Gauge({
      name: "assay_scrub_last_round_timestamp_seconds",
      help: "When the background scrub last ended a round; absent before the first",
      registers: [this.registry],
      async collect() {
        this.remove();
        const { finished } = await look();
        if (finished !== undefined) this.set(finished / 1000);
      },
    });
  }

  /**
   * The queue as it is at each scrape. Every process tells the same numbers of the one queue: take their maximum, not their sum.
   */
  observeJobs(
    count: () => Promise<{
      readonly counts: readonly { readonly state: string; readonly kind: string; readonly count: number }[];
      readonly oldest: number | undefined;
    }>,
  ): void {
    const counted = sharedLook(count);
    // What cannot be counted is not shown: an old number would look like a good one.
    const look = (): Promise<Awaited<ReturnType<typeof count>> | undefined> => counted().catch(() => undefined);
    new Gauge({
      name: "assay_jobs",
      help: "Jobs by state and kind",
      labelNames: ["state", "kind"],
      registers: [this.registry],
      async collect() {
        this.reset();
        for (const { state, kind, count } of (await look())?.counts ?? []) this.set({ state, kind }, count);
      },
    });
    new Gauge({
      name: "assay_jobs_dead",
      help: "Jobs that failed for good and wait for the operator",
      registers: [this.registry],
      async collect() {
        this.remove();
        const queue = await look();
        if (queue === undefined) return;
        const dead = queue.counts.filter(({ state }) => state === "dead");
        this.set(dead.reduce((sum, { count }) => sum + count, 0));
      },
    });
    new Gauge({
      name: "assay_jobs_oldest_waiting_seconds",
      help: "How long the job that has waited longest could have been running",
      registers: [this.registry],
      async collect() {
        this.remove();
        const queue = await look();
        if (queue === undefined) return;
        this.set(queue.oldest === undefined ? 0 : Math.max(Date.now() - queue.oldest, 0) / 1000);
      },
    });
  }

  witnesses(state: { readonly late: boolean; readonly contradicted: number; readonly witnessed: number }): void {
    this.#witnessLate.set(state.late ? 1 : 0);
    this.#witnessContradicted.set(state.contradicted);
    this.#witnessedSize.set(state.witnessed);
  }
}
