/** Faults in the system calls of a running server, put there by strace (`-e inject`). */
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { clientProgram } from "../clients.ts";

/**
 * Which of the server's threads: the one that owns the database, the first of those that put blobs at hand (file-threads.ts), or the one that does
 * all else with files (UV_THREADPOOL_SIZE=1).
 */
export type ServerThread = "assay-writer" | "assay-files" | "libuv-worker";

export interface Fault {
  readonly thread: ServerThread;
  readonly calls: readonly string[];
  /** What happens instead, or before (`strace -e inject`): `error=EIO`, `delay_enter=300ms`. */
  readonly inject: string;
  /** Only calls on this file. */
  readonly path?: string;
  /** From which of the thread's calls on, counted from 1, and to which: `2`, `1+`. */
  readonly when: string;
}

function threadId(pid: number, name: ServerThread): string {
  for (const id of readdirSync(`/proc/${pid}/task`)) {
    if (readFileSync(`/proc/${pid}/task/${id}/comm`, "utf8").trim() === name) return id;
  }
  throw new Error(`process ${pid} has no thread ${name}`);
}

/**
 * Does `work` while a thread of the server meets a fault.
 *
 * @returns the calls that met it, as strace shows them.
 * @throws Error when strace may not attach: a system that forbids tracing (kernel.yama.ptrace_scope above 1, a container without
 *   SYS_PTRACE) cannot run these tests.
 */
export async function withFault(pid: number, fault: Fault, work: () => Promise<void>): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), "assay-fault-"));
  const trace = join(folder, "trace");
  const calls = fault.calls.join(",");
  const child = spawn(
    clientProgram("strace"),
    [
      ..."-y -s 16 -e signal=none -o".split(" "),
      trace,
      "-e",
      `trace=${calls}`,
      "-e",
      `inject=${calls}:${fault.inject}:when=${fault.when}`,
      ...(fault.path === undefined ? [] : ["-P", fault.path]),
      "-p",
      threadId(pid, fault.thread),
    ],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  let output = "";
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  try {
    await new Promise<void>((resolve, reject) => {
      child.stderr.on("data", (chunk: Buffer) => {
        output += chunk.toString();
        if (output.includes("attached")) resolve();
      });
      child.on("error", reject);
      void ended.then(() => reject(new Error(`strace ended: ${output}`)));
    });
    await work();
  } finally {
    child.kill("SIGINT");
    await ended;
  }
  const met = readFileSync(trace, "utf8")
    .split("\n")
    .filter((line) => /INJECTED|DELAYED/.test(line));
  rmSync(folder, { recursive: true });
  return met;
}
