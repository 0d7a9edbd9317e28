/**
 * Runs one PostgreSQL for as long as its standard input is open: when the tests end, however they do, the pipe closes, the database is
 * ended and its directory removed. Arguments: JSON with the program's path, its arguments, user and group, and the directory.
 */
import { spawn } from "node:child_process";
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

let ending = false;
let restarting = false;

function run(): void {
  const postgres = spawn(job.program, job.args, {
    stdio: ["ignore", "inherit", "inherit"],
    cwd: job.directory,
    ...(job.uid === undefined || job.gid === undefined ? {} : { uid: job.uid, gid: job.gid }),
  });
  const restart = (): void => {
    restarting = true;
    // SIGQUIT is PostgreSQL's immediate shutdown: as a crash, without a word to anyone.
    postgres.kill("SIGQUIT");
  };
  const end = (): void => {
    ending = true;
    postgres.kill("SIGQUIT");
  };
  postgres.on("exit", () => {
    process.stdin.removeAllListeners();
    if (restarting && !ending) {
      restarting = false;
      run();
      return;
    }
    rmSync(job.directory, { recursive: true, force: true });
    process.stdin.destroy();
    process.exitCode = ending ? 0 : 1;
  });
  // Anything said means: restart. The end of it means: end.
  process.stdin.on("data", restart).on("end", end).on("error", end);
}

// The terminal's Ctrl-C reaches the tests as well, whose end closes the pipe.
process.on("SIGINT", () => undefined);
run();
