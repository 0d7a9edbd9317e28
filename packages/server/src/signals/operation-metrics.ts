import { Counter, Histogram, type Registry } from "prom-client";
import type { Outcome } from "./outcome.ts";

/** Seconds: from what memory answers to a large layer over a slow line. Few, because there is a row of them for every operation. */
const BUCKETS = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60];

/** Operations that are told apart at most: as many as there are routes and operations of the registry, and some to spare. */
const MOST_OPERATIONS = 400;

/**
 * What is done, how it ends, how long it takes and how many bytes it moves. Labels are names of operations and outcomes, never of
 * repositories, people or digests: how many series there are does not depend on what is stored, or on what anybody asks for.
 */
export class OperationMetrics {
  readonly #duration: Histogram<"operation" | "outcome">;
  readonly #bytes: Counter<"operation" | "direction">;
  readonly #known = new Set<string>();

  constructor(registry: Registry) {
    this.#duration = new Histogram({
      name: "assay_operation_duration_seconds",
      help: "Time from a request's arrival to the end of its connection's part, by what it did and how it ended",
      labelNames: ["operation", "outcome"],
      buckets: BUCKETS,
      registers: [registry],
    });
    this.#bytes = new Counter({
      name: "assay_operation_bytes_total",
      help: "Bytes that came (received) and went (sent) over connections, heads included, by operation",
      labelNames: ["operation", "direction"],
      registers: [registry],
    });
  }

  observe(ended: {
    readonly operation: string;
    readonly outcome: Outcome;
    readonly seconds: number;
    readonly received: number;
    readonly sent: number;
  }): void {
    const operation = this.#bounded(ended.operation);
    this.#duration.observe({ operation, outcome: ended.outcome }, ended.seconds);
    this.#bytes.inc({ operation, direction: "received" }, ended.received);
    this.#bytes.inc({ operation, direction: "sent" }, ended.sent);
  }

  #bounded(operation: string): string {
    if (this.#known.has(operation)) return operation;
    if (this.#known.size >= MOST_OPERATIONS) return "other";
    this.#known.add(operation);
    return operation;
  }
}
