import { paintVerdicts } from "./color.ts";
import type { CliError } from "./errors.ts";

/** How results are written: for people, or as one JSON document. */
export type Format = "text" | "json";

/** Anything JSON.stringify writes without loss. */
export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue | undefined };

/** The two streams a command writes to; tests pass their own. */
export type Streams = {
  readonly stdout: {
    write(text: string): unknown;
    readonly isTTY?: boolean | undefined;
    readonly columns?: number | undefined;
  };
  readonly stderr: {
    write(text: string): unknown;
    readonly isTTY?: boolean | undefined;
    readonly columns?: number | undefined;
  };
};

/** How much is said, and in what dress. */
export type Manner = {
  /** Nothing but the answer and errors. */
  readonly quiet: boolean;
  readonly color: boolean;
};

const PLAIN: Manner = { quiet: false, color: false };

/**
 * The only way a verb speaks: results on standard output, warnings and errors on standard error, each as text or JSON.
 * Standard output never holds anything but the result, so it can be piped.
 */
export class Output {
  readonly format: Format;
  readonly #streams: Streams;
  readonly #manner: Manner;

  constructor(format: Format, streams: Streams, manner: Manner = PLAIN) {
    this.format = format;
    this.#streams = streams;
    this.#manner = manner;
  }

  /** Writes the answer: `text` (a newline is added if missing) for people, `value` as JSON for programs. */
  result(value: JsonValue, text: string): void {
    const written = this.format === "json" ? JSON.stringify(value, null, 2) : text;
    this.#streams.stdout.write(written.endsWith("\n") || written === "" ? written : `${written}\n`);
  }

  /** As `result`, for an answer whose lines begin with verdicts: they are coloured where colour is wanted. */
  verdict(value: JsonValue, text: string): void {
    this.result(value, this.#manner.color ? paintVerdicts(text) : text);
  }

  /** A thing the user should know that does not change the answer. --quiet leaves it out. */
  warn(code: string, message: string): void {
    if (this.#manner.quiet) return;
    this.#line(this.format === "json" ? JSON.stringify({ warning: { code, message } }) : `warning: ${clean(message)}`);
  }

  /** An error: `{"error":{code,message,hint}}`, or two lines for people. */
  error(error: CliError): void {
    if (this.format === "json") {
      this.#line(JSON.stringify({ error: { code: error.code, message: error.message, hint: error.hint } }));
      return;
    }
    this.#line(`error: ${clean(error.message)} [${error.code}]`);
    if (error.hint !== undefined) this.#line(`       ${clean(error.hint)}`);
  }

  #line(text: string): void {
    this.#streams.stderr.write(`${text}\n`);
  }
}

/** Text from elsewhere (file names, servers) with control characters made visible, so that it cannot steer a terminal. */
export function clean(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: finding them is the purpose
  return text.replace(
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g,
    (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}
