import type { Environment } from "./environment.ts";

export const COLOR_MODES = ["auto", "always", "never"] as const;
export type ColorMode = (typeof COLOR_MODES)[number];

const GREEN = 32;
const RED = 31;
const YELLOW = 33;

/**
 * The words that lines of an answer begin with and that are its verdicts, with their colour. Colour is never the only carrier: each
 * word says the same without it.
 */
const VERDICTS: readonly (readonly [words: string, color: number])[] = [
  ["NOT VERIFIED", RED],
  ["VERIFIED", GREEN],
  ["PROVEN", GREEN],
  ["HOLDS", GREEN],
  ["REDACTED", YELLOW],
  ["ALLOWED", GREEN],
  ["DENIED", RED],
  ["allowed", GREEN],
  ["denied", RED],
  ["verified", GREEN],
  ["refused", RED],
  ["reported", YELLOW],
  ["✓", GREEN],
  ["✗", RED],
];

const LEADING = new RegExp(`^([ │├└─]*)(${VERDICTS.map(([words]) => words).join("|")})(?=\\s|$)`, "gmu");

/**
 * Whether to colour: what --color says, else NO_COLOR (no-color.org: set and not empty), else FORCE_COLOR (set, and neither empty, 0
 * nor false), else the configuration, else whether a person reads: a terminal that is not a dumb one.
 */
export function wantsColor(
  asked: ColorMode | undefined,
  env: Environment,
  configured: ColorMode | undefined,
  isTerminal: boolean,
): boolean {
  const auto = isTerminal && env.TERM !== "dumb";
  if (asked !== undefined) return asked === "auto" ? auto : asked === "always";
  if ((env.NO_COLOR ?? "") !== "") return false;
  const force = env.FORCE_COLOR ?? "";
  if (force !== "") return force !== "0" && force !== "false";
  return configured === undefined || configured === "auto" ? auto : configured === "always";
}

/** An answer with the verdicts at the beginning of its lines coloured. The text must hold no control characters of others. */
export function paintVerdicts(text: string): string {
  const colors = new Map(VERDICTS);
  return text.replace(LEADING, (_, indent: string, words: string) => {
    return `${indent}\u001b[${colors.get(words) ?? 0}m${words}\u001b[0m`;
  });
}

/** A mode from the command line or the file; anything else is undefined. */
export function colorMode(text: string | undefined): ColorMode | undefined {
  return COLOR_MODES.find((mode) => mode === text);
}
