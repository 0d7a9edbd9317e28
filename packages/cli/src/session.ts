import { colorMode, wantsColor } from "./color.ts";
import { type Config, EMPTY_CONFIG, readConfig } from "./config.ts";
import type { Environment } from "./environment.ts";
import { CliError, Exit } from "./errors.ts";
import { isUtf8, type Setting } from "./explain.ts";
import { type Format, Output, type Streams } from "./output.ts";
import { type Amount, type Progress, SILENT, startProgress } from "./progress.ts";
import { type Flags, resolveSetting, resolveSettings, type Settings } from "./settings.ts";
import { requestLine } from "./trace.ts";
import type { Transport } from "./transport.ts";

/** What a run of the command line gets from outside; tests pass their own. */
export type Io = Streams & {
  readonly env: Environment;
  readonly stdin: NodeJS.ReadStream;
};

/** How much is said beside the answer: nothing, what one should know, or every request too. */
export type Talk = "quiet" | "normal" | "verbose";

/** One run of one verb: where it speaks, what it was told, what it answers. */
export class Session {
  readonly io: Io;
  #output: Output;
  #flags: Flags = {};
  #talk: Talk = "normal";
  #config: Promise<Config> | undefined;
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

  /** Says in which form errors are told that are found before the options are parsed. */
  expect(format: Format): void {
    this.#output = new Output(format, this.io);
  }

  /**
   * Takes the global options; called once, before the verb runs. A configuration file that is damaged does not matter here: the
   * verbs that need it say so, and those that do not (`login` with a server, `fingerprint`) must work.
   */
  async configure(flags: Flags, talk: Talk): Promise<void> {
    this.#flags = flags;
    this.#talk = talk;
    const config = await this.config().catch((error: unknown) => {
      if (error instanceof CliError) return undefined;
      throw error;
    });
    const found = (name: "output" | "color"): string | undefined =>
      config === undefined
        ? resolveSetting(
            name,
            { ...flags, profile: undefined },
            { ...this.env, ASSAY_PROFILE: undefined },
            EMPTY_CONFIG,
          )?.value
        : resolveSetting(name, flags, this.env, config)?.value;
    const format: Format = found("output") === "json" ? "json" : "text";
    const isTerminal = this.io.stdout.isTTY === true;
    const configured = colorMode(flags.color === undefined ? found("color") : undefined);
    this.#output = new Output(format, this.io, {
      quiet: talk === "quiet",
      color: wantsColor(colorMode(flags.color), this.env, configured, isTerminal),
    });
  }

  /** What the configuration file holds. Errors: `config-invalid`, those of the file system. */
  config(): Promise<Config> {
    this.#config ??= readConfig(this.env);
    return this.#config;
  }

  /** Server, token and organisation: flags, else environment, else profile, else the file's defaults, else the login's. */
  settings(): Promise<Settings> {
    this.#settings ??= this.config().then((config) =>
      resolveSettings(this.#flags, this.env, config, async (login, account) => {
        if (login.kept.in === "file") return login.kept.token;
        const { readKeptToken } = await import("./keyring/keyring.ts");
        return readKeptToken(login, account, this.env);
      }),
    );
    return this.#settings;
  }

  /** A way to servers and registries, closed with the session. With --verbose each request is told on standard error. */
  async transport(): Promise<Transport> {
    const { stderr } = this.io;
    // What speaks HTTP is by far the largest part of the program, and is loaded only where something is asked.
    const http = await import("./transport.ts");
    const transport = new http.Transport(
      this.#talk === "verbose"
        ? (request) => stderr.write(`${requestLine(request, this.#output.format)}\n`)
        : undefined,
    );
    this.onClose(() => transport.close());
    return transport;
  }

  /** Sets the exit code of a run that did not fail: yes (the default), no, or what a program that was started ended with. */
  answer(exit: Exit): void {
    this.#exit = exit;
  }

  /** How explanations are set: for the terminal's width and characters; for a program or a file without breaks. */
  get setting(): Setting {
    const { stdout } = this.io;
    return { width: stdout.isTTY === true ? stdout.columns : undefined, unicode: isUtf8(this.env) };
  }

  progress(label: string, total: number | undefined, amount?: Amount): Progress {
    if (this.#talk === "quiet") return SILENT;
    return startProgress(this.io, this.#output.format, label, total, undefined, amount);
  }

  /** Registers something (a connection pool) to be closed when the verb is done. */
  onClose(close: () => Promise<void>): void {
    this.#closers.push(close);
  }

  async close(): Promise<void> {
    for (const close of this.#closers.splice(0)) await close();
  }
}
