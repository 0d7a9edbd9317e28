import { type CliError, usageError } from "./errors.ts";
import { normalizeServer } from "./server-address.ts";
import { nearest } from "./suggest.ts";

export type PreferenceName = "server" | "org" | "output" | "color" | "store" | "credential-helper";

/** One setting that the configuration file may hold, for everything or in a profile. */
type Preference = {
  readonly meaning: string;
  readonly choices?: readonly string[];
  /** The value as it is kept. Errors: a usage error that says what is wrong with it. */
  readonly read?: (text: string) => string;
};

/** Every setting of the configuration file. A key that is not here is refused: a misspelt one would silently do nothing. */
export const PREFERENCES: Readonly<Record<PreferenceName, Preference>> = {
  server: { meaning: "the server's address", read: normalizeServer },
  org: { meaning: "the organisation", read: (text) => plain("org", text, /^[A-Za-z0-9._-]{1,64}$/) },
  output: { meaning: "form of the answer", choices: ["text", "json"] },
  color: { meaning: "whether verdicts are coloured", choices: ["auto", "always", "never"] },
  store: { meaning: "where `assay login` keeps tokens", choices: ["auto", "keyring", "file"] },
  "credential-helper": {
    meaning: "keep tokens with the program docker-credential-NAME instead of the system's keyring",
    read: (text) => plain("credential-helper", text, /^[A-Za-z0-9_-]{1,64}$/),
  },
};

/** Settings as they are kept: those that are set. */
export type Preferences = { readonly [name in PreferenceName]?: string };

export const PREFERENCE_NAMES = Object.keys(PREFERENCES) as readonly PreferenceName[];

/** Errors: `setting-unknown` (usage), with the nearest name in its hint. */
export function preferenceName(text: string): PreferenceName {
  const found = PREFERENCE_NAMES.find((name) => name === text);
  if (found !== undefined) return found;
  const meant = nearest(text, PREFERENCE_NAMES);
  throw usageError(
    "setting-unknown",
    `there is no setting ${JSON.stringify(text)}`,
    meant === undefined ? `There are ${PREFERENCE_NAMES.join(", ")}.` : `Did you mean ${meant}?`,
  );
}

/** A setting's value as it is kept. Errors (usage): `setting-invalid`, `server-invalid`. */
export function preferenceValue(name: PreferenceName, text: string): string {
  const { choices, read } = PREFERENCES[name];
  if (choices !== undefined && !choices.includes(text)) {
    const meant = nearest(text, choices);
    throw invalid(name, text, meant === undefined ? `It is one of ${choices.join(", ")}.` : `Did you mean ${meant}?`);
  }
  return read?.(text) ?? text;
}

function plain(name: PreferenceName, text: string, form: RegExp): string {
  if (form.test(text)) return text;
  throw invalid(name, text, "It is a plain word: letters, digits and - _ (an organisation's: . too).");
}

function invalid(name: string, text: string, hint: string): CliError {
  return usageError("setting-invalid", `${JSON.stringify(text)} is no value of the setting ${name}`, hint);
}
