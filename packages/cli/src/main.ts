import { type Command, CommanderError, InvalidArgumentError } from "commander";
import { asCliError, type CliError, Exit, usageError } from "./errors.ts";
import type { Format } from "./output.ts";
import { buildProgram, reached } from "./program.ts";
import { type Io, Session } from "./session.ts";
import { nearest } from "./suggest.ts";

/**
 * Runs the command line with `argv` (without program and script name) and returns the exit code; never throws for
 * anything a user can cause and never ends the process, so that tests call it directly.
 */
export async function run(argv: readonly string[], io: Io): Promise<Exit> {
  const session = new Session(io);
  // Usage errors are found before the options are parsed, and must already be in the form that was asked for.
  session.expect(requestedFormat(argv, io));
  const program = buildProgram(session);
  const words = helpAsOption(argv);
  try {
    // The examples are read only where they are shown.
    if (asksHelp(words)) (await import("./help/attach.ts")).attachExamples(program);
    await program.parseAsync(words, { from: "user" });
    return session.exit;
  } catch (error) {
    const known = fromCommander(error, program);
    if (known === "shown") return Exit.yes;
    session.output.error(known);
    return known.exit;
  } finally {
    await session.close();
  }
}

/** The entry point of bin/assay: sets the exit code and lets the process end by itself, so that output is flushed. */
export async function main(process: NodeJS.Process): Promise<void> {
  // `assay … | head` closes our output early; that is the reader's choice and no error of ours.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
  });
  process.exitCode = await run(process.argv.slice(2), process);
}

/** `help VERB` as `VERB --help`: only the second way loads the verb, whose options are not known otherwise. */
function helpAsOption(argv: readonly string[]): string[] {
  return argv[0] === "help" ? [...argv.slice(1), "--help"] : [...argv];
}

/** Whether help is asked for; what stands behind "--" is no option. */
function asksHelp(argv: readonly string[]): boolean {
  const end = argv.indexOf("--");
  return argv.slice(0, end < 0 ? argv.length : end).some((word) => word === "--help" || word === "-h");
}

/** Commander reports help and version as errors too: those were shown; all others are usage errors. */
function fromCommander(error: unknown, program: Command): CliError | "shown" {
  const { verb } = reached(program);
  const see = `See \`${verb} --help\`.`;
  if (error instanceof InvalidArgumentError) return usageError("usage", error.message, see);
  if (!(error instanceof CommanderError)) return asCliError(error);
  if (error.exitCode === 0) return "shown";
  if (error.code === "commander.help") return usageError("usage", "no verb given", see);
  const { message, meant } = withoutSuggestion(error.message.replace(/^error: /, ""));
  return usageError("usage", message, meant === undefined ? see : `Did you mean ${meant}? ${see}`);
}

/** Commander puts its suggestion into the message; for a value that is none of the choices it has none. */
function withoutSuggestion(text: string): { readonly message: string; readonly meant: string | undefined } {
  const suggested = /\n\(Did you mean (?:one of )?(.+)\?\)$/.exec(text);
  const message = text.slice(0, suggested?.index ?? text.length).replaceAll("\n", " ");
  if (suggested !== null) return { message, meant: suggested[1] };
  const choice = /(?:argument|value) '(.*)' is invalid(?: for argument '.*')?\. Allowed choices are (.+)\.$/.exec(
    message,
  );
  const meant = choice === null ? undefined : nearest(choice[1] ?? "", (choice[2] ?? "").split(", "));
  return { message, meant };
}

function requestedFormat(argv: readonly string[], io: Io): Format {
  let format: Format = io.env.ASSAY_OUTPUT === "json" ? "json" : "text";
  for (const [at, argument] of argv.entries()) {
    if (argument === "--") break;
    const value = argument === "--output" ? argv[at + 1] : /^--output=(.*)$/.exec(argument)?.[1];
    if (value !== undefined) format = value === "json" ? "json" : "text";
  }
  return format;
}

// bin/assay imports this and calls `main`. The bundle may also be run itself, and must then not end with 0 having done nothing.
if (import.meta.main) await main(process);
