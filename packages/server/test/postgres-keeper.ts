/**
 * Runs one PostgreSQL for as long as its standard input is open: when the tests end, however they do, the pipe closes, the database is
 * ended and its directory removed. Arguments: JSON with the program's path, its arguments, user and group, and the directory.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { rmSync } from "node:fs";
import process from "node:process";
import { z } from "zod";

const job = z
  .strictObject({
    program: z.string(),
    args: z.array(z.string()),
    uid: z.int().optional(),
    gid: z.int().optional(),
    directory: z.string(),
  })
  .parse(JSON.parse(process.argv[2] ?? ""));

/** Processes of a killed postmaster let go of its memory a moment after it; until they do, no other can start on its directory. */
const RESTART_MS = 10_000;

let postgres: ChildProcess | undefined;
let ending = false;
let restartUntil = 0;

function run(): void {
  if (ending) {
    finish();
    return;
  }
  postgres = spawn(job.program, job.args, {
    stdio: ["ignore", "inherit", "inherit"],
    cwd: job.directory,
    ...(job.uid === undefined || job.gid === undefined ? {} : { uid: job.uid, gid: job.gid }),
  });
  postgres.on("exit", () => {
    if (!ending && Date.now() < restartUntil) setTimeout(run, 50);
    else finish();
  });
}

function finish(): void {
  rmSync(job.directory, { recursive: true, force: true });
  process.stdin.destroy();
  process.exitCode = ending ? 0 : 1;
}

const end = (): void => {
  ending = true;
  // SIGQUIT is PostgreSQL's immediate shutdown: as a crash, without a word to anyone.
  postgres?.kill("SIGQUIT");
};
// "kill" means: kill the postmaster, and start again. Anything else said means: restart. The end of it means: end.
process.stdin
  .on("data", (said: Buffer) => {
    restartUntil = Date.now() + RESTART_MS;
    postgres?.kill(said.toString().includes("kill") ? "SIGKILL" : "SIGQUIT");
  })
  .on("end", end)
  .on("error", end);

// The terminal's Ctrl-C reaches the tests as well, whose end closes the pipe.
process.on("SIGINT", () => undefined);
run();
