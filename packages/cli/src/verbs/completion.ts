import { Argument, type Command } from "commander";
import { behindWordBreak, shellWords } from "../completion/words.ts";
import { complete } from "../completion/complete.ts";
import { namesOf } from "../completion/names.ts";
import { SCRIPTS, SHELLS, type Shell } from "../completion/scripts.ts";
import type { Session } from "../session.ts";

const INSTALL: Readonly<Record<Shell, string>> = {
  bash: "in ~/.bashrc:  source <(assay completion bash)",
  zsh: "in ~/.zshrc, after compinit:  source <(assay completion zsh)",
  fish: "assay completion fish > ~/.config/fish/completions/assay.fish",
};

export function define(command: Command, session: Session): void {
  for (const shell of SHELLS) {
    command
      .command(shell)
      .description(`print the completion script for ${shell}; ${INSTALL[shell]}`)
      .action(() => void session.io.stdout.write(SCRIPTS[shell]));
  }
  command
    .command("answer", { hidden: true })
    .description("what the scripts ask: what could stand in the place of the last word")
    .addArgument(new Argument("<shell>").choices(SHELLS))
    .argument("[words...]", "the words behind the program's name; for bash the line up to the cursor")
    .action((shell: Shell, words: string[]) => answer(session, shell, words));
}

async function answer(session: Session, shell: Shell, given: readonly string[]): Promise<void> {
  const words = shell === "bash" ? shellWords(given[0] ?? "").slice(1) : given;
  // A tree of its own: the one that runs this verb has its words bound already.
  const { buildProgram, defineVerb } = await import("../program.ts");
  const { candidates, paths } = await complete(buildProgram(session), words, {
    define: (verb) => defineVerb(verb, session),
    names: (what) => namesOf(session, what),
  });
  const typed = words.at(-1) ?? "";
  const lines = candidates.map(({ value, about }) => {
    // A line of the answer is a candidate: what would make two of one cannot be offered.
    const shown = shell === "bash" ? behindWordBreak(typed, value) : value;
    return `${shown}\t${about.replaceAll(/[\t\n]/g, " ")}`;
  });
  session.io.stdout.write([paths, ...lines.filter((line) => !line.includes("\n")), ""].join("\n"));
}
