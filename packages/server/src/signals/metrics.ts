import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";

/** Buckets of durations, seconds: from a cached read to a large upload. */
const DURATION_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** The server's metrics. Rooms and doors tell them what happened; nothing asks them anything. */
export class Metrics {
  readonly registry = new Registry();
  readonly #requests: Histogram<"method" | "route" | "status">;
  readonly #appends: Counter<"outcome">;
  readonly #logSize: Gauge;
  readonly #ready: Gauge;

  constructor() {
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
    this.#logSize = new Gauge({
      name: "assay_log_published_entries",
      help: "Entries under the newest published checkpoint of the record's log",
      registers: [this.registry],
    });
    this.#ready = new Gauge({
      name: "assay_ready",
      help: "1 while the server can read and write",
      registers: [this.registry],
    });
  }

  request(method: string, route: string, status: number, seconds: number): void {
    this.#requests.observe({ method, route, status: String(status) }, seconds);
  }

  append(outcome: "accepted" | "refused" | "failed"): void {
    this.#appends.inc({ outcome });
  }

  logSize(entries: number): void {
    this.#logSize.set(entries);
  }

  ready(ready: boolean): void {
    this.#ready.set(ready ? 1 : 0);
  }
}
