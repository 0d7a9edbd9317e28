import type { Argument, Command, Option } from "commander";

/** What stands at the cursor's place, and what is said about it. */
export type Candidate = { readonly value: string; readonly about: string };

/** Names that are found out when they are asked for: from the configuration, or from the server. */
export type Names = "profile" | "server" | "organisation" | "policy" | "setting" | "verb";

/** What could stand at the cursor: candidates, and whether the shell is to offer its own files or directories too. */
export type Completion = {
  readonly candidates: readonly Candidate[];
  readonly paths: "none" | "files" | "directories";
};

/** What the words before the cursor lead to: only verbs that they name are defined, and names are looked up only when wanted. */
export type Sources = {
  readonly define: (command: Command) => Promise<void>;
  readonly names: (what: Names) => Promise<readonly string[]>;
};

const NOTHING: Completion = { candidates: [], paths: "none" };

/**
 * What could stand in the place of the last of `words` (what was typed of it, perhaps nothing), by the command line's own tree. `words`
 * are those behind the program's name. Candidates that do not begin with what was typed are left out.
 */
export async function complete(program: Command, words: readonly string[], sources: Sources): Promise<Completion> {
  const typed = words.at(-1) ?? "";
  const before = words.slice(0, -1);
  let command = program;
  let operands = 0;
  let ended = false;
  let awaiting: Option | undefined;
  for (const [at, word] of before.entries()) {
    if (awaiting !== undefined && !ended) {
      // A variadic option takes everything up to the next option.
      if (!(awaiting.variadic && word.startsWith("-"))) {
        if (!awaiting.variadic) awaiting = undefined;
        continue;
      }
      awaiting = undefined;
    }
    if (!ended && word === "--") ended = true;
    else if (!ended && word.startsWith("-") && word.length > 1) {
      const option = optionOf(command, word);
      if (option !== undefined && (option.required || option.optional) && !word.includes("=")) awaiting = option;
    } else {
      const next = operands === 0 && !ended ? subVerb(command, word) : undefined;
      if (next === undefined) {
        // `assay help VERB…` is `assay VERB… --help`.
        if (!(at === 0 && word === "help")) operands += 1;
        continue;
      }
      command = next;
      await sources.define(command);
    }
  }
  const isVariadicOption = awaiting?.variadic === true && typed.startsWith("-");
  if (awaiting !== undefined && !ended && !isVariadicOption) {
    return startingWith(typed, await valuesOf(awaiting.flags, awaiting.argChoices, sources));
  }
  const attached = ended ? null : /^(--[^=]+)=(.*)$/.exec(typed);
  if (attached !== null) {
    const option = optionOf(command, attached[1] ?? "");
    if (option === undefined) return NOTHING;
    const found = startingWith(attached[2] ?? "", await valuesOf(option.flags, option.argChoices, sources));
    const candidates = found.candidates.map(({ value, about }) => ({ value: `${attached[1]}=${value}`, about }));
    return { ...found, candidates };
  }
  if (!ended && typed.startsWith("-"))
    return startingWith(typed, { candidates: optionsOf(command, before), paths: "none" });
  if (command.commands.length > 0 && operands === 0) {
    const verbs = verbsOf(command);
    const help =
      command === program && before.length === 0 ? [{ value: "help", about: "show the help of a verb" }] : [];
    return startingWith(typed, { candidates: [...verbs, ...help], paths: "none" });
  }
  const argument = command.registeredArguments[operands] ?? lastVariadic(command);
  if (argument === undefined) return NOTHING;
  return startingWith(typed, await valuesOf(`<${argument.name()}>`, argument.argChoices, sources));
}

function subVerb(command: Command, word: string): Command | undefined {
  return command.commands.find((candidate) => candidate.name() === word);
}

function lastVariadic(command: Command): Argument | undefined {
  const last = command.registeredArguments.at(-1);
  return last?.variadic === true ? last : undefined;
}

/** The verbs below a command that help shows. */
export function verbsOf(command: Command): Candidate[] {
  return command
    .createHelp()
    .visibleCommands(command)
    .map((sub) => ({ value: sub.name(), about: sub.summary() || sub.description() }));
}

/** An option of the command or of one above it, by how it is written: `--name`, `--name=value`, `-n`. */
function optionOf(command: Command, word: string): Option | undefined {
  const name = word.startsWith("--") ? word.replace(/=.*$/, "") : word.slice(0, 2);
  for (let at: Command | null = command; at !== null; at = at.parent) {
    const found = at.options.find((option) => option.long === name || option.short === name);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The options that may still be given: each once, unless it can be repeated. */
function optionsOf(command: Command, before: readonly string[]): Candidate[] {
  const found: Candidate[] = [];
  for (let at: Command | null = command; at !== null; at = at.parent) {
    for (const option of at.options) {
      const { long, short, description, hidden, variadic } = option;
      if (long === undefined || hidden) continue;
      const isGiven = before.some((word) => word === long || word === short || word.startsWith(`${long}=`));
      const repeatable = variadic || option.parseArg !== undefined || /repeatable/.test(description);
      if (!isGiven || repeatable) found.push({ value: long, about: description });
    }
  }
  return [...found, { value: "--help", about: "display help" }];
}

/** The kinds of values, told by the placeholder that help shows: `<file>`, `<directory>`, `<name>` of --org. */
async function valuesOf(flags: string, choices: readonly string[] | undefined, sources: Sources): Promise<Completion> {
  if (choices !== undefined) return { candidates: choices.map((value) => ({ value, about: "" })), paths: "none" };
  const placeholder = /[<[]([^>\]]+?)(?:\.\.\.)?[>\]]/.exec(flags)?.[1] ?? "";
  const named = namesOf(flags, placeholder);
  const candidates =
    named === undefined ? [] : (await sources.names(named)).map((value) => ({ value, about: NAME_WORDS[named] }));
  return { candidates, paths: pathsOf(placeholder) };
}

const NAME_WORDS: Readonly<Record<Names, string>> = {
  profile: "profile",
  server: "server",
  organisation: "organisation",
  policy: "policy",
  setting: "setting",
  verb: "verb",
};

function namesOf(flags: string, placeholder: string): Names | undefined {
  if (flags.startsWith("--profile ")) return "profile";
  if (flags.startsWith("--org ")) return "organisation";
  if (flags.startsWith("--server ") || placeholder === "server") return "server";
  if (placeholder === "policy") return "policy";
  if (placeholder === "setting") return "setting";
  if (placeholder === "profile") return "profile";
  if (placeholder === "verb") return "verb";
  return undefined;
}

function pathsOf(placeholder: string): Completion["paths"] {
  if (/^(?:file|path|subject|bundle|receipt|archive|prefix|policy)$/.test(placeholder)) return "files";
  return placeholder === "directory" ? "directories" : "none";
}

function startingWith(typed: string, { candidates, paths }: Completion): Completion {
  return { candidates: candidates.filter(({ value }) => value.startsWith(typed)), paths };
}
