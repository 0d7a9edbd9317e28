import cluster, { type Worker } from "node:cluster";
import process from "node:process";
import { pino, destination, type Logger } from "pino";
import { adminToken, type Config, prepareDataDirectory, readConfig, settingsHelp } from "./config.ts";
import { ServerError } from "./errors.ts";
import { SYSTEM_ACTOR, SYSTEM_ORG } from "./record/command.ts";
import { answerRequest, ChannelClient, type WriterAnswer, type WriterRequest } from "./record/port.ts";
import { releaseUploadClaims } from "./registry/maintenance.ts";
import { serve, VERSION } from "./serve.ts";
import { writeDurable } from "./storage/durable.ts";
import { lockPlace } from "./storage/open.ts";
import { startWriterThread, type WriterThread } from "./writer-thread.ts";

/** From SIGTERM to the end of the process, ms: running requests get most of it, the writer's last batch the rest. */
const DRAIN_MS = 7_000;
const STOP_MS = 9_500;

/** How often organisations' chain heads are written down as leaves of their own, ms. */
const HEADS_INTERVAL_MS = 10 * 60_000;

/** What an HTTP process of several is told by its parent. */
interface WorkerStart {
  readonly kind: "start";
  readonly config: Config;
  readonly adminToken: string;
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
function fail(error: unknown): never {
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
  // The token is on disk before anyone is told it, so that a shown token always works.
  if (token.fresh) await writeDurable(token.path, `${token.token}\n`);
  const writer = await startWriterThread({
    dataDirectory: config.dataDirectory,
    org: config.org ?? "default",
    ...(config.databaseUrl === undefined ? {} : { databaseUrl: config.databaseUrl }),
    ...(config.masterKey === undefined ? {} : { masterKey: config.masterKey }),
    ...(config.publicUrl === undefined ? {} : { host: new URL(config.publicUrl).host }),
  });
  // With other hosts at work a claim may be a living one's; those of the dead run out by themselves.
  if (config.databaseUrl === undefined) await releaseUploadClaims(writer.client);
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
  const heads = setInterval(() => {
    void writeHeads(writer).catch((error: unknown) => logger.error({ err: error }, "chain heads could not be written"));
  }, HEADS_INTERVAL_MS);

  let stopping = false;
  const stop = async (why: string): Promise<void> => {
    if (stopping) return;
    stopping = true;
    logger.info({ why }, "stopping");
    setTimeout(() => {
      process.stderr.write("assay: stopping took too long; ended\n");
      process.exit(1);
    }, STOP_MS).unref();
    clearInterval(heads);
    await http.stop(DRAIN_MS);
    await writer.stop();
    lock.release();
    logger.flush();
    process.exit(0);
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

/** Writes down the head of every organisation that has gone on since the last time, a command's worth at a time. */
async function writeHeads(writer: WriterThread): Promise<void> {
  for (;;) {
    const written = await writer.client.append({
      type: "record.write-heads",
      org: SYSTEM_ORG,
      actor: SYSTEM_ACTOR,
      body: {},
    });
    if (!written.ok) throw new ServerError("internal", written.refusal.message);
    if (written.receipts.length === 0) return;
  }
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
      worker.on(
        "message",
        (message: WriterRequest | { kind: "listening"; url: string } | { kind: "failed"; message: string }) => {
          switch (message.kind) {
            case "listening":
              url = message.url;
              resolve();
              break;
            case "failed":
              reject(new ServerError("internal", message.message));
              break;
            default:
              void answerRequest(writer.client, message).then((answer) => {
                if (worker.isConnected()) worker.send(answer);
              });
          }
        },
      );
      worker.on("exit", () => {
        workers.delete(worker);
        reject(new ServerError("internal", "an HTTP process ended"));
        // A process that died takes its own requests with it; another takes its place.
        if (!stopping) setTimeout(() => void startOne().catch(() => undefined), 250).unref();
      });
      worker.send({ kind: "start", config, adminToken: token } satisfies WorkerStart);
    });
  await Promise.all(Array.from({ length: config.workers }, startOne));
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
  // The parent decides when to stop: a signal to the whole group must not end requests under way.
  process.on("SIGTERM", () => undefined);
  process.on("SIGINT", () => undefined);
  process.on("disconnect", () => process.exit(1));
  process.on("message", (message: WriterAnswer | WorkerStart | { kind: "stop"; graceMs: number }) => {
    switch (message.kind) {
      case "start": {
        const logger = makeLogger(message.config);
        serve(message.config, message.adminToken, client, logger).then(
          (serving) => {
            process.on("message", (next: { kind: string; graceMs?: number }) => {
              if (next.kind !== "stop") return;
              void serving.stop(next.graceMs ?? DRAIN_MS).finally(() => {
                logger.flush();
                process.exit(0);
              });
            });
            send({ kind: "listening", url: serving.url });
          },
          (error: unknown) => {
            send({ kind: "failed", message: error instanceof Error ? error.message : String(error) });
            process.exit(1);
          },
        );
        break;
      }
      case "stop":
        break;
      default:
        client.receive(message);
    }
  });
}
