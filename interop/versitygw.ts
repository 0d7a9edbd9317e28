import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../packages/server/test/free-port.ts";
import type { S3Server } from "../packages/server/test/s3-server.ts";
import { clientProgram } from "./clients.ts";

const CREDENTIALS = { accessKeyId: "assay", secretAccessKey: "assay-test-secret", sessionToken: undefined };

/** Starts versitygw with an empty bucket, in a process and a temporary directory of its own. */
export async function startVersitygw(): Promise<S3Server> {
  const program = clientProgram("versitygw");
  if (!existsSync(program)) throw new Error(`${program} is missing: npm run interop installs it`);
  const directory = await mkdtemp(join(tmpdir(), "assay-versitygw-"));
  await mkdir(join(directory, "root", "assay"), { recursive: true });
  await mkdir(join(directory, "metadata"));
  const port = await freePort();
  const gateway: ChildProcess = spawn(
    program,
    // A sidecar for metadata: the temporary directory's file system may have no extended attributes.
    `--quiet --port 127.0.0.1:${port} posix --sidecar ${join(directory, "metadata")} ${join(directory, "root")}`.split(
      " ",
    ),
    {
      stdio: ["ignore", "ignore", "inherit"],
      env: { ROOT_ACCESS_KEY_ID: CREDENTIALS.accessKeyId, ROOT_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey },
    },
  );
  const endpoint = `http://127.0.0.1:${port}`;
  for (let waited = 0; waited < 10_000; waited += 50) {
    const up = await fetch(endpoint).then(
      () => true,
      () => false,
    );
    if (up) break;
    await sleep(50);
  }
  return {
    location: {
      endpoint,
      region: "us-east-1",
      bucket: "assay",
      prefix: "registry",
      pathStyle: true,
      credentials: CREDENTIALS,
    },
    async stop() {
      gateway.kill("SIGTERM");
      if (gateway.exitCode === null) await once(gateway, "exit");
      await rm(directory, { recursive: true, force: true });
    },
  };
}
