import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../packages/server/test/free-port.ts";
import { clientProgram } from "./clients.ts";

/** The reference implementation of a registry (github.com/distribution/distribution), in a process and a temporary directory of its own. */
export type Distribution = {
  readonly url: string;
  readonly host: string;
  stop(): Promise<void>;
};

/** Starts one that lets everybody in, on a free port of this machine. */
export async function startDistribution(): Promise<Distribution> {
  const program = clientProgram("registry");
  if (!existsSync(program)) throw new Error(`${program} is missing: npm run interop installs it`);
  const directory = await mkdtemp(join(tmpdir(), "assay-distribution-"));
  const host = `127.0.0.1:${await freePort()}`;
  const settings = {
    version: 0.1,
    log: { level: "error", accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(directory, "data") }, delete: { enabled: true } },
    http: { addr: host },
  };
  // JSON is YAML.
  await writeFile(join(directory, "config.yml"), JSON.stringify(settings));
  const child = spawn(program, ["serve", join(directory, "config.yml")], {
    stdio: "ignore",
    env: { PATH: process.env["PATH"], OTEL_TRACES_EXPORTER: "none" },
  });
  const url = `http://${host}`;
  for (let waited = 0; waited < 10_000; waited += 50) {
    const up = await fetch(`${url}/v2/`).then(
      () => true,
      () => false,
    );
    if (up) break;
    await sleep(50);
  }
  return {
    url,
    host,
    async stop() {
      child.kill("SIGTERM");
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
      await rm(directory, { recursive: true, force: true });
    },
  };
}
