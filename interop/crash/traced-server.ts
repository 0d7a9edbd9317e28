/** A real server process under strace, and what its trace says it did to its disk. */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort } from "../../packages/server/test/free-port.ts";
import { ADMIN_TOKEN } from "../../packages/server/test/instance.ts";
import { clientProgram } from "../clients.ts";
import { readCalls } from "./calls.ts";
import { stepsOf, type TimedStep, TRACED } from "./steps.ts";

const MAIN = fileURLToPath(new URL("../../packages/server/src/main.ts", import.meta.url));

/** More than any one write of the server. */
const WHOLE_STRINGS = 64 * 1024 * 1024;

export interface TracedServer {
  readonly url: string;
  /** Ends it with a signal. @returns everything it did in its data directory and answered, in order. */
  end(signal: NodeJS.Signals): Promise<TimedStep[]>;
}

/** Starts a server on a data directory and resolves when it says it is ready. */
export async function startTraced(dataDirectory: string): Promise<TracedServer> {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), "assay-trace-"));
  const trace = join(folder, "trace");
  const child = spawn(
    clientProgram("strace"),
    [
      ..."-f --seccomp-bpf -yy -xx -e signal=none -s".split(" "),
      String(WHOLE_STRINGS),
      "-o",
      trace,
      "-e",
      `trace=${TRACED.join(",")}`,
      process.execPath,
      MAIN,
    ],
    {
      env: {
        PATH: process.env["PATH"],
        ASSAY_DATA: dataDirectory,
        ASSAY_LISTEN: `127.0.0.1:${port}`,
        ASSAY_ADMIN_TOKEN: ADMIN_TOKEN,
        ASSAY_LOG_LEVEL: "warn",
        // What goes to the kernel through io_uring is no system call, and no trace shows it.
        UV_USE_IO_URING: "0",
      },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  let output = "";
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  await new Promise<void>((resolve, reject) => {
    const hear = (chunk: Buffer): void => {
      output += chunk.toString();
      if (output.includes("is ready at")) resolve();
    };
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
    child.on("error", reject);
    void ended.then(() => reject(new Error(`the traced server ended:\n${output}`)));
  });
  const pid = Number(readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").trim().split(" ")[0]);
  return {
    url: `http://127.0.0.1:${port}`,
    async end(signal) {
      process.kill(pid, signal);
      await ended;
      const steps = stepsOf(readCalls(readFileSync(trace, "latin1")), dataDirectory);
      rmSync(folder, { recursive: true });
      return steps;
    },
  };
}
