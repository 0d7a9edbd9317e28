import { createServer } from "node:http";
import { join } from "node:path";
import { readFileSync } from "node:fs";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { nodeCrypto } from "@assay/evidence/node";
import type { Logger } from "pino";
import { defaultOrganisation } from "./access/queries.ts";
import { Admission } from "./admission.ts";
import { type App, createApp } from "./app.ts";
import { type Config, defaultPublicUrl } from "./config.ts";
import { ServerError } from "./errors.ts";
import { SCRUB_LIMITS } from "./integrity/limits.ts";
import { Keyring } from "./keys/keyring.ts";
import { MasterKey } from "./keys/master.ts";
import type { RecordClient } from "./record/client.ts";
import { keyDirectory } from "./record/open.ts";
import { letGoOfStart } from "./pressure/after-start.ts";
import { Connections } from "./pressure/connections.ts";
import { DiskWatch } from "./pressure/disk-watch.ts";
import { pressureLimits } from "./pressure/limits.ts";
import { MemoryBudget } from "./pressure/memory-budget.ts";
import { type AccessLog, openAccessLog } from "./signals/access-log.ts";
import { Metrics } from "./signals/metrics.ts";
import type { Tracing } from "./signals/tracing.ts";
import { selfSignedCertificate } from "./tls.ts";
import { openBlobs } from "./storage/open-blobs.ts";
import { openReader } from "./storage/open.ts";
import { NO_WITNESSES } from "./witness-composition.ts";

/** How long a stopping process still takes connections at least, ms. */
const LINGER_MS = 250;

/** The version of this program, from its package. */
export const VERSION = "0.1.0";

/** A running HTTP process. */
export interface Serving {
  readonly url: string;
  readonly app: App;
  /**
   * Says that it stops (`/readyz`, `Connection: close`), then takes no more connections, lets running requests end, and cuts what is left
   * after `graceMs`.
   */
  stop(graceMs: number): Promise<void>;
}

/** Opens everything an HTTP process needs and listens. The record is reached through `record`, whoever holds it. */
export async function serve(
  config: Config,
  adminToken: string,
  record: RecordClient,
  logger: Logger,
): Promise<Serving> {
  const master = MasterKey.choose(config.masterKey, config.dataDirectory, false);
  const reader = openReader(config);
  const metrics = new Metrics();
  const defaultOrg = await defaultOrganisation(reader);
  if (defaultOrg === undefined) throw new ServerError("internal", "the record has no default organisation");
  if (config.org !== undefined && config.org !== defaultOrg) {
    throw new ServerError(
      "config-invalid",
      `ASSAY_ORG is ${config.org}, but this record was founded with ${defaultOrg}`,
      {
        hint: `leave ASSAY_ORG out, or set it to ${defaultOrg}`,
      },
    );
  }
  const store = await openBlobs(config, logger);
  const publicUrl = config.publicUrl ?? defaultPublicUrl(config, config.listen.port);
  const limits = pressureLimits(config);
  const disk = new DiskWatch({ directory: config.dataDirectory, floor: limits.diskFloor, log: logger });
  await disk.start();
  const admission = new Admission({
    disk,
    memory: new MemoryBudget({ bodies: limits.bodies, process: limits.memory }),
    connections: new Connections(limits.connections),
    metrics,
    blobsOnDisk: config.s3 === undefined,
  });
  const { accessLog, tracing } = await openSignals(config, logger);
  const app = await createApp({
    publicUrl,
    dataDirectory: config.dataDirectory,
    adminToken,
    defaultOrg,
    sparseManifests: config.sparseManifests,
    blobRedirects: config.blobRedirects,
    deletedGraceMs: config.deletedGraceMs,
    version: VERSION,
    reader,
    record,
    blobs: store.blobs,
    keyring: Keyring.open(keyDirectory(config.dataDirectory), master),
    crypto: nodeCrypto,
    metrics,
    logger,
    admission,
    tls: await tlsMaterial(config),
    metricsHere: config.metricsListen === undefined,
    accessLog,
    tracing,
    oidcIssuers: config.oidcIssuers,
    egressPrivate: config.egressPrivate,
    scrubRate: config.scrubRate ?? SCRUB_LIMITS.rate,
    witnesses: {
      policy: config.witnessPolicy,
      logs: config.witnessLogs,
      lateMs: config.witnessLateMs ?? NO_WITNESSES.lateMs,
      urls: [defaultPublicUrl(config, config.listen.port)],
    },
  });
  try {
    await app.server.listen({ host: config.listen.host, port: config.listen.port });
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
    throw new ServerError("config-invalid", `cannot listen on ${config.listen.host}:${config.listen.port} (${code})`, {
      cause,
      hint:
        code === "EADDRINUSE"
          ? "another program listens there: stop it, or choose another port with ASSAY_LISTEN"
          : "choose an address of this machine and a port this user may open with ASSAY_LISTEN",
    });
  }
  const metricsServer =
    config.metricsListen === undefined ? undefined : await serveMetrics(config.metricsListen, metrics);
  await letGoOfStart();
  const stopMaintenance = app.maintain();
  const reopen = (): void => accessLog?.reopen();
  // Whoever moved the file away says so. Without an access log the signal ends the process, as it always did.
  if (accessLog !== undefined) process.on("SIGHUP", reopen);
  return {
    url: publicUrl,
    app,
    async stop(graceMs) {
      const jobsEnded = stopMaintenance();
      // Clients that are busy here learn from their answers to go elsewhere, and nothing they send meets a closed connection.
      admission.drain();
      await sleep(Math.max(config.drainGraceMs ?? 0, LINGER_MS));
      // A connection whose last answer went out while closing stays open and idle: it holds nothing up.
      const idle = setInterval(() => app.server.server.closeIdleConnections(), 100);
      const cut = setTimeout(() => app.server.server.closeAllConnections(), graceMs);
      await app.server.close();
      clearInterval(idle);
      clearTimeout(cut);
      metricsServer?.close();
      await jobsEnded;
      await app.flush();
      disk.stop();
      process.off("SIGHUP", reopen);
      accessLog?.close();
      await tracing?.stop();
      await store.close();
      await reader.close();
    },
  };
}

/** Who is told of requests besides the metrics, by the operator's settings. */
async function openSignals(
  config: Config,
  logger: Logger,
): Promise<{ readonly accessLog: AccessLog | undefined; readonly tracing: Tracing | undefined }> {
  const accessLog =
    config.accessLog === undefined
      ? undefined
      : openAccessLog(config.accessLog, (error) => logger.error({ err: error }, "the access log cannot be written"));
  if (config.collector === undefined) return { accessLog, tracing: undefined };
  // Loaded here and nowhere else: a server without a collector has nothing of it.
  const { startTracing } = await import("./signals/otel.ts");
  const tracing = await startTracing(config.collector, VERSION, (said) => logger.warn({ said }, "tracing"));
  return { accessLog, tracing };
}

async function tlsMaterial(config: Config): Promise<{ cert: string; key: string } | undefined> {
  if (config.tls === undefined) return undefined;
  if (config.tls.kind === "self-signed")
    return await selfSignedCertificate(join(config.dataDirectory, "tls"), config.listen.host);
  try {
    return { cert: readFileSync(config.tls.cert, "utf8"), key: readFileSync(config.tls.key, "utf8") };
  } catch (cause) {
    throw new ServerError("config-invalid", "the TLS certificate or key cannot be read", {
      cause,
      hint: "check ASSAY_TLS_CERT and ASSAY_TLS_KEY: PEM files this user can read",
    });
  }
}

async function serveMetrics(listen: { host: string; port: number }, metrics: Metrics): Promise<{ close(): void }> {
  const server = createServer((request, response) => {
    if (request.method !== "GET" || request.url !== "/metrics") {
      response.writeHead(404).end();
      return;
    }
    metrics.registry.metrics().then(
      (text) => response.writeHead(200, { "content-type": metrics.registry.contentType }).end(text),
      () => response.writeHead(500).end(),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(listen.port, listen.host, resolve);
  });
  return { close: () => server.close() };
}
