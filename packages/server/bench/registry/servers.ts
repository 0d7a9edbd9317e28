/** The two registries under measurement, each a process (with its children) of its own on a port and a directory of its own. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { freePort } from "../../test/free-port.ts";

const ROOT = fileURLToPath(new URL("../../../../", import.meta.url));
const TOKEN = "bench-admin-token-0123456789";
/** Where `scripts/interop-install.ts registry` puts it. */
const DISTRIBUTION = join(ROOT, ".cache/interop/bin/registry");
const START_MS = 120_000;
const STOP_MS = 12_000;

export interface Registry {
  readonly name: string;
  readonly port: number;
  /** What a client's requests carry, for these scopes; undefined where nothing is asked for. */
  authorization(scopes: readonly string[]): Promise<string | undefined>;
  /** User and system CPU seconds so far, of the process and its children. */
  cpuSeconds(): number;
  /** Bytes of memory they hold, what they share with others shared out (PSS). */
  memory(): number;
  stop(): Promise<void>;
}

function childrenOf(pid: number): number[] {
  const children: number[] = [];
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const text = readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").trim();
    if (text !== "") children.push(...text.split(" ").map(Number));
  }
  return children;
}

const family = (pid: number): number[] => [pid, ...childrenOf(pid).flatMap(family)];
const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0);

function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function memoryOf(pid: number): number {
  const kib = /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1];
  if (kib === undefined) throw new Error(`no Pss of process ${pid}`);
  return Number(kib) * 1024;
}

async function started(
  name: string,
  child: ChildProcess,
  port: number,
  authorization: Registry["authorization"],
): Promise<Registry> {
  let log = "";
  const keep = (chunk: Buffer): void => {
    log = `${log}${chunk.toString()}`.slice(-8192);
  };
  child.stdout?.on("data", keep);
  child.stderr?.on("data", keep);
  const { pid } = child;
  if (pid === undefined) throw new Error(`${name} could not be started`);
  // A bench that is broken off leaves no server behind.
  process.once("exit", () => child.kill("SIGKILL"));
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const deadline = performance.now() + START_MS;
  for (;;) {
    const status = await fetch(`http://127.0.0.1:${port}/v2/`).then(
      (response) => response.status,
      () => 0,
    );
    if (status === 200 || status === 401) break;
    if (child.exitCode !== null || performance.now() > deadline) {
      child.kill("SIGKILL");
      throw new Error(`${name} did not come up:\n${log}`);
    }
    await sleep(50);
  }
  return {
    name,
    port,
    authorization,
    cpuSeconds: () => sum(family(pid).map(cpuOf)),
    memory: () => sum(family(pid).map(memoryOf)),
    async stop() {
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
      await ended;
      clearTimeout(timer);
    },
  };
}

let bundle: string | undefined;

/** The server as it is installed, from the root: it is built when it is first asked for. */
function bundled(): string {
  if (bundle === undefined) {
    execFileSync(process.execPath, [join(ROOT, "scripts/build.ts")], { stdio: ["ignore", "ignore", "inherit"] });
    bundle = "dist/server.mjs";
  }
  return bundle;
}

/** Ours, on SQLite and a directory. Everything it acknowledges is synced, as always. */
export async function startAssay(directory: string, settings: Record<string, string> = {}): Promise<Registry> {
  const port = await freePort();
  mkdirSync(directory, { recursive: true });
  // With the flag of Node's and the environment that `npm start`, `assay server start` and the service file give it.
  const program = join(ROOT, process.env["ASSAY_BENCH_SERVER"] ?? bundled());
  const child = spawn(process.execPath, ["--max-semi-space-size=8", program], {
    cwd: directory,
    env: {
      PATH: process.env["PATH"],
      MALLOC_ARENA_MAX: "1",
      MALLOC_MMAP_THRESHOLD_: "4194304",
      MALLOC_TRIM_THRESHOLD_: "131072",
      UV_THREADPOOL_SIZE: "8",
      ASSAY_LISTEN: `127.0.0.1:${port}`,
      ASSAY_DATA: directory,
      ASSAY_ADMIN_TOKEN: TOKEN,
      ASSAY_LOG_LEVEL: "error",
      ...settings,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  // A token as registry clients carry it: it holds for five minutes, and a bench may take longer.
  return await started("assay", child, port, async (scopes) => {
    const query = new URLSearchParams([["service", `127.0.0.1:${port}`], ...scopes.map((scope) => ["scope", scope])]);
    const response = await fetch(`http://127.0.0.1:${port}/v2/token?${query.toString()}`, {
      headers: { authorization: `Basic ${Buffer.from(`admin:${TOKEN}`).toString("base64")}` },
    });
    if (!response.ok) throw new Error(`no token: ${response.status} ${await response.text()}`);
    const { token } = (await response.json()) as { token: string };
    return `Bearer ${token}`;
  });
}

/** The reference implementation, as its own example configures it: files, and an in-memory cache of blob descriptors. */
export async function startDistribution(directory: string): Promise<Registry> {
  if (!existsSync(DISTRIBUTION)) {
    throw new Error("distribution is not installed: run `node scripts/interop-install.ts registry` first");
  }
  const port = await freePort();
  mkdirSync(directory, { recursive: true });
  const config = join(directory, "config.yml");
  writeFileSync(
    config,
    `version: 0.1
log:
  level: error
  accesslog:
    disabled: true
storage:
  filesystem:
    rootdirectory: ${join(directory, "registry")}
  cache:
    blobdescriptor: inmemory
  delete:
    enabled: true
http:
  addr: 127.0.0.1:${port}
  secret: bench
`,
  );
  const child = spawn(DISTRIBUTION, ["serve", config], {
    cwd: directory,
    env: { PATH: process.env["PATH"], OTEL_TRACES_EXPORTER: "none" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  return await started("distribution", child, port, async () => undefined);
}
