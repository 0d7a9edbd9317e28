import type { FastifyInstance } from "fastify";
import { type Authenticator, requireActor } from "./access/authenticate.ts";
import { Problem } from "./http/problem.ts";
import type { LogProver } from "./log/prover.ts";
import type { RecordClient } from "./record/client.ts";
import type { Metrics } from "./signals/metrics.ts";

export interface HealthContext {
  readonly record: RecordClient;
  readonly prover: LogProver;
  readonly metrics: Metrics;
  readonly authenticator: Authenticator;
  readonly metricsHere: boolean;
}

/** How long a readiness probe waits for the writer, ms. */
const PROBE_TIMEOUT = 2_000;

/** Asks the writer for a sign of life. Anybody may probe: however many do at once, one question waits in its queue. */
function writerProbe(record: RecordClient): () => Promise<boolean> {
  let asking: Promise<boolean> | undefined;
  return async () => {
    asking ??= record
      .operate("record.ping", {})
      .then(
        () => true,
        () => false,
      )
      .finally(() => {
        asking = undefined;
      });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), PROBE_TIMEOUT).unref();
    });
    return await Promise.race([asking, late]).finally(() => clearTimeout(timer));
  };
}

/** Health: `/healthz` says the process runs, `/readyz` that it can write and read; `/metrics` for Prometheus. */
export function registerHealthRoutes(app: FastifyInstance, context: HealthContext): void {
  app.get("/healthz", async () => ({ status: "ok" }));

  const writerAnswers = writerProbe(context.record);
  app.get("/readyz", async (_request, reply) => {
    const writer = await writerAnswers();
    const size = await context.prover.size().catch(() => undefined);
    const ready = writer && size !== undefined;
    context.metrics.ready(ready);
    if (size !== undefined) context.metrics.logSize(size);
    return reply.code(ready ? 200 : 503).send({
      status: ready ? "ready" : "not ready",
      checks: { writer: writer ? "ok" : "does not answer", log: size === undefined ? "no readable checkpoint" : "ok" },
    });
  });

  if (!context.metricsHere) return;
  app.get("/metrics", async (request, reply) => {
    const actor = await requireActor(context.authenticator, request);
    if (actor.id !== "admin")
      throw new Problem(403, "forbidden", "metrics are for the bootstrap admin", {
        hint: "give metrics a port of their own with ASSAY_METRICS_LISTEN",
      });
    const size = await context.prover.size();
    if (size !== undefined) context.metrics.logSize(size);
    return reply.type(context.metrics.registry.contentType).send(await context.metrics.registry.metrics());
  });
}
