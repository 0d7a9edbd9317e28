/** How the demo speaks: chapters, prose, and each command with its output; and what it expected of them. */
import { fileURLToPath } from "node:url";
import { clientProgram } from "./clients.ts";
import type { Home, Result } from "./harness.ts";

const ASSAY = fileURLToPath(new URL("../bin/assay", import.meta.url));

/** What a command of the demo must end with: 0 yes, 1 no; or anything but 0. */
export type Expected = 0 | 1 | "refusal";

export class Stage {
  readonly #home: Home;
  readonly #env: Readonly<Record<string, string>>;
  /** Words that are shown as stars. */
  readonly #secrets: readonly string[];
  readonly #isTerminal: boolean = process.stdout.isTTY === true;
  readonly #surprises: string[] = [];
  #chapters = 0;
  #expectations = 0;

  constructor(home: Home, env: Readonly<Record<string, string>>, secrets: readonly string[]) {
    this.#home = home;
    this.#env = env;
    this.#secrets = secrets;
  }

  chapter(title: string): void {
    this.#chapters += 1;
    const line = `── ${this.#chapters}. ${title} `;
    this.#write(`\n${this.#style("1", line.padEnd(100, "─"))}\n`);
  }

  say(text: string): void {
    this.#write(`\n${text}\n`);
  }

  /** Shows a command, runs it, shows what it wrote. `crane`, `cosign` and `assay` are found; they run in the demo's home. */
  async run(expected: Expected, command: string, ...args: string[]): Promise<Result> {
    this.#write(`\n${this.#style("1;36", `$ ${this.#hide([command, ...args].map(shellWord).join(" "))}`)}\n`);
    const [program, words] =
      command === "assay" ? [process.execPath, [ASSAY, ...args]] : [clientProgram(command), args];
    const result = await this.#home.run(program, words, { env: { ...this.#env } });
    const output = `${result.stdout.trimEnd()}\n${result.stderr.trimEnd()}`.trim();
    if (output !== "") this.#write(`${this.#hide(output).replace(/^(?=.)/gm, "  ")}\n`);
    this.#expectations += 1;
    const asExpected = expected === "refusal" ? result.code !== 0 : result.code === expected;
    if (expected !== 0 || !asExpected)
      this.#write(this.#style(asExpected ? "2" : "1;31", `  exit code ${result.code}\n`));
    if (!asExpected) {
      const wanted = expected === "refusal" ? "a refusal" : `exit code ${expected}`;
      this.#surprises.push(`${wanted} was expected of: ${this.#hide([command, ...args].map(shellWord).join(" "))}`);
    }
    return result;
  }

  /** Holds that something is so; if not the demo fails in the end. */
  expect(what: string, holds: boolean): void {
    this.#expectations += 1;
    if (!holds) this.#surprises.push(what);
  }

  /** The last words; whether everything came as expected. */
  end(): boolean {
    const isGood = this.#surprises.length === 0;
    for (const surprise of this.#surprises) this.#write(this.#style("1;31", `\nNOT AS EXPECTED: ${surprise}\n`));
    const words = isGood ? `All ${this.#expectations} answers came as expected.` : "The demo failed.";
    this.#write(`\n${this.#style(isGood ? "1;32" : "1;31", words)}\n`);
    return isGood;
  }

  #hide(text: string): string {
    return this.#secrets.reduce((shown, secret) => shown.replaceAll(secret, "********"), text);
  }

  #style(code: string, text: string): string {
    return this.#isTerminal ? `\u001b[${code}m${text}\u001b[0m` : text;
  }

  #write(text: string): void {
    process.stdout.write(text);
  }
}

function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
