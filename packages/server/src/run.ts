import cluster, { type Worker } from "node:cluster";
import process from "node:process";
import { pino, destination, type Logger } from "pino";
import { adminToken, type Config, prepareDataDirectory, readConfig, settingsHelp } from "./config.ts";
import { ServerError, type ServerErrorCode } from "./errors.ts";
import { SYSTEM_ACTOR, SYSTEM_ORG } from "./record/command.ts";
import { answerRequest, ChannelClient, type WriterAnswer, type WriterRequest } from "./record/port.ts";
import { releaseUploadClaims } from "./registry/maintenance.ts";
import { serve, type Serving, VERSION } from "./serve.ts";
import { translateDiskError } from "./storage/disk-errors.ts";
import { writeDurable } from "./storage/durable.ts";
import { lockPlace } from "./storage/open.ts";
import { startWriterThread, type WriterThread } from "./writer-thread.ts";

/** From the end of ASSAY_DRAIN_GRACE to the end of the process, ms: running requests get most of it, the writer's last batch the rest. */
const DRAIN_MS = 7_000;
const STOP_MS = 9_500;

/** What an HTTP process of several is told by its parent. */
interface WorkerStart {
  readonly kind: "start";
  readonly config: Config;
  readonly adminToken: string;
}

/** Why an HTTP process of several could not start: what a single one would have said itself. */
interface StartFailed {
  readonly kind: "failed";
  readonly code: ServerErrorCode;
  readonly message: string;
  readonly hint?: string;
}

function makeLogger(config: Config): Logger {
  // People read standard output; machines read the log on standard error.
  return pino(
    {
      level: config.logLevel,
      base: { service: "assay" },
      redact: ["req.headers.authorization", "headers.authorization"],
    },
    destination({ dest: 2, sync: false }),
  );
}

/** Ends the process with an error a person can act on. */
function fail(thrown: unknown): never {
  const error = translateDiskError(thrown);
  if (error instanceof ServerError) {
    process.stderr.write(`assay: ${error.message} [${error.code}]\n`);
    if (error.hint !== undefined) process.stderr.write(`  ${error.hint}\n`);
  } else {
    process.stderr.write(`assay: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  }
  // As the command line's codes have it: 2 wrong usage, 3 could not be done.
  process.exit(error instanceof ServerError && error.code === "config-invalid" ? 2 : 3);
}

/** Runs the server until it is told to stop. */
export async function run(): Promise<void> {
  try {
    if (cluster.isWorker) await runWorker();
    else await runPrimary();
  } catch (error) {
    fail(error);
  }
}

async function runPrimary(): Promise<void> {
  if (process.argv.includes("--help") || process.argv.includes("-h")) {
    process.stdout.write(
      `Assay ${VERSION}: a system of record for artifact integrity\n\nSettings, as flags or environment variables (docs/operations.md says what each means):\n${settingsHelp()}\n`,
    );
    return;
  }
  const config = readConfig(process.env, process.argv.slice(2));
  prepareDataDirectory(config.dataDirectory);
  const lock = lockPlace(config);
  const logger = makeLogger(config);
  const token = adminToken(config);
  // COMMIT POINT of the admin token. Before: there is none, and nobody has been told one. After: it is on disk; only then is it shown.
  if (token.fresh) await writeDurable(token.path, `${token.token}\n`);
  const writer = await startWriterThread({
    dataDirectory: config.dataDirectory,
    org: config.org ?? "default",
    ...(config.databaseUrl === undefined ? {} : { databaseUrl: config.databaseUrl }),
    ...(config.masterKey === undefined ? {} : { masterKey: config.masterKey }),
    ...(config.publicUrl === undefined ? {} : { host: new URL(config.publicUrl).host }),
    ...(config.witnessPolicy === undefined ? {} : { witnessPolicy: config.witnessPolicy }),
  });
  for (const notice of writer.notices) logger.error(notice);
  // With other hosts at work a claim may be a living one's; those of the dead run out by themselves.
  if (config.databaseUrl === undefined) {
    await releaseUploadClaims(writer.client);
    await writer.client.operate("jobs.end-leases", {});
  }
  if (config.enableAdmin) {
    const enabled = await writer.client.append({
      type: "access.enable-bootstrap",
      org: SYSTEM_ORG,
      actor: SYSTEM_ACTOR,
      body: {},
    });
    if (!enabled.ok) throw new ServerError("config-invalid", `ASSAY_ENABLE_ADMIN: ${enabled.refusal.message}`);
  }
  const http =
    config.workers === 1
      ? await single(config, token.token, writer, logger)
      : await several(config, token.token, writer);

  let stopping = false;
  const stop = async (why: string): Promise<void> => {
    if (stopping) return;
    stopping = true;
    logger.info({ why }, "stopping");
    setTimeout(
      () => {
        process.stderr.write("assay: stopping took too long; ended\n");
        process.exit(1);
      },
      STOP_MS + (config.drainGraceMs ?? 0),
    ).unref();
    await http.stop(DRAIN_MS);
    const problem = await writer.stop();
    if (problem !== undefined)
      logger.error({ problem }, "the newest entries are not published; the next start does it");
    lock.release();
    logger.flush();
    process.exit(problem === undefined ? 0 : 1);
  };
  process.on("SIGTERM", () => void stop("SIGTERM"));
  process.on("SIGINT", () => void stop("SIGINT"));
  void writer.died.then((reason) => {
    if (stopping) return;
    process.stderr.write(`assay: ${reason}\n`);
    process.exit(1);
  });

  if (token.fresh) {
    process.stdout.write(`Admin token (shown once; kept in ${token.path}):\n\n    ${token.token}\n\n`);
  }
  process.stdout.write(`Assay ${VERSION} is ready at ${http.url}\n`);
}

interface HttpProcesses {
  readonly url: string;
  stop(graceMs: number): Promise<void>;
}

/** One process: HTTP on this thread, the writer on its own. */
async function single(config: Config, token: string, writer: WriterThread, logger: Logger): Promise<HttpProcesses> {
  return await serve(config, token, writer.client, logger);
}

/** Several HTTP processes; this one holds the writer and passes their requests on. */
async function several(config: Config, token: string, writer: WriterThread): Promise<HttpProcesses> {
  let stopping = false;
  let url = "";
  const workers = new Set<Worker>();
  const startOne = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = cluster.fork();
      workers.add(worker);
      worker.on("message", (message: WriterRequest | { kind: "listening"; url: string } | StartFailed) => {
        switch (message.kind) {
          case "listening":
            url = message.url;
            resolve();
            break;
          case "failed":
            reject(
              new ServerError(message.code, message.message, message.hint === undefined ? {} : { hint: message.hint }),
            );
            break;
          default:
            void answerRequest(writer.client, message).then((answer) => {
              if (worker.isConnected()) worker.send(answer);
            });
        }
      });
      worker.on("exit", () => {
        workers.delete(worker);
        reject(new ServerError("internal", "an HTTP process ended"));
        // A process that died takes its own requests with it; another takes its place.
        setTimeout(() => {
          if (!stopping) startOne().catch(() => undefined);
        }, 250).unref();
      });
      worker.send({ kind: "start", config, adminToken: token } satisfies WorkerStart);
    });
  await Promise.all(Array.from({ length: config.workers }, startOne));
  // The access log was moved away: each has it open.
  if (config.accessLog !== undefined) {
    process.on("SIGHUP", () => {
      for (const worker of workers) worker.process.kill("SIGHUP");
    });
  }
  return {
    url,
    async stop(graceMs) {
      stopping = true;
      const ended = [...workers].map((worker) => new Promise<void>((resolve) => worker.once("exit", () => resolve())));
      for (const worker of workers) worker.send({ kind: "stop", graceMs });
      await Promise.all(ended);
    },
  };
}

async function runWorker(): Promise<void> {
  const send = (message: object): void => {
    process.send?.(message);
  };
  const client = new ChannelClient((request) => send(request));
  let logger: Logger | undefined;
  let serving: Serving | undefined;
  // The parent decides when to stop: a signal to the whole group must not end requests under way.
  process.on("SIGTERM", () => undefined);
  process.on("SIGINT", () => undefined);
  process.on("disconnect", () => process.exit(1));
  process.on("message", (message: WriterAnswer | WorkerStart | { kind: "stop"; graceMs: number }) => {
    switch (message.kind) {
      case "start": {
        logger = makeLogger(message.config);
        serve(message.config, message.adminToken, client, logger).then(
          (started) => {
            serving = started;
            send({ kind: "listening", url: started.url });
          },
          (error: unknown) => {
            send({
              kind: "failed",
              code: error instanceof ServerError ? error.code : "internal",
              message: error instanceof Error ? error.message : String(error),
              ...(error instanceof ServerError && error.hint !== undefined ? { hint: error.hint } : {}),
            } satisfies StartFailed);
            process.exit(1);
          },
        );
        break;
      }
      case "stop":
        // One that has not begun to serve, in the place of one that died, has nothing to end.
        if (serving === undefined) process.exit(0);
        void serving.stop(message.graceMs).finally(() => {
          logger?.flush();
          process.exit(0);
        });
        break;
      default:
        client.receive(message);
    }
  });
}
