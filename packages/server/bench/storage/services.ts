/** The PostgreSQL, the S3 server and the Assay servers that are measured; all their files lie in the bench's own directory. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Client } from "pg";
import type { S3Location } from "../../src/storage/s3-location.ts";
import { freePort } from "../../test/free-port.ts";
import { startPostgres } from "../../test/postgres-server.ts";
import { startS3rver } from "../../test/s3-server.ts";

export const TOKEN = "bench-admin-token-0123456789";

const VERSITYGW = fileURLToPath(new URL("../../../../.cache/interop/bin/versitygw", import.meta.url));

export interface PostgresService {
  /** Makes a database of its own. @returns its URL. */
  database(name: string): Promise<string>;
  stop(): Promise<void>;
}

/** Starts PostgreSQL as it comes: it syncs every commit. */
export async function startDatabases(directory: string): Promise<PostgresService> {
  const server = await startPostgres(["shared_buffers=512MB", "max_wal_size=4GB"], directory);
  return {
    async database(name) {
      const client = new Client({ connectionString: server.url("postgres") });
      await client.connect();
      await client.query(`create database ${name}`);
      await client.end();
      return server.url(name);
    },
    stop: () => server.stop(),
  };
}

export interface S3Service {
  readonly name: string;
  readonly location: S3Location;
  stop(): Promise<void>;
}

/** Starts versitygw when `npm run interop` has installed it, else s3rver, which is written for tests and slow. */
export async function startS3(directory: string): Promise<S3Service> {
  if (!existsSync(VERSITYGW)) {
    const server = await startS3rver();
    return { name: "s3rver (slow, made for tests; npm run interop installs versitygw)", ...server };
  }
  const root = join(directory, "s3");
  await mkdir(join(root, "objects", "assay"), { recursive: true });
  await mkdir(join(root, "metadata"));
  const port = await freePort();
  const credentials = { accessKeyId: "assay", secretAccessKey: "assay-bench-secret", sessionToken: undefined };
  const gateway = spawn(
    VERSITYGW,
    ["--quiet", "--port", `127.0.0.1:${port}`, "posix", "--sidecar", join(root, "metadata"), join(root, "objects")],
    {
      stdio: ["ignore", "ignore", "inherit"],
      env: { ROOT_ACCESS_KEY_ID: credentials.accessKeyId, ROOT_SECRET_ACCESS_KEY: credentials.secretAccessKey },
    },
  );
  const endpoint = `http://127.0.0.1:${port}`;
  await untilAnswers(endpoint, gateway);
  return {
    name: "versitygw",
    location: { endpoint, region: "us-east-1", bucket: "assay", prefix: "registry", pathStyle: true, credentials },
    stop: () => ended(gateway),
  };
}

async function untilAnswers(url: string, program: ChildProcess): Promise<void> {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const up = await fetch(url).then(
      () => true,
      () => false,
    );
    if (up) return;
    if (program.exitCode !== null || Date.now() > deadline) throw new Error(`nothing answers at ${url}`);
    await sleep(50);
  }
}

async function ended(program: ChildProcess): Promise<void> {
  if (program.exitCode !== null || program.signalCode !== null) return;
  const exit = once(program, "exit");
  program.kill("SIGTERM");
  await exit;
}

/** Where a server keeps its things: settings as its environment names them. */
export interface Place {
  readonly dataDirectory: string;
  readonly databaseUrl?: string | undefined;
  readonly s3?: S3Location | undefined;
}

/** The place as environment variables. */
export function environmentOf({ dataDirectory, databaseUrl, s3 }: Place): NodeJS.ProcessEnv {
  const url =
    s3 === undefined
      ? undefined
      : `s3://${s3.bucket}/${s3.prefix}?endpoint=${encodeURIComponent(s3.endpoint)}&region=${s3.region}&path-style=1`;
  return {
    ...process.env,
    ASSAY_DATA: dataDirectory,
    ASSAY_ADMIN_TOKEN: TOKEN,
    ASSAY_LOG_LEVEL: "error",
    ...(databaseUrl === undefined ? {} : { ASSAY_DATABASE_URL: databaseUrl }),
    ...(s3 === undefined || url === undefined
      ? {}
      : {
          ASSAY_BLOBS_URL: url,
          ASSAY_BLOBS_ACCESS_KEY: s3.credentials.accessKeyId,
          ASSAY_BLOBS_SECRET_KEY: s3.credentials.secretAccessKey,
        }),
  };
}

export interface Server {
  readonly url: string;
  readonly pid: number;
  /** From the start of the process until it said that it was ready, ms. */
  readonly startMs: number;
  stop(): Promise<void>;
}

/** Starts a server process. */
export async function startServer(place: Place): Promise<Server> {
  const port = await freePort();
  const began = performance.now();
  const child = spawn(process.execPath, [fileURLToPath(new URL("../../src/main.ts", import.meta.url))], {
    env: { ...environmentOf(place), ASSAY_LISTEN: `127.0.0.1:${port}` },
    stdio: ["ignore", "pipe", "inherit"],
  });
  // A benchmark that is ended leaves no server behind.
  const end = (): void => void child.kill("SIGTERM");
  process.on("exit", end);
  child.once("exit", () => process.off("exit", end));
  await new Promise<void>((resolve, reject) => {
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString();
      if (output.includes("is ready at")) resolve();
    });
    child.once("exit", (code) => reject(new Error(`the server ended with ${code}: ${output}`)));
  });
  const startMs = performance.now() - began;
  return { url: `http://127.0.0.1:${port}`, pid: child.pid ?? 0, startMs, stop: () => ended(child) };
}
