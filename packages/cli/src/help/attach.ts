import type { Command } from "commander";
import { EXAMPLES, type Example } from "./examples.ts";

/** Lets the help of every command show its examples; of one with verbs below it, those of all of them. */
export function attachExamples(program: Command): void {
  program.addHelpText("afterAll", ({ command }) => helpOf(examplesFor(pathOf(command))));
}

/** The words that lead to a command, without the program's name. */
export function pathOf(command: Command): string {
  const words: string[] = [];
  for (let at: Command = command; at.parent !== null; at = at.parent) words.unshift(at.name());
  return words.join(" ");
}

/** The examples of a command, or the first of each verb below it. */
export function examplesFor(path: string): readonly Example[] {
  const own = Object.hasOwn(EXAMPLES, path) ? (EXAMPLES[path] ?? []) : [];
  if (own.length > 0 || path === "") return own;
  const below = Object.entries(EXAMPLES).filter(([key]) => key.startsWith(`${path} `));
  return below.flatMap(([, examples]) => examples.slice(0, 1));
}

function helpOf(examples: readonly Example[]): string {
  if (examples.length === 0) return "";
  return `\nExamples:\n${examples.map(({ say, run }) => `  # ${say}\n  ${run}`).join("\n")}`;
}
