import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";

const ASSAY = fileURLToPath(new URL("../../../bin/assay", import.meta.url));

/** Matches any text that holds `part`; typed, which vitest's own matcher is not. */
export function containing(part: string): unknown {
  return expect.stringContaining(part);
}

/** What a run of the command line came to. */
export type Ended = {
  readonly exit: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
};

/** Runs bin/assay in a process of its own, with only the environment that is given (and PATH and HOME). */
export function runAssay(
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: Readonly<Record<string, string>>; readonly input?: string } = {},
): Promise<Ended> {
  const { PATH = "", HOME = "" } = process.env;
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [ASSAY, ...args], { cwd: options.cwd, env: { PATH, HOME, ...options.env } });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.on("error", reject);
    child.on("close", (exit, signal) => resolve({ exit, signal, stdout, stderr }));
    child.stdin.end(options.input ?? "");
  });
}
