/** What the interop tests and the demo stand on: a real Assay server process, and real clients in a home of their own. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { freePort } from "../packages/server/test/free-port.ts";
import { CLIENTS, clientProgram } from "./clients.ts";

const root = fileURLToPath(new URL("../", import.meta.url));

const START_LIMIT_MS = 30_000;
/** The server promises to drain and stop within 10 s of SIGTERM. */
const STOP_LIMIT_MS = 12_000;

export type Server = {
  /** `http://127.0.0.1:PORT` */
  url: string;
  /** `127.0.0.1:PORT`, as image references name it. */
  host: string;
  adminToken: string;
  dataFolder: string;
  /** All that the server has written so far, both streams in order of arrival. */
  log(): string;
  /** Sends the process a signal. */
  signal(name: NodeJS.Signals): void;
  /** Ends the process with SIGTERM and waits for it; `keepData` leaves the data folder. */
  stop(options?: { keepData?: boolean }): Promise<void>;
};

export type ServerOptions = {
  /** A data folder to start on again; else a new temporary one. */
  dataFolder?: string;
  adminToken?: string;
  env?: Record<string, string>;
  /** A command that runs the command given after it: what puts the process somewhere else, such as into a namespace. */
  within?: readonly string[];
};

function ended(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** The server under test: the source, or the program that ASSAY_INTEROP_SERVER names (from the root), e.g. dist/server.mjs. */
const program = resolve(root, process.env["ASSAY_INTEROP_SERVER"] ?? "packages/server/src/main.ts");

/**
 * Starts the server on an ephemeral port of 127.0.0.1 and waits until `/readyz` answers 200.
 *
 * @throws Error with the server's log if it ends or is not ready within 30 s.
 */
export async function startServer(options: ServerOptions = {}): Promise<Server> {
  const dataFolder = options.dataFolder ?? mkdtempSync(join(tmpdir(), "assay-interop-"));
  const adminToken = options.adminToken ?? randomBytes(24).toString("base64url");
  const [command, ...args] = [...(options.within ?? []), process.execPath, program];
  const child = spawn(command ?? process.execPath, args, {
    cwd: dataFolder,
    env: {
      PATH: process.env["PATH"],
      // The server is told its port rather than left to choose one: its public URL, which clients are sent to, follows from it.
      ASSAY_LISTEN: `127.0.0.1:${await freePort()}`,
      ASSAY_DATA: dataFolder,
      ASSAY_ADMIN_TOKEN: adminToken,
      ...options.env,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let log = "";
  const keep = (chunk: Buffer): void => {
    log += chunk.toString();
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  let failure: Error | undefined;
  child.on("error", (error) => {
    failure = error;
  });

  const stop = async ({ keepData = false } = {}): Promise<void> => {
    if (!ended(child)) {
      child.kill("SIGTERM");
      const deadline = performance.now() + STOP_LIMIT_MS;
      while (!ended(child) && performance.now() < deadline) await sleep(20);
      if (!ended(child)) {
        child.kill("SIGKILL");
        throw new Error(`the server did not stop within ${STOP_LIMIT_MS} ms of SIGTERM; its log:\n${log}`);
      }
    }
    if (!keepData && options.dataFolder === undefined) rmSync(dataFolder, { recursive: true, force: true });
  };

  const deadline = performance.now() + START_LIMIT_MS;
  while (performance.now() < deadline && failure === undefined && !ended(child)) {
    const url = /ready at (https?:\/\/[\d.]+:\d+)/.exec(log)?.[1];
    if (url !== undefined && (await isReady(url))) {
      return {
        url,
        host: new URL(url).host,
        adminToken,
        dataFolder,
        log: () => log,
        signal: (name) => child.kill(name),
        stop,
      };
    }
    await sleep(50);
  }
  const why =
    failure?.message ?? (ended(child) ? `it ended with ${child.exitCode ?? child.signalCode}` : "time ran out");
  await stop();
  throw new Error(`the server did not get ready: ${why}; its log:\n${log}`);
}

async function isReady(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/readyz`)).status === 200;
  } catch (error) {
    // fetch reports a refused connection as a TypeError; anything else is a mistake of ours.
    if (error instanceof TypeError) return false;
    throw error;
  }
}

export type Result = { code: number; stdout: string; stderr: string };

export type RunOptions = {
  cwd?: string;
  env?: Record<string, string>;
  input?: string | Uint8Array;
  timeoutMs?: number;
};

/** A home for clients: what they write (credentials, caches, keys) stays in it. */
export type Home = {
  folder: string;
  path(...parts: string[]): string;
  /** Runs a program to its end, whatever its exit code. `cmd` is a client of interop/clients.ts, or a path. */
  run(cmd: string, args: readonly string[], options?: RunOptions): Promise<Result>;
  /** Like `run`, but throws with all output unless the program ends with 0; gives trimmed standard output. */
  must(cmd: string, args: readonly string[], options?: RunOptions): Promise<string>;
  remove(): void;
};

/**
 * Makes a temporary home. Clients run in it see no other configuration, and reach no address but this machine's.
 *
 * @param networks of this machine's, besides its loopback.
 */
export function makeHome(networks: readonly string[] = []): Home {
  const folder = mkdtempSync(join(tmpdir(), "assay-home-"));
  mkdirSync(join(folder, "docker"));
  const run = (cmd: string, args: readonly string[], options: RunOptions = {}): Promise<Result> =>
    runProgram(CLIENTS.some(({ name }) => name === cmd) ? installed(cmd) : cmd, args, {
      ...options,
      cwd: options.cwd ?? folder,
      env: {
        HOME: folder,
        PATH: process.env["PATH"] ?? "",
        DOCKER_CONFIG: join(folder, "docker"),
        XDG_CONFIG_HOME: join(folder, "config"),
        XDG_CACHE_HOME: join(folder, "cache"),
        COSIGN_PASSWORD: "interop",
        // A client that wants to go out meets a closed port at once instead of the network.
        HTTP_PROXY: "http://127.0.0.1:9",
        HTTPS_PROXY: "http://127.0.0.1:9",
        NO_PROXY: ["127.0.0.1", "localhost", ...networks].join(","),
        ...options.env,
      },
    });
  return {
    folder,
    path: (...parts) => join(folder, ...parts),
    run,
    must: async (cmd, args, options) => {
      const { code, stdout, stderr } = await run(cmd, args, options);
      if (code !== 0) throw new Error(`${cmd} ${args.join(" ")} ended with ${code}\n${stdout}${stderr}`);
      return stdout.trim();
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** A client's program. @throws Error saying what to run if it is not installed. */
function installed(name: string): string {
  const program = clientProgram(name);
  if (!existsSync(program))
    throw new Error(`${name} is not installed: run \`node scripts/interop-install.ts ${name}\``);
  return program;
}

/** Names of the clients in `names` that are not installed. */
export function missingClients(names: readonly string[] = CLIENTS.map(({ name }) => name)): string[] {
  return names.filter((name) => !existsSync(clientProgram(name)));
}

/** Runs a program to its end, whatever its exit code, with no environment but what `env` gives. */
export function runProgram(
  program: string,
  args: readonly string[],
  { cwd, env, input, timeoutMs = 120_000 }: RunOptions = {},
): Promise<Result> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd, env, timeout: timeoutMs, stdio: ["pipe", "pipe", "pipe"] });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
    child.on("error", reject);
    child.on("close", (code, signal) => {
      const result = { stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() };
      if (code === null)
        reject(new Error(`${program} ${args.join(" ")} was ended by ${signal}\n${result.stdout}${result.stderr}`));
      else resolve({ code, ...result });
    });
    child.stdin.on("error", (error: NodeJS.ErrnoException) => {
      // A program may end without reading its input.
      if (error.code !== "EPIPE") reject(error);
    });
    child.stdin.end(input);
  });
}
