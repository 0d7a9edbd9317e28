import { spawn } from "node:child_process";
import type { Environment } from "../environment.ts";
import { accessSync, constants } from "node:fs";
import { delimiter, isAbsolute, join } from "node:path";

/** What a program came to that keeps secrets for us. `code` is null if it was ended by a signal or took too long. */
export type Ended = { readonly code: number | null; readonly stdout: string; readonly stderr: string };

/** A locked keyring asks its owner, who may need a while. */
const LIMIT_MS = 120_000;
const MAX_OUTPUT = 1 << 20;

/**
 * Runs a program of the system that keeps secrets. A secret goes in by standard input and comes out by standard output: arguments
 * are seen by everybody on the machine. Rejects with Node's own error if it cannot be started.
 */
export function runProgram(
  program: string,
  args: readonly string[],
  input: string,
  env: Environment,
  limitMs: number = LIMIT_MS,
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"], env: { ...env }, timeout: limitMs });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
      if (stdout.length > MAX_OUTPUT) child.kill();
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr = (stderr + text).slice(0, MAX_OUTPUT);
    });
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
    // A program may end without reading its input; its exit code says how it went.
    child.stdin.on("error", () => undefined).end(input);
  });
}

/** Whether the PATH has a program of that name. Relative parts of the PATH do not count: what lies there is anybody's. */
export function isOnPath(name: string, env: Environment): boolean {
  return (env.PATH ?? "").split(delimiter).some((folder) => {
    if (!isAbsolute(folder)) return false;
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      // Not in this one.
      return false;
    }
  });
}
