import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { CliError, Exit } from "../errors.ts";
import type { Session } from "../session.ts";

/** The service's programs: the bundle beside ours, and the source below the same packages folder. */
const PROGRAMS = {
  start: { bundle: "server.mjs", source: "main.ts" },
  admin: { bundle: "admin.mjs", source: "admin.ts" },
} as const;

export function define(command: Command, session: Session): void {
  passing(
    command,
    "start",
    "run the service until it is stopped (its flags: --listen, --data, …; docs/operations.md)",
  ).action((args: string[], _options: unknown, sub: Command) => {
    const { org } = sub.optsWithGlobals<{ org?: string }>();
    return runProgram(session, PROGRAMS.start, [...args, ...(org === undefined ? [] : ["--org", org])]);
  });
  for (const [name, description] of [
    ["check", "re-verify everything a data directory holds; exit 1 when anything is wrong (--data)"],
    ["rebuild", "refill the tables from the events, with the service stopped (--data)"],
  ] as const) {
    passing(command, name, description).action((args: string[]) =>
      runProgram(session, PROGRAMS.admin, [name, ...args, "--output", session.output.format]),
    );
  }
}

/** A sub-verb whose own arguments all go to the program it starts; the options that come before the verb stay ours. */
function passing(command: Command, name: string, description: string): Command {
  return command.command(name).description(description).argument("[args...]", "passed on").allowUnknownOption();
}

/** Where a program is: this file lies in dist/ when bundled, else in packages/cli/src/verbs/. */
function programPath({ bundle, source }: { readonly bundle: string; readonly source: string }): string {
  const candidates = [
    new URL(`./${bundle}`, import.meta.url),
    new URL(`../../../server/src/${source}`, import.meta.url),
  ];
  const found = candidates.map((url) => fileURLToPath(url)).find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new CliError("server-not-installed", "the service's programs are not beside this one", {
    exit: Exit.unknown,
    hint: "Run `assay server` from the installation that holds the service.",
  });
}

/** Runs a program of the service under this very Node, with our terminal, our signals and our environment; its exit is ours. */
async function runProgram(
  session: Session,
  program: { readonly bundle: string; readonly source: string },
  args: readonly string[],
): Promise<void> {
  const signals = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR2"] as const;
  const forward = (signal: NodeJS.Signals): void => {
    // Ctrl-C reaches the whole process group already; a second one would stop the child without cleaning up.
    if (signal === "SIGINT" && process.stdin.isTTY) return;
    child.kill(signal);
  };
  // Before the child is there: a signal right after it is must not end this process and leave the service behind.
  for (const signal of signals) process.on(signal, forward);
  const child = spawn(process.execPath, [programPath(program), ...args], { stdio: "inherit" });
  try {
    const { code, signal } = await new Promise<{ code: number | null; signal: NodeJS.Signals | null }>(
      (resolve, reject) => {
        child.on("error", reject);
        child.on("exit", (code, signal) => resolve({ code, signal }));
      },
    );
    if (signal !== null) throw ended(`was ended by ${signal} (${128 + (constants.signals[signal] ?? 0)})`);
    if (code === Exit.yes || code === Exit.no || code === Exit.usage || code === Exit.unknown) session.answer(code);
    else throw ended(`ended with code ${code}`);
  } finally {
    for (const signal of signals) process.off(signal, forward);
  }
}

function ended(how: string): CliError {
  return new CliError("server-ended", `the service ${how}`, {
    exit: Exit.unknown,
    hint: "Look at what it wrote above.",
  });
}
