/** A real server process (`main.ts` under this Node), for what only a process shows: start, signals, kills. */
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { ADMIN_TOKEN } from "./instance.ts";

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));

export interface ServerProcess {
  readonly url: string;
  readonly pid: number;
  output(): string;
  signal(name: NodeJS.Signals): void;
  /** Resolves with the exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>;
}

/**
 * Starts a server and resolves when it says it is ready.
 *
 * @param within a command that runs the command given after it: what puts the process somewhere else, such as into a namespace.
 */
export async function startProcess(
  dataDirectory: string,
  port: number,
  environment: Readonly<Record<string, string>> = {},
  within: readonly string[] = [],
): Promise<ServerProcess> {
  const [command, ...args] = [...within, process.execPath, MAIN];
  const child: ChildProcess = spawn(command ?? process.execPath, args, {
    env: {
      PATH: process.env["PATH"] ?? "",
      ASSAY_DATA: dataDirectory,
      ASSAY_LISTEN: `127.0.0.1:${port}`,
      ASSAY_ADMIN_TOKEN: ADMIN_TOKEN,
      ASSAY_LOG_LEVEL: "warn",
      ...environment,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  const ended = new Promise<number | NodeJS.Signals>((resolve) => {
    child.once("exit", (code, signal) => resolve(code ?? signal ?? 0));
  });
  await new Promise<void>((resolve, reject) => {
    const hear = (chunk: Buffer): void => {
      output += chunk.toString();
      if (output.includes("is ready at")) resolve();
    };
    child.stdout?.on("data", hear);
    child.stderr?.on("data", hear);
    void ended.then((code) => reject(new Error(`the server ended with ${code}:\n${output}`)));
  });
  return {
    url: `http://127.0.0.1:${port}`,
    pid: child.pid ?? 0,
    output: () => output,
    signal: (name) => child.kill(name),
    ended,
  };
}
