import type { Command } from "commander";
import { examplesFor, pathOf } from "./attach.ts";

/** One manual page: its file's name ("assay-verify.1") and its text in the man macros (groff_man(7)). */
export type ManualPage = { readonly name: string; readonly text: string };

/** The pages of the whole command line: one of the program, and one of each verb with all that is below it. */
export function manualPages(program: Command, version: string): ManualPage[] {
  const verbs = visible(program);
  return [programPage(program, verbs, version), ...verbs.map((verb) => verbPage(verb, program, version))];
}

/** The name of a verb's page; of the program's without one. */
export function pageName(verb: string | undefined): string {
  return verb === undefined ? "assay" : `assay-${verb}`;
}

function programPage(program: Command, verbs: readonly Command[], version: string): ManualPage {
  const lines = [
    ...head(pageName(undefined), program.description(), version),
    ".SH SYNOPSIS",
    `.B assay`,
    `${roff("[options] <verb> …")}`,
    ".SH DESCRIPTION",
    roff(program.description()),
    ".SH VERBS",
    ...verbs.flatMap((verb) => [
      ".TP",
      `.BR ${hyphens(pageName(verb.name()))} (1)`,
      roff(verb.summary() || verb.description()),
    ]),
    ".SH OPTIONS",
    "Every verb has these.",
    ...options(program),
    ...afterword(program),
    ".SH FILES",
    ".TP",
    ".I ~/.config/assay/config.json",
    roff("Settings, profiles and logins; see assay config path."),
  ];
  return { name: `${pageName(undefined)}.1`, text: text(lines) };
}

function verbPage(verb: Command, program: Command, version: string): ManualPage {
  const leaves = leavesOf(verb);
  const lines = [
    ...head(pageName(verb.name()), verb.description(), version),
    ".SH SYNOPSIS",
    ...leaves.flatMap((leaf, at) => [
      ...(at === 0 ? [] : [".br"]),
      `.B ${hyphens(`assay ${pathOf(leaf)}`)}`,
      roff(usageOf(leaf)),
    ]),
    ".SH DESCRIPTION",
    roff(sentence(verb.description())),
  ];
  if (leaves[0] === verb) {
    lines.push(...definitions(verb), ...afterword(verb));
  } else {
    lines.push(...afterword(verb), ".SH VERBS");
    for (const leaf of leaves) {
      lines.push(
        `.SS ${hyphens(`assay ${pathOf(leaf)}`)}`,
        roff(sentence(leaf.description())),
        ...definitions(leaf),
        ...afterword(leaf),
      );
    }
  }
  const examples = leaves.flatMap((leaf) => examplesFor(pathOf(leaf)));
  if (examples.length > 0) {
    lines.push(".SH EXAMPLES");
    for (const [at, { say, run }] of examples.entries())
      lines.push(
        ...(at === 0 ? [] : [".PP"]),
        roff(/[?!.]$/.test(say) ? say : `${say}:`),
        ".PP",
        ".RS 4",
        ".EX",
        roff(run),
        ".EE",
        ".RE",
      );
  }
  lines.push(
    ".SH EXIT STATUS",
    roff("0: yes. 1: no. 2: wrong usage. 3: could not find out. See assay(1)."),
    ".SH SEE ALSO",
    ...seeAlso(verb, program),
  );
  return { name: `${pageName(verb.name())}.1`, text: text(lines) };
}

function seeAlso(verb: Command, program: Command): string[] {
  const names = visible(program).map((other) => other.name());
  const at = names.indexOf(verb.name());
  const neighbours = [names[at - 1], names[at + 1]].filter((name) => name !== undefined);
  const pages = [pageName(undefined), ...neighbours.map((name) => pageName(name))];
  return pages.map((page, index) => `.BR ${hyphens(page)} (1)${index === pages.length - 1 ? "" : " ,"}`);
}

/** A command's own arguments and options. */
function definitions(command: Command): string[] {
  const help = command.createHelp();
  const operands = command.registeredArguments.flatMap((argument) => [
    ".TP",
    `.I ${roff(argument.name())}`,
    roff(help.argumentDescription(argument) || "."),
  ]);
  return [...operands, ...options(command)];
}

function options(command: Command): string[] {
  const help = command.createHelp();
  return help
    .visibleOptions(command)
    .filter((option) => option.long !== "--help")
    .flatMap((option) => [".TP", `.B ${hyphens(option.flags)}`, roff(help.optionDescription(option))]);
}

/** What the verb's help says behind its options. Commander gives it only to what help is written to. */
function afterword(command: Command): string[] {
  const written: string[] = [];
  command.configureOutput({ writeOut: (words) => void written.push(words) });
  command.outputHelp();
  const words = written.join("").slice(command.helpInformation().length).trim();
  if (words === "") return [];
  return [".PP", ".nf", ...words.split("\n").map((line) => (line === "" ? ".sp" : roff(line))), ".fi"];
}

function leavesOf(command: Command): Command[] {
  const subs = visible(command);
  return subs.length === 0 ? [command] : subs.flatMap(leavesOf);
}

/** The verbs below a command that help shows. */
function visible(command: Command): Command[] {
  const help = command.createHelp();
  return help.visibleCommands(command).filter((sub) => sub.name() !== "help") as Command[];
}

function usageOf(command: Command): string {
  return command.usage();
}

function head(page: string, description: string, version: string): string[] {
  return [
    '.\\" Made from the command line itself by `assay man`.',
    `.TH ${hyphens(page).toUpperCase()} 1 "" "assay ${roff(version)}" "Assay"`,
    ".SH NAME",
    `${hyphens(page)} \\- ${roff(description.replace(/\.$/, ""))}`,
  ];
}

function sentence(words: string): string {
  return words === "" ? "" : `${words[0]?.toUpperCase()}${words.slice(1)}${/[.!?\u2026]$/.test(words) ? "" : "."}`;
}

/** A line of text in roff: nothing in it is a request or an escape. */
function roff(words: string): string {
  const escaped = hyphens(words.replaceAll("\\", "\\e"))
    .replaceAll("'", "\\(aq")
    .replaceAll("`", "\\(ga")
    .replaceAll("~", "\\(ti")
    .replaceAll("^", "\\(ha");
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped;
}

/** Hyphens that can be copied into a shell; a bare one may be set as a typographic hyphen. Everything outside ASCII by its number. */
function hyphens(words: string): string {
  return words
    .replaceAll("-", "\\-")
    .replaceAll(/[^\x20-\x7e]/gu, (c) => `\\[u${(c.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}]`);
}

function text(lines: readonly string[]): string {
  return `${lines.filter((line) => line !== "").join("\n")}\n`;
}
