import type { ParseArgsConfig } from "node:util";
import type { JsonObject } from "../record/command.ts";
import type { Config } from "../config.ts";

/** What a command of administration is called with. */
export interface AdminCall {
  readonly config: Config;
  /** What follows the command's name. */
  readonly positionals: readonly string[];
  /** A flag's value; undefined when it was not given. */
  readonly flag: (name: string) => string | undefined;
  /** Every value of a flag that may be given several times. */
  readonly flags: (name: string) => readonly string[];
  /** Whether a switch was given. */
  readonly isSet: (name: string) => boolean;
  /** Says how far the work is: on standard error, and not at all with `--output json`. */
  readonly tell: (line: string) => void;
  /** The command's answer on standard output: `json` as one line with `--output json`, else `text`. */
  readonly print: (json: JsonObject, text: string) => void;
}

/** A command of `assay server …`. */
export interface AdminCommand {
  readonly name: string;
  /** What may follow the name, as the usage shows it. */
  readonly usage: string;
  readonly summary: string;
  /** Its flags besides `--data` and `--output`. */
  readonly options: NonNullable<ParseArgsConfig["options"]>;
  /** How many positional arguments it takes at most; 0 when absent. */
  readonly positionals?: number;
  /** @returns the exit code: 0 yes, 1 no (it looked, and found something wrong). An error thrown ends with 3. */
  run(call: AdminCall): Promise<number>;
}
