import type { FastifyInstance } from "fastify";
import { z } from "zod";
import { type Authenticator, requireActor } from "./access/authenticate.ts";
import { Problem } from "./http/problem.ts";
import type { Admission } from "./admission.ts";
import type { LogProver } from "./log/prover.ts";
import type { RecordClient } from "./record/client.ts";
import type { WitnessAlarm } from "./witness/rounds.ts";
import type { Metrics } from "./signals/metrics.ts";

export interface HealthContext {
  readonly record: RecordClient;
  readonly prover: LogProver;
  readonly metrics: Metrics;
  readonly authenticator: Authenticator;
  readonly admission: Pick<Admission, "disk" | "draining">;
  readonly metricsHere: boolean;
  /** What is wrong with the witnessing of the log; undefined when nobody is asked. */
  readonly witnesses: (() => Promise<WitnessAlarm>) | undefined;
}

/** How long a readiness probe waits for the writer, ms. */
const PROBE_TIMEOUT = 2_000;

/** What the writer answers to `record.ping`. */
const pong = z.object({ publication: z.object({ since: z.number(), problem: z.string() }).nullable() });

/**
 * Asks the writer for a sign of life. Anybody may probe: however many do at once, one question waits in its queue.
 *
 * @returns of the probe: undefined when nothing came in time.
 */
function writerProbe(record: RecordClient): () => Promise<z.output<typeof pong> | undefined> {
  type Pong = z.output<typeof pong> | undefined;
  let asking: Promise<Pong> | undefined;
  return async () => {
    asking ??= record
      .operate("record.ping", {})
      .then(
        (answer) => pong.parse(answer),
        () => undefined,
      )
      .finally(() => {
        asking = undefined;
      });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<Pong>((resolve) => {
      timer = setTimeout(() => resolve(undefined), PROBE_TIMEOUT).unref();
    });
    return await Promise.race([asking, late]).finally(() => clearTimeout(timer));
  };
}

/** What is wrong with the witnesses, in words: a reason to look, none to take this server out of service. */
async function witnessTrouble(alarm: HealthContext["witnesses"]): Promise<string | undefined> {
  if (alarm === undefined) return undefined;
  try {
    const { lateSince, contradicted } = await alarm();
    if (contradicted.length > 0) return `contradicted by ${contradicted.join(", ")}`;
    return lateSince === undefined ? undefined : `no quorum since ${new Date(lateSince).toISOString()}`;
  } catch {
    // The database does not answer: the other checks say so.
    return "unknown";
  }
}

/** Health: `/healthz` says the process runs, `/readyz` that it can write and read and will go on to; `/metrics` for Prometheus. */
export function registerHealthRoutes(app: FastifyInstance, context: HealthContext): void {
  app.get("/healthz", async () => ({ status: "ok" }));

  const writerAnswers = writerProbe(context.record);
  const look = async () => {
    const writer = await writerAnswers();
    const late = writer?.publication ?? undefined;
    const size = await context.prover.size().catch(() => undefined);
    const { disk, draining } = context.admission;
    const ready = writer !== undefined && late === undefined && size !== undefined && !disk.low && !draining;
    return { writer, late, size, disk, draining, ready };
  };
  context.metrics.observeHealth(async () => {
    const { ready, size, late } = await look();
    return { ready, published: size, lateSince: late?.since };
  });

  let told: number | undefined;
  app.get("/readyz", async (request, reply) => {
    const { writer, late, size, disk, draining, ready } = await look();
    // The reason may name paths: it is for the log, once, and not for whoever asks.
    if (late !== undefined && late.since !== told) {
      request.log.error({ since: new Date(late.since), problem: late.problem }, "the log cannot be published");
    }
    told = late?.since;
    const witnesses = await witnessTrouble(context.witnesses);
    return reply.code(ready ? 200 : 503).send({
      status: ready ? (witnesses === undefined ? "ready" : "degraded") : draining ? "draining" : "not ready",
      checks: {
        writer: writer === undefined ? "does not answer" : "ok",
        publication: late === undefined ? "ok" : `failing since ${new Date(late.since).toISOString()}`,
        log: size === undefined ? "no readable checkpoint" : "ok",
        disk: disk.problem === undefined ? "ok" : `low: ${disk.problem}`,
        ...(context.witnesses === undefined ? {} : { witnesses: witnesses ?? "ok" }),
      },
    });
  });

  if (!context.metricsHere) return;
  app.get("/metrics", async (request, reply) => {
    const actor = await requireActor(context.authenticator, request);
    if (actor.id !== "admin")
      throw new Problem(403, "forbidden", "metrics are for the bootstrap admin", {
        hint: "give metrics a port of their own with ASSAY_METRICS_LISTEN",
      });
    return reply.type(context.metrics.registry.contentType).send(await context.metrics.registry.metrics());
  });
}
