import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { asCliError, type CliError, Exit, usageError } from "./errors.ts";
import type { Format } from "./output.ts";
import { type Io, Session } from "./session.ts";
import { VERBS } from "./verbs.ts";
import { VERSION } from "./version.ts";

const EXIT_CODES = `
Exit codes:
  0  yes: done, or the answer is yes
  1  no: the answer is no, or the server or the registry refuses, or does not know what is named
  2  wrong usage: the command line, a setting, a reference, or a file given with it
  3  could not find out: network, login, server or file system
Of verify, decide and record verify 1 is only ever the answer itself: what keeps them from one, such as an unknown
organisation or image, is 3. \`policy check\` answers 1 for a policy that is not valid; verbs that use a policy file, 2.

With --output json the answer is one JSON document on standard output. An error leaves standard output empty and is
{"error":{"code","message","hint"}} on standard error, where warnings are {"warning":{"code","message"}}, one a line.`;

type GlobalOptions = { server?: string; token?: string; org?: string; output: Format };

/**
 * Runs the command line with `argv` (without program and script name) and returns the exit code; never throws for
 * anything a user can cause and never ends the process, so that tests call it directly.
 */
export async function run(argv: readonly string[], io: Io): Promise<Exit> {
  const session = new Session(io);
  // Usage errors are found before the options are parsed, and must already be in the form that was asked for.
  session.configure(requestedFormat(argv), {});
  const program = buildProgram(session);
  try {
    await program.parseAsync(helpAsOption(argv), { from: "user" });
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

function buildProgram(session: Session): Command {
  const program = new Command("assay")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => session.io.stdout.write(text),
      writeErr: () => undefined,
      outputError: () => undefined,
    })
    .description("Keep artifacts, bind signed evidence to them, decide from it whether they may be used.")
    .version(VERSION, "--version", "print the version")
    .addOption(new Option("--server <url>", "the server's address (ASSAY_URL)"))
    .addOption(new Option("--token <token>", "the API token (ASSAY_TOKEN; prefer the variable: arguments are visible)"))
    .addOption(new Option("--org <name>", "the organisation (ASSAY_ORG)"))
    .addOption(new Option("--output <format>", "form of the answer").choices(["text", "json"]).default("text"))
    .addHelpText("after", EXIT_CODES)
    // Help asked of a verb that is not there would otherwise be the help of what is above it, and no error.
    .addHelpText("beforeAll", ({ command }) => refuseUnknownVerb(command))
    .helpCommand(false);
  for (const verb of VERBS) {
    program.command(verb.name).summary(verb.summary).description(verb.summary);
  }
  // The verb's own options are unknown until its module is loaded; this hook runs before they are parsed.
  program.hook("preSubcommand", async (_program, chosen) => {
    const options = program.opts<GlobalOptions>();
    session.configure(options.output, {
      ...(options.server === undefined ? {} : { server: options.server }),
      ...(options.token === undefined ? {} : { token: options.token }),
      ...(options.org === undefined ? {} : { org: options.org }),
    });
    const verb = VERBS.find((candidate) => candidate.name === chosen.name());
    if (verb !== undefined) (await verb.load()).define(chosen, session);
  });
  return program;
}

/** `help VERB` as `VERB --help`: only the second way loads the verb, whose options are not known otherwise. */
function helpAsOption(argv: readonly string[]): string[] {
  return argv[0] === "help" ? [...argv.slice(1), "--help"] : [...argv];
}

/** Commander reports help and version as errors too: those were shown; all others are usage errors. */
function fromCommander(error: unknown, program: Command): CliError | "shown" {
  const { verb } = reached(program);
  const see = `See \`${verb} --help\`.`;
  if (error instanceof InvalidArgumentError) return usageError("usage", error.message, see);
  if (!(error instanceof CommanderError)) return asCliError(error);
  if (error.exitCode === 0) return "shown";
  if (error.code === "commander.help") return usageError("usage", "no verb given", see);
  const message = error.message.replace(/^error: /, "").replaceAll("\n", " ");
  return usageError("usage", message, see);
}

/** The verb that the words so far lead to, as it is typed ("assay key generate"). */
function reached(program: Command): { readonly command: Command; readonly verb: string } {
  let command = program;
  let verb = program.name();
  for (;;) {
    const word = firstWord(command);
    const next = command.commands.find((candidate) => candidate.name() === word);
    if (next === undefined) return { command, verb };
    command = next;
    verb += ` ${next.name()}`;
  }
}

function firstWord(command: Command): string | undefined {
  return command.args.find((argument) => !argument.startsWith("-"));
}

/** Called before help is shown. Errors: `usage` if a word names no verb below `command`. */
function refuseUnknownVerb(command: Command): string {
  const word = command.commands.length === 0 ? undefined : firstWord(command);
  if (word === undefined || word === "help" || command.commands.some((candidate) => candidate.name() === word))
    return "";
  throw new CommanderError(Exit.usage, "commander.unknownCommand", `unknown command '${word}'`);
}

function requestedFormat(argv: readonly string[]): Format {
  for (const [at, argument] of argv.entries()) {
    if (argument === "--") break;
    if (argument === "--output=json" || (argument === "--output" && argv[at + 1] === "json")) return "json";
  }
  return "text";
}

// bin/assay imports this and calls `main`. The bundle may also be run itself, and must then not end with 0 having done nothing.
if (import.meta.main) await main(process);
