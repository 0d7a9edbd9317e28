import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { Crypto, Digest } from "@assay/evidence";
import swagger from "@fastify/swagger";
import Fastify, {
  type FastifyBaseLogger,
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  LogController,
} from "fastify";
import {
  hasZodFastifySchemaValidationErrors,
  jsonSchemaTransform,
  serializerCompiler,
  validatorCompiler,
} from "fastify-type-provider-zod";
import type { Logger } from "pino";
import type { Admission } from "./admission.ts";
import { Authenticator, countBootstrapUses, countDenials, requireActor } from "./access/authenticate.ts";
import { registerExchangeRoute } from "./access/exchange-routes.ts";
import { OutsideIssuers } from "./access/outside-issuers.ts";
import { registerAccessRoutes } from "./access/routes.ts";
import { registerTokenRoutes } from "./access/token-routes.ts";
import { lastBackup } from "./backup/last-backup.ts";
import { evidenceCarried } from "./attestations/carrying.ts";
import { evidenceCompanions } from "./attestations/companions.ts";
import { registerAttestationsRoutes } from "./attestations/routes.ts";
import { registerRecordRoutes } from "./audit/record-routes.ts";
import type { Keeps } from "./collection/commands.ts";
import { registerCollectionRoutes } from "./collection/routes.ts";
import { ServerError } from "./errors.ts";
import type { GateContext } from "./gate/context.ts";
import { PullGates } from "./gate/pull-gate.ts";
import { RepeatCounter } from "./gate/repeat-counter.ts";
import { registerGateRoutes } from "./gate/routes.ts";
import { registerHealthRoutes } from "./health.ts";
import { Problem, problemBody } from "./http/problem.ts";
import { SCRUB_LIMITS } from "./integrity/limits.ts";
import { recallChecks, recallScrub } from "./integrity/memory.ts";
import { registerIntegrityRoutes } from "./integrity/routes.ts";
import { Scrub } from "./integrity/scrub.ts";
import type { Keyring } from "./keys/keyring.ts";
import { LogProver } from "./log/prover.ts";
import { readIfThere } from "./storage/durable.ts";
import { composeWitnesses, NO_WITNESSES, type WitnessSettings } from "./witness-composition.ts";
import { registerWitnessDoor } from "./witness/door.ts";
import { witnessedCheckpointPath } from "./log/check.ts";
import { registerWitnessStatusRoute } from "./witness/status-route.ts";
import { registerLogRoutes } from "./log/routes.ts";
import { composeJobs } from "./jobs-composition.ts";
import type { MirrorsContext } from "./mirrors/bring.ts";
import { Mirrors } from "./mirrors/pull-through.ts";
import { mirrorPushRule } from "./mirrors/push-rule.ts";
import { ReplicationWatch } from "./mirrors/replication-watch.ts";
import { registerMirrorRoutes } from "./mirrors/routes.ts";
import { countJobs } from "./jobs/queries.ts";
import { registerJobRoutes } from "./jobs/routes.ts";
import { JobRunner } from "./jobs/runner.ts";
import { authorize } from "./access/authorize.ts";
import { type Actor, SYSTEM_ORG } from "./record/command.ts";
import type { RecordClient } from "./record/client.ts";
import { RECORD_LOG, recordLogDirectory } from "./record/open.ts";
import { logsDirectory, successions } from "./record/succession.ts";
import { RecordProver } from "./record/prover.ts";
import { retryAfter } from "./pressure/refusals.ts";
import { UnreadableRequests } from "./pressure/unreadable-requests.ts";
import { registerArtifactRoutes } from "./registry/artifact-routes.ts";
import { registerDeletionRoutes } from "./registry/deletion-routes.ts";
import { answerFrameworkError } from "./registry/errors.ts";
import { deletedGraceMs } from "./registry/grace.ts";
import { lingerOver } from "./registry/incoming.ts";
import { artifactSize } from "./registry/queries.ts";
import { isPublic, nextPublicOrganisation } from "./registry/repository-queries.ts";
import { registerRenameRoute } from "./registry/rename-routes.ts";
import { registerQuotaRoutes } from "./registry/quota-routes.ts";
import { registerRepositoryRoutes } from "./registry/repository-routes.ts";
import type { InUse } from "./registry/retention-plan.ts";
import { registerRetentionRoutes } from "./registry/retention-routes.ts";
import { registerRegistryRoutes } from "./registry/routes.ts";
import type { AccessLog } from "./signals/access-log.ts";
import type { Metrics } from "./signals/metrics.ts";
import { OperationMetrics } from "./signals/operation-metrics.ts";
import { type Asker, watchRequests } from "./signals/requests.ts";
import { traced, type Tracing } from "./signals/tracing.ts";
import type { BlobStore } from "./storage/blobs.ts";
import { translateDiskError } from "./storage/disk-errors.ts";
import type { Reader } from "./storage/database.ts";
import { registerTrustRoutes } from "./trust/routes.ts";
import { registerWebhookRoutes } from "./webhooks/routes.ts";
import { WebhookWatch } from "./webhooks/watch.ts";
import { composeParts } from "./composition.ts";
import { decodeEnvelope, liftEvent } from "./record/event.ts";
import type { Lift } from "./webhooks/scan.ts";

/** Bodies of JSON doors: a policy's text with every character escaped. Routes that take more say so; blob routes stream. */
const BODY_LIMIT = 2 * 1024 * 1024;

/** How long a client may take to agree on TLS, ms. */
const TLS_HANDSHAKE_MS = 20_000;

/** How long jobs under way get to end when the process stops, ms, before they are handed back. */
const JOBS_GRACE_MS = 3_000;

/** Everything a process that answers HTTP is composed of. */
export interface AppOptions {
  readonly publicUrl: string;
  readonly dataDirectory: string;
  readonly adminToken: string;
  readonly defaultOrg: string;
  readonly version: string;
  readonly reader: Reader;
  readonly record: RecordClient;
  readonly blobs: BlobStore;
  readonly keyring: Keyring;
  readonly crypto: Crypto;
  readonly metrics: Metrics;
  readonly logger: Logger;
  /** What this process takes up at all. */
  readonly admission: Admission;
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  /** Bytes per second of the background scrub; 0 is off. */
  readonly scrubRate: number;
  /** Who witnesses our log, and whose logs we witness; nobody, when absent. */
  readonly witnesses?: WitnessSettings & { readonly urls: readonly string[] };
  /** Whose identity tokens are exchanged for ours (OpenID Connect issuers), as their tokens spell them; nobody's, when absent. */
  readonly oidcIssuers?: readonly string[] | undefined;
  /** Hosts this server may ask although they have private addresses. */
  readonly egressPrivate?: readonly string[] | undefined;
  /** Take manifests that name what their repository does not have; false when absent. */
  readonly sparseManifests?: boolean | undefined;
  /** Pulls of blobs are sent to the store itself, where it can. */
  readonly blobRedirects?: boolean | undefined;
  /** How long what was deleted is kept and can come back, ms; the default (registry/grace.ts) when absent. */
  readonly deletedGraceMs?: number | undefined;
  /** How long a pushed blob waits for its manifest, ms; a day when absent, and at most. */
  readonly blobLeaseMs?: number | undefined;
  /** Serve /metrics here, to the bootstrap admin; false when it has a port of its own. */
  readonly metricsHere: boolean;
  /** Who is told of each request besides the metrics; nobody, when absent. */
  readonly accessLog?: AccessLog | undefined;
  readonly tracing?: Tracing | undefined;
}

/** The HTTP application and what must be told when it ends. */
export interface App {
  readonly server: FastifyInstance;
  /** Every route of the application: method and pattern. */
  readonly routes: readonly { readonly method: string; readonly url: string }[];
  /** Starts this process's share of the background work; returns what ends it and hands back what is under way. */
  maintain(): () => Promise<void>;
  /** Flushes what is counted in memory. Called after the last request. */
  flush(): Promise<void>;
}

/** Who asked, for the signals. */
function askerOf(authenticator: Authenticator, { headers }: FastifyRequest): Asker {
  const credential = authenticator.actorOf(headers)?.credential;
  return {
    actor: authenticator.identityOf(headers),
    credential: credential?.kind,
    credentialId: credential?.id,
    workload: credential?.workload?.name,
  };
}

/** A record client whose appends are counted, and told of: `appended` hears of whose record went on. */
function measured(
  record: RecordClient,
  { metrics, tracing }: Pick<AppOptions, "metrics" | "tracing">,
  appended: (orgs: ReadonlySet<string>) => void,
): RecordClient {
  return {
    async append(commands) {
      const types = [...new Set([commands].flat().map(({ type }) => type))].join(" ");
      const span = { kind: "internal", name: "record.append", attributes: { "assay.commands": types } } as const;
      try {
        const answer = await traced(tracing, span, () => record.append(commands));
        metrics.append(answer.ok ? "accepted" : "refused");
        if (answer.ok && answer.receipts.length > 0) appended(new Set([commands].flat().map(({ org }) => org)));
        return answer;
      } catch (error) {
        metrics.append("failed");
        throw error;
      }
    },
    operate: (type, body) => record.operate(type, body),
    stamp: record.stamp,
  };
}

/** Any error of a route as a problem of the own API: known ones keep their code, others reveal nothing. */
export function toProblem(thrown: unknown): Problem {
  const error = translateDiskError(thrown);
  if (error instanceof Problem) return error;
  if (hasZodFastifySchemaValidationErrors(error)) {
    const places = error.validation.map((issue) => `${issue.instancePath || "/"}: ${issue.message ?? "is wrong"}`);
    return new Problem(400, "request-invalid", places.join("; "));
  }
  if (error instanceof ServerError) {
    const seconds = retryAfter(error);
    if (seconds !== undefined) {
      return new Problem(503, error.code, error.message, {
        ...(error.hint === undefined ? {} : { hint: error.hint }),
        headers: { "retry-after": String(seconds) },
        cause: error,
      });
    }
    switch (error.code) {
      case "writer-overloaded":
      case "writer-stopped":
      case "database-unavailable":
      case "database-busy":
      case "blobs-unavailable":
      case "storage-failed":
        return new Problem(503, error.code, error.message, {
          hint: error.hint ?? "try again in a moment",
          headers: { "retry-after": "1" },
          cause: error,
        });
      case "log-behind-checkpoint":
        // This is for a person to mend: nothing that invites a client to send it again.
        return new Problem(503, error.code, error.message, {
          ...(error.hint === undefined ? {} : { hint: error.hint }),
          cause: error,
        });
      case "write-unconfirmed":
      case "receipt-unavailable":
        // Nothing that invites a client to send it again by itself: whether it was recorded is not known, or it was.
        return new Problem(500, error.code, error.message, {
          ...(error.hint === undefined ? {} : { hint: error.hint }),
          cause: error,
        });
      case "command-invalid":
      case "event-too-large":
      case "text-invalid":
        return new Problem(400, error.code, error.message, {
          ...(error.hint === undefined ? {} : { hint: error.hint }),
          cause: error,
        });
      default:
        return new Problem(500, "internal", "the server could not do this; its log says why", { cause: error });
    }
  }
  const status = (error as Partial<FastifyError>).statusCode;
  if (status !== undefined && status >= 400 && status < 500 && error instanceof Error) {
    const code = (error as Partial<FastifyError>).code ?? "request-invalid";
    return new Problem(status, code.toLowerCase().replaceAll("_", "-"), error.message, { cause: error });
  }
  return new Problem(500, "internal", "the server could not do this; its log says why", { cause: error });
}

function answerProblem(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const problem = toProblem(error);
  if (problem.status >= 500 && retryAfter(error) === undefined) request.log.error({ err: error }, "request failed");
  return reply.code(problem.status).headers(problem.headers).send(problemBody(problem));
}

/** Composes the rooms into one HTTP application. */
export async function createApp(options: AppOptions): Promise<App> {
  const { reader, blobs, keyring, metrics, publicUrl } = options;
  const parts = composeParts();
  const { events } = parts;
  const graceMs = options.deletedGraceMs ?? deletedGraceMs;
  // What runs somewhere will be asked here; until environments are kept, rules alone say what goes.
  const inUse: InUse = async () => new Map();
  const keeps: Keeps = (among, digests, at) => parts.keeps(among, digests, at);
  const lift: Lift = ({ sequence, type, bytes }) => liftEvent(sequence, decodeEnvelope(bytes), events.get(type));
  const watch = new WebhookWatch({
    reader,
    record: options.record,
    lift,
    wake: () => runner.wake(),
    log: options.logger,
  });
  const replications = new ReplicationWatch({
    reader,
    record: options.record,
    wake: () => runner.wake(),
    now: Date.now,
    log: options.logger,
  });
  const record = measured(options.record, options, (orgs) => {
    watch.appended(orgs);
    replications.appended(orgs);
  });
  const authenticator = new Authenticator({ reader, record, keyring, publicUrl, adminToken: options.adminToken });
  const unreadable = new UnreadableRequests(options.logger, (reason) => metrics.unreadable(reason));
  const server: FastifyInstance = Fastify({
    loggerInstance: options.logger as FastifyBaseLogger,
    genReqId: () => randomUUID(),
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: BODY_LIMIT,
    // A slow client may take long over a large layer; a connection that says nothing may not.
    requestTimeout: 0,
    connectionTimeout: 120_000,
    keepAliveTimeout: 65_000,
    clientErrorHandler: (error, socket) => unreadable.end(error, socket),
    routerOptions: { maxParamLength: 1024, ignoreTrailingSlash: false },
    // A URL that no router can read never reaches a door; it is answered in the form of the door it was meant for.
    frameworkErrors: (error, request, reply) => {
      const answer = reply as unknown as FastifyReply;
      if (/^\/v2(\/|$|\?)/.test(request.raw.url ?? "")) answerFrameworkError(error, answer);
      else void answerProblem(error, request as unknown as FastifyRequest, answer);
    },
    // What comes over an open connection while the process stops is served like anything else, with Connection: close.
    return503OnClosing: false,
    onProtoPoisoning: "error",
    onConstructorPoisoning: "error",
    ...(options.tls === undefined ? {} : { https: { ...options.tls, handshakeTimeout: TLS_HANDSHAKE_MS } }),
  });
  const routes: { method: string; url: string }[] = [];
  server.addHook("onRoute", ({ method, url }) => {
    for (const name of [method].flat()) routes.push({ method: name, url });
  });
  // The own API takes JSON and nothing else; text would reach the schemas as a string.
  server.removeContentTypeParser("text/plain");
  server.setValidatorCompiler(validatorCompiler);
  server.setSerializerCompiler(serializerCompiler);
  server.setErrorHandler(answerProblem);
  server.setNotFoundHandler((request, reply) =>
    answerProblem(
      new Problem(404, "route-unknown", `there is nothing at ${request.method} ${request.url}`),
      request,
      reply,
    ),
  );
  watchRequests(server, {
    metrics: new OperationMetrics(metrics.registry),
    accessLog: options.accessLog,
    tracing: options.tracing,
    askerOf: (request) => askerOf(authenticator, request),
    host: new URL(publicUrl).host,
  });
  options.admission.guard(server);
  server.addHook("onResponse", (request, reply, done) => {
    const route = request.routeOptions.url ?? "unknown";
    metrics.request(request.method, route, reply.statusCode, reply.elapsedTime / 1000);
    request.log.debug({ method: request.method, route, status: reply.statusCode, ms: reply.elapsedTime }, "request");
    done();
  });

  await server.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "Assay",
        description: "A system of record for artifact integrity: artifacts, evidence, record, decisions.",
        version: options.version,
        license: { name: "Apache-2.0", identifier: "Apache-2.0" },
      },
      servers: [{ url: publicUrl }],
      components: {
        securitySchemes: {
          token: { type: "http", scheme: "bearer", description: "the admin token or an API key" },
          basic: {
            type: "http",
            scheme: "basic",
            description: "any user name with an API key, or admin with its token",
          },
        },
      },
      security: [{ token: [] }, { basic: [] }],
    },
    transform: jsonSchemaTransform,
  });

  const prover = await LogProver.open(reader, RECORD_LOG, recordLogDirectory(options.dataDirectory), options.crypto);
  const receipts = new RecordProver(reader, prover);
  const logs = [prover.vkey];
  countDenials(server, authenticator);
  countBootstrapUses(server, authenticator);
  const egress = { privatePlaces: new Set(options.egressPrivate ?? []) };
  const issuers = new OutsideIssuers(options.oidcIssuers ?? [], egress, Date.now);
  const { dataDirectory, scrubRate } = options;
  const scrub = new Scrub({
    dataDirectory,
    reader,
    blobs,
    crypto: options.crypto,
    rate: scrubRate,
    restMs: SCRUB_LIMITS.restMs,
    othersServed: () => options.admission.serving,
    log: options.logger,
    scrubbed: (bytes) => metrics.scrubbed(bytes),
  });
  metrics.observeScrub(async () => {
    const recalled = await recallScrub(dataDirectory);
    if (recalled.kind !== "there") return { findings: undefined, finished: undefined };
    const { findings, passes } = recalled.memory;
    return { findings: findings.length, finished: passes.at(-1)?.finished };
  });
  const seconds = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : ms / 1000);
  const checks = async () => {
    const recalled = await recallChecks(dataDirectory);
    return recalled.kind === "there" ? recalled.memory : undefined;
  };
  metrics.observe(
    "assay_check_findings",
    "Damaged things the last `assay server check` named; absent before the first",
    async () => (await checks())?.findings.length,
  );
  metrics.observe(
    "assay_check_last_timestamp_seconds",
    "When `assay server check` last ended; absent before the first",
    async () => seconds((await checks())?.passes.at(-1)?.finished),
  );
  metrics.observe(
    "assay_backup_last_timestamp_seconds",
    "When a backup of this data directory last ended well; absent before the first",
    async () => seconds(await lastBackup(dataDirectory)),
  );
  const sizeOf = (org: string, digest: Digest): Promise<number | undefined> => artifactSize(reader, org, digest);
  const companions = evidenceCompanions({ reader, blobs, artifactSize: sizeOf });
  const upstreams: MirrorsContext = {
    reader,
    record,
    blobs,
    keyring,
    egress,
    companions,
    pushRule: mirrorPushRule,
    mayGrow: () => options.admission.disk.goOn(),
    leaseMs: options.blobLeaseMs,
    now: Date.now,
    log: options.logger,
  };
  const mirrors = new Mirrors(upstreams);
  const sender = { keyring, egress, publicUrl, now: Date.now };
  const told = (outcome: "delivered" | "failed" | "dead"): void => metrics.webhook(outcome);
  const runner: JobRunner = new JobRunner({
    ...composeJobs({
      record,
      reader,
      blobs,
      scrub: scrubRate === 0 ? undefined : scrub,
      inUse,
      collection: { keeps, graceMs },
      webhooks: { reader, record, lift, sender, watch, told },
      tracing: options.tracing,
      mirrors: { ...upstreams, mirrors, origin: new URL(publicUrl).origin, watch: replications },
    }),
    record,
    reader,
    owner: `${hostname()}:${process.pid}`,
    log: options.logger,
  });
  metrics.observeJobs(() => countJobs(reader));
  const witnesses = await composeWitnesses({
    settings: options.witnesses ?? NO_WITNESSES,
    urls: [publicUrl, ...(options.witnesses?.urls ?? [])],
    prover,
    reader,
    record,
    keyring,
    crypto: options.crypto,
    metrics,
    logger: options.logger,
  });
  const { own: ownWitnesses } = witnesses;
  const judging: GateContext = {
    reader,
    record,
    blobs,
    artifactSize: sizeOf,
    keyring,
    publicUrl,
    prover: receipts,
    logs,
    now: Date.now,
  };
  const repeats = new RepeatCounter(record, (error) =>
    server.log.error({ err: error }, "repeats could not be counted"),
  );
  const pullGate = new PullGates(judging, repeats);

  await server.register(async (own) => {
    // Who sends a body is known before any of it is read: nobody else makes this process hold and parse megabytes.
    own.addHook("onRequest", async (request) => {
      if (request.method === "GET" || request.method === "HEAD") return;
      try {
        await requireActor(authenticator, request);
      } catch (error) {
        lingerOver(request.raw);
        throw error;
      }
    });
    registerAccessRoutes(own, { reader, record, authenticator, issuers });
    registerTrustRoutes(own, { reader, record, authenticator, logs });
    registerAttestationsRoutes(own, {
      reader,
      record,
      authenticator,
      blobs,
      artifactSize: sizeOf,
      prover: receipts,
      logs,
      publicUrl,
    });
    registerGateRoutes(own, { ...judging, authenticator, pullGate });
    registerWebhookRoutes(own, { reader, record, authenticator, sender, watch, wake: () => runner.wake() });
    registerMirrorRoutes(own, {
      reader,
      record,
      authenticator,
      keyring,
      changed: () => mirrors.changed(),
      wake: () => runner.wake(),
    });
    registerRecordRoutes(own, { reader, authenticator, prover: receipts });
    registerArtifactRoutes(own, { reader, authenticator });
    registerRepositoryRoutes(own, { reader, record, authenticator });
    registerQuotaRoutes(own, { reader, record, authenticator });
    registerRenameRoute(own, { reader, record, authenticator, carried: evidenceCarried });
    registerDeletionRoutes(own, { reader, record, authenticator, blobs, graceMs, now: Date.now });
    registerRetentionRoutes(own, { reader, record, authenticator, inUse });
    const administrator = async (request: FastifyRequest): Promise<Actor> => {
      const actor = await requireActor(authenticator, request);
      const refusal = await authorize(reader, actor, "jobs.administer", { org: SYSTEM_ORG });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      return actor;
    };
    registerJobRoutes(own, { reader, record, administrator, wake: () => runner.wake() });
    registerCollectionRoutes(own, { reader, record, administrator, wake: () => runner.wake() });
    registerIntegrityRoutes(own, {
      dataDirectory,
      administrator: async (request) => {
        const actor = await requireActor(authenticator, request);
        if (actor.id !== "admin") throw new Problem(403, "forbidden", "integrity is for the bootstrap admin");
      },
    });
    registerWitnessStatusRoute(own, {
      reader,
      prover,
      own: ownWitnesses,
      administrator: async (request) => {
        const actor = await requireActor(authenticator, request);
        if (actor.id !== "admin") throw new Problem(403, "forbidden", "witnesses are for the bootstrap admin");
      },
    });
    own.get("/openapi.json", { schema: { hide: true } }, async () => server.swagger());
  });
  registerExchangeRoute(server, { reader, record, authenticator, issuers });
  registerLogRoutes(server, {
    prover,
    witnessed: async () =>
      ownWitnesses === undefined ? undefined : await readIfThere(witnessedCheckpointPath(prover.files.directory)),
  });
  for (const { closed, previous } of await successions(reader)) {
    const directory = join(logsDirectory(options.dataDirectory), closed);
    registerLogRoutes(server, {
      prover: LogProver.ofFiles({ name: closed, ...previous, directory, crypto: options.crypto }),
      witnessed: () => readIfThere(witnessedCheckpointPath(directory)),
    });
  }
  await server.register(async (door) => registerWitnessDoor(door, witnesses.door));
  registerHealthRoutes(server, {
    record,
    prover,
    metrics,
    authenticator,
    admission: options.admission,
    metricsHere: options.metricsHere,
    witnesses: ownWitnesses === undefined ? undefined : () => ownWitnesses.rounds.alarm(),
  });
  await server.register(async (door) => {
    registerTokenRoutes(door, {
      reader,
      authenticator,
      defaultOrg: options.defaultOrg,
      everybodys: {
        isPublic: (repository) => isPublic(reader, repository),
        anyPublic: async () => (await nextPublicOrganisation(reader, "")) !== undefined,
      },
    });
  });
  await server.register(async (door) => {
    registerRegistryRoutes(door, {
      publicUrl,
      defaultOrg: options.defaultOrg,
      reader,
      record,
      blobs,
      authenticator,
      companions,
      gate: pullGate,
      pushRule: mirrorPushRule,
      through: mirrors,
      mayGrow: () => options.admission.disk.goOn(),
      sparseManifests: options.sparseManifests === true,
      blobRedirects: options.blobRedirects === true,
      ...(options.blobLeaseMs === undefined ? {} : { leaseMs: options.blobLeaseMs }),
    });
  });
  return {
    server,
    routes,
    maintain() {
      runner.start();
      watch.start();
      ownWitnesses?.rounds.start();
      return async () => {
        await Promise.all([runner.stop(JOBS_GRACE_MS), witnesses.stop(), watch.stop(), replications.stop()]);
      };
    },
    async flush() {
      await authenticator.flush();
      await repeats.flush();
    },
  };
}
