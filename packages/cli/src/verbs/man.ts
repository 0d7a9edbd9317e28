import { spawn } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Command } from "commander";
import { writeFileAtomically } from "../atomic.ts";
import { CliError, Exit, fileError, systemCode, usageError } from "../errors.ts";
import { isOnPath } from "../keyring/program.ts";
import type { Session } from "../session.ts";
import { nearest } from "../suggest.ts";
import { VERBS } from "../verbs.ts";
import { VERSION } from "../version.ts";

export function define(command: Command, session: Session): void {
  command
    .argument("[verb]", "the verb whose page to show (default: the program's)")
    .option("--into <directory>", "write all pages there instead, as a `man1` directory of the MANPATH has them")
    .action((verb: string | undefined, options: { into?: string }) =>
      options.into === undefined ? show(session, verb) : write(session, verb, options.into),
    );
}

async function show(session: Session, verb: string | undefined): Promise<void> {
  const names = VERBS.map(({ name }) => name);
  if (verb !== undefined && !names.includes(verb)) {
    const meant = nearest(verb, names);
    throw usageError(
      "usage",
      `there is no verb ${JSON.stringify(verb)}`,
      meant === undefined ? "`assay --help` shows those there are." : `Did you mean ${meant}?`,
    );
  }
  const { pageName } = await import("../help/man.ts");
  const page = (await pages(session)).find(({ name }) => name === `${pageName(verb)}.1`);
  const text = page?.text ?? "";
  // A pager is for people: what is read by a program is the page itself.
  if (session.output.format === "json") session.output.result({ page: page?.name ?? null, roff: text }, "");
  else if (session.io.stdout.isTTY !== true || !isOnPath("man", session.env)) session.io.stdout.write(text);
  else await inPager(session, text);
}

async function write(session: Session, verb: string | undefined, folder: string): Promise<void> {
  if (verb !== undefined) throw usageError("usage", "--into writes all pages", "Leave out the verb.");
  try {
    await mkdir(folder, { recursive: true });
  } catch (error) {
    throw fileError(folder, error);
  }
  const written = [];
  for (const { name, text } of await pages(session)) {
    const path = join(folder, name);
    await writeFileAtomically(path, text, { mode: 0o644 });
    written.push(path);
  }
  session.output.result({ pages: written }, written.join("\n"));
}

async function pages(session: Session): Promise<{ readonly name: string; readonly text: string }[]> {
  const [{ wholeProgram }, { manualPages }] = await Promise.all([import("../program.ts"), import("../help/man.ts")]);
  return manualPages(await wholeProgram(session), VERSION);
}

/** Shows a page as `man` does, from standard input. */
async function inPager(session: Session, text: string): Promise<void> {
  const child = spawn("man", ["-l", "-"], { stdio: ["pipe", "inherit", "inherit"], env: { ...session.env } });
  child.stdin.on("error", (error) => {
    // The reader left before the end.
    if (systemCode(error) !== "EPIPE") throw error;
  });
  child.stdin.end(text);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  if (code !== 0) {
    throw new CliError("man-failed", `man ended with code ${code}`, {
      exit: Exit.unknown,
      hint: "`assay man VERB | cat` prints the page as it is.",
    });
  }
}
