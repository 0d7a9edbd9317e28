import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { writeFileAtomically } from "./atomic.ts";
import { CliError, Exit, fileError, systemCode } from "./errors.ts";
import type { Environment } from "./environment.ts";
import { preferenceName, type Preferences, preferenceValue } from "./preferences.ts";

/** Where the token of a login lies: in the configuration file, or in a keyring (keyring/keyring.ts says by which names). */
export type KeptToken =
  | { readonly in: "file"; readonly token: string }
  | { readonly in: "keyring"; readonly keyring: string };

/** What `assay login` keeps for one server. */
export type StoredLogin = { readonly kept: KeptToken; readonly org: string | undefined };

/** Settings under a name, and perhaps a login of its own: two profiles may be two people at one server. */
export type Profile = {
  readonly settings: Preferences;
  /** Good for `settings.server` only. */
  readonly login: StoredLogin | undefined;
};

/** The configuration file. */
export type Config = {
  /** What holds where no profile says otherwise. */
  readonly settings: Preferences;
  /** The profile used when none is named. */
  readonly profile: string | undefined;
  readonly profiles: ReadonlyMap<string, Profile>;
  /** By normalised server URL. */
  readonly servers: ReadonlyMap<string, StoredLogin>;
};

const MAX_BYTES = 1 << 20;
const MAX_PROFILES = 1000;
export const EMPTY_CONFIG: Config = { settings: {}, profile: undefined, profiles: new Map(), servers: new Map() };

/** $XDG_CONFIG_HOME/assay/config.json, or ~/.config/assay/config.json. */
export function configPath(env: Environment): string {
  const base = env.XDG_CONFIG_HOME;
  // The XDG specification: a relative path in the variable is invalid and is ignored.
  const root = base?.startsWith("/") ? base : join(env.HOME || homedir(), ".config");
  return join(root, "assay", "config.json");
}

/** Reads the file; a missing one is an empty configuration. Errors: `config-invalid`, and those of the file system. */
export async function readConfig(env: Environment): Promise<Config> {
  const path = configPath(env);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (systemCode(error) === "ENOENT") return EMPTY_CONFIG;
    throw fileError(path, error);
  }
  return parseConfig(text, path);
}

/** Writes the file, readable by its owner only; another program sees the old or the new one, never a part. */
export async function writeConfig(env: Environment, config: Config): Promise<void> {
  const text = `${JSON.stringify(
    {
      version: 2,
      profile: config.profile,
      settings: config.settings,
      profiles: Object.fromEntries(
        [...config.profiles].map(([name, { settings, login }]) => [
          name,
          { settings, login: login === undefined ? undefined : loginJson(login) },
        ]),
      ),
      servers: Object.fromEntries([...config.servers].map(([url, login]) => [url, loginJson(login)])),
    },
    null,
    2,
  )}\n`;
  await writeFileAtomically(configPath(env), text, { mode: 0o600, makeFolders: 0o700 });
}

function loginJson({ kept, org }: StoredLogin): object {
  return { ...(kept.in === "file" ? { token: kept.token } : { keyring: kept.keyring }), org };
}

/** Whether a text can name a profile. */
export function isProfileName(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(text);
}

/** Parses the file's text; `path` is for messages only. Errors: `config-invalid`. */
export function parseConfig(text: string, path: string): Config {
  const invalid: Refuse = (why, hint = "Remove the file and run `assay login` again.", cause) =>
    new CliError("config-invalid", `${path} is damaged: ${why}`, { exit: Exit.unknown, hint, cause });
  if (text.length > MAX_BYTES) throw invalid(`it is larger than ${MAX_BYTES} bytes`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw invalid("it is not JSON", undefined, error);
  }
  if (!isObject(parsed)) throw invalid("it is not an object");
  if (parsed.version === 1) return fromFirstVersion(parsed, invalid);
  if (parsed.version !== 2) {
    throw invalid("its version is neither 1 nor 2", "It may be a newer program's: use that, or remove the file.");
  }
  onlyKnown(parsed, ["version", "profile", "settings", "profiles", "servers"], "the file", invalid);
  if (parsed.profile !== undefined && typeof parsed.profile !== "string") throw invalid("profile is no text");
  const profiles = new Map<string, Profile>();
  for (const [name, entry] of members(parsed.profiles, "profiles", invalid)) {
    if (!isProfileName(name)) throw invalid(`${JSON.stringify(name)} cannot name a profile`);
    if (!isObject(entry)) throw invalid(`the profile ${name} is not an object`);
    onlyKnown(entry, ["settings", "login"], `the profile ${name}`, invalid);
    const login = entry.login === undefined ? undefined : readLogin(entry.login, `the profile ${name}`, invalid);
    profiles.set(name, { settings: readSettings(entry.settings, invalid), login });
  }
  if (parsed.profile !== undefined && !profiles.has(parsed.profile)) {
    throw invalid(
      `it uses the profile ${parsed.profile}, which it does not hold`,
      "Correct the name in the file, or remove it.",
    );
  }
  if (profiles.size > MAX_PROFILES) throw invalid(`it has more than ${MAX_PROFILES} profiles`);
  return {
    settings: readSettings(parsed.settings, invalid),
    profile: parsed.profile,
    profiles,
    servers: readServers(parsed.servers, invalid),
  };
}

type Refuse = (why: string, hint?: string, cause?: unknown) => CliError;

/** What programs before profiles wrote: one entry per server, and which of them is used. */
function fromFirstVersion(parsed: Record<string, unknown>, invalid: Refuse): Config {
  const { current } = parsed;
  if (current !== undefined && typeof current !== "string") throw invalid("current is not a URL");
  if (!isObject(parsed.servers)) throw invalid("servers is missing");
  return {
    settings: current === undefined ? {} : readSettings({ server: current }, invalid),
    profile: undefined,
    profiles: new Map(),
    servers: readServers(parsed.servers, invalid),
  };
}

function readServers(value: unknown, invalid: Refuse): Map<string, StoredLogin> {
  const servers = new Map<string, StoredLogin>();
  for (const [url, entry] of members(value, "servers", invalid)) servers.set(url, readLogin(entry, url, invalid));
  return servers;
}

function readLogin(entry: unknown, of: string, invalid: Refuse): StoredLogin {
  if (!isObject(entry)) throw invalid(`the login of ${of} is not an object`);
  const { token, keyring, org } = entry;
  if (org !== undefined && typeof org !== "string") throw invalid(`the organisation of ${of} is not text`);
  if (typeof token === "string" && keyring === undefined) return { kept: { in: "file", token }, org };
  if (typeof keyring === "string" && token === undefined) return { kept: { in: "keyring", keyring }, org };
  throw invalid(`the login of ${of} has no token`);
}

function readSettings(value: unknown, invalid: Refuse): Preferences {
  const settings: Record<string, string> = {};
  for (const [key, text] of members(value, "settings", invalid)) {
    try {
      const name = preferenceName(key);
      if (typeof text !== "string") throw invalid(`the setting ${name} is no text`);
      settings[name] = preferenceValue(name, text);
    } catch (error) {
      if (!(error instanceof CliError) || error.code === "config-invalid") throw error;
      throw invalid(error.message, `${error.hint ?? ""} Correct it in the file, or remove it there.`.trim(), error);
    }
  }
  return settings;
}

/** A key nobody knows may be a misspelt one that somebody relies on. */
function onlyKnown(value: Record<string, unknown>, known: readonly string[], of: string, invalid: Refuse): void {
  const other = Object.keys(value).find((key) => !known.includes(key));
  if (other !== undefined) {
    throw invalid(`${of} has an unknown member ${JSON.stringify(other)}`, `Remove it; known are ${known.join(", ")}.`);
  }
}

function members(value: unknown, name: string, invalid: Refuse): [string, unknown][] {
  if (value === undefined) return [];
  if (!isObject(value)) throw invalid(`${name} is not an object`);
  return Object.entries(value);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
