import { readConfig } from "./config.ts";
import type { Environment } from "./environment.ts";
import { Exit } from "./errors.ts";
import { type Format, Output, type Streams } from "./output.ts";
import { type Progress, startProgress } from "./progress.ts";
import { type Flags, resolveSettings, type Settings } from "./settings.ts";

/** What a run of the command line gets from outside; tests pass their own. */
export type Io = Streams & {
  readonly env: Environment;
  readonly stdin: NodeJS.ReadStream;
};

/** One run of one verb: where it speaks, what it was told, what it answers. */
export class Session {
  readonly io: Io;
  #output: Output;
  #flags: Flags = {};
  #settings: Promise<Settings> | undefined;
  #exit: Exit = Exit.yes;
  readonly #closers: (() => Promise<void>)[] = [];

  constructor(io: Io) {
    this.io = io;
    this.#output = new Output("text", io);
  }

  get output(): Output {
    return this.#output;
  }

  get env(): Environment {
    return this.io.env;
  }

  get exit(): Exit {
    return this.#exit;
  }

  /** The global options as written on the command line. */
  get flags(): Flags {
    return this.#flags;
  }

  /** Takes the global options; called once, before the verb runs. */
  configure(format: Format, flags: Flags): void {
    this.#output = new Output(format, this.io);
    this.#flags = flags;
  }

  /** Server, token and organisation: flags, else environment, else the file written by `assay login`. */
  settings(): Promise<Settings> {
    this.#settings ??= readConfig(this.env).then((config) => resolveSettings(this.#flags, this.env, config));
    return this.#settings;
  }

  /** Sets the exit code of a run that did not fail: yes (the default), no, or what a program that was started ended with. */
  answer(exit: Exit): void {
    this.#exit = exit;
  }

  progress(label: string, total: number | undefined): Progress {
    return startProgress(this.io, this.#output.format, label, total);
  }

  /** Registers something (a connection pool) to be closed when the verb is done. */
  onClose(close: () => Promise<void>): void {
    this.#closers.push(close);
  }

  async close(): Promise<void> {
    for (const close of this.#closers.splice(0)) await close();
  }
}
