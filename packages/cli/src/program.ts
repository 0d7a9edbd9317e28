import { Command, CommanderError, Option } from "commander";
import { COLOR_MODES } from "./color.ts";
import { Exit } from "./errors.ts";
import { nearest } from "./suggest.ts";
import type { Session, Talk } from "./session.ts";
import type { Flags } from "./settings.ts";
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
{"error":{"code","message","hint"}} on standard error, where warnings are {"warning":{"code","message"}}, one a line.

A setting comes from its flag, else its variable, else the profile, else the configuration file (\`assay config list
--show-origin\`). NO_COLOR and FORCE_COLOR are honoured.`;

type GlobalOptions = Flags & { quiet?: true; verbose?: true };

/** The whole command line but for what is below the verbs: that is defined when a verb is used. */
export function buildProgram(session: Session): Command {
  const program = new Command("assay")
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => session.io.stdout.write(text),
      writeErr: () => undefined,
      outputError: () => undefined,
      // Help is as wide as the terminal, and as a page of text where there is none.
      getOutHelpWidth: () => Math.min(session.io.stdout.columns ?? 100, 120),
    })
    .description("Keep artifacts, bind signed evidence to them, decide from it whether they may be used.")
    .version(VERSION, "--version", "print the version")
    .addOption(new Option("--server <url>", "the server's address (ASSAY_URL)"))
    .addOption(new Option("--token <token>", "the API token (ASSAY_TOKEN; prefer the variable: arguments are visible)"))
    .addOption(new Option("--org <name>", "the organisation (ASSAY_ORG)"))
    .addOption(new Option("--profile <name>", "the profile whose settings to use (ASSAY_PROFILE)"))
    .addOption(
      new Option("--output <format>", "form of the answer (ASSAY_OUTPUT; default: text)").choices(["text", "json"]),
    )
    .addOption(new Option("--color <when>", "colour verdicts (default: auto, on a terminal)").choices(COLOR_MODES))
    .addOption(
      new Option("-q, --quiet", "say nothing but the answer and errors: no warnings, no progress").conflicts("verbose"),
    )
    .addOption(new Option("-v, --verbose", "tell every HTTP request: method, address, status, milliseconds"))
    .addHelpText("after", EXIT_CODES)
    // Help asked of a verb that is not there would otherwise be the help of what is above it, and no error.
    .addHelpText("beforeAll", ({ command }) => refuseUnknownVerb(command))
    .helpCommand(false);
  for (const verb of VERBS) {
    program.command(verb.name).summary(verb.summary).description(verb.summary);
  }
  // The verb's own options are unknown until its module is loaded; this hook runs before they are parsed.
  program.hook("preSubcommand", async (_program, chosen) => {
    const { quiet, verbose, ...flags } = program.opts<GlobalOptions>();
    const talk: Talk = quiet === true ? "quiet" : verbose === true ? "verbose" : "normal";
    await session.configure(flags, talk);
    await defineVerb(chosen, session);
  });
  return program;
}

/** Loads a verb's module and lets it add what is below the verb. Of a command that is no verb, or done already, nothing changes. */
export async function defineVerb(command: Command, session: Session): Promise<void> {
  const verb = VERBS.find((candidate) => candidate.name === command.name());
  if (verb === undefined || defined.has(command)) return;
  defined.add(command);
  (await verb.load()).define(command, session);
}

const defined = new WeakSet<Command>();

/** The command line with everything below every verb: what completion, manual pages and tests are made from. */
export async function wholeProgram(session: Session): Promise<Command> {
  const program = buildProgram(session);
  for (const command of program.commands) await defineVerb(command, session);
  return program;
}

/** The verb that the words so far lead to, as it is typed ("assay key generate"). */
export function reached(program: Command): { readonly command: Command; readonly verb: string } {
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
  const names = command.commands.map((candidate) => candidate.name());
  if (word === undefined || word === "help" || names.includes(word)) return "";
  const meant = nearest(word, names);
  const suggestion = meant === undefined ? "" : `\n(Did you mean ${meant}?)`;
  throw new CommanderError(Exit.usage, "commander.unknownCommand", `unknown command '${word}'${suggestion}`);
}
