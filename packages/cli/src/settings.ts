import type { Config, Profile, StoredLogin } from "./config.ts";
import type { Environment } from "./environment.ts";
import { type CliError, usageError } from "./errors.ts";
import { type PreferenceName, preferenceValue } from "./preferences.ts";
import { normalizeServer } from "./server-address.ts";
import { nearest } from "./suggest.ts";

export { normalizeServer } from "./server-address.ts";

/** The global options as written on the command line. */
export type Flags = {
  readonly server?: string | undefined;
  readonly token?: string | undefined;
  readonly org?: string | undefined;
  readonly profile?: string | undefined;
  readonly output?: string | undefined;
  readonly color?: string | undefined;
};

/** Where to talk to and as whom. Every part may be missing; a verb that needs one asks with `requireServer` and so on. */
export type Settings = {
  /** Scheme, host and port, e.g. "https://assay.example". */
  readonly server: string | undefined;
  readonly org: string | undefined;
  /** The token for `server` and no other. Looked up when first asked for: a keyring may ask its owner. */
  readonly token: () => Promise<string | undefined>;
};

/** A setting in force, and who says so. */
export type Found = {
  readonly value: string;
  readonly origin: "flag" | "environment" | "profile" | "default" | "login";
  /** The flag, the variable, the profile or the server whose login it is. */
  readonly by: string;
};

export type NamedProfile = { readonly name: string; readonly profile: Profile };

const FLAGS = { server: "--server", org: "--org", output: "--output", color: "--color" } as const;
const VARIABLES = { server: "ASSAY_URL", org: "ASSAY_ORG", output: "ASSAY_OUTPUT" } as const;

/** Reads the token that a login keeps. Errors: those of the keyring. */
export type TokenReader = (login: StoredLogin, account: string) => Promise<string | undefined>;

/**
 * Flags beat the environment, which beats the profile, which beats the file's defaults, which beat what `assay login` found
 * out. A token stored for one server is never used for another: a login's counts only if the server asked for is the one it
 * was made with. Errors (usage): `setting-empty`, `token-invalid`, `server-invalid`, `profile-unknown`.
 */
export function resolveSettings(flags: Flags, env: Environment, config: Config, readToken: TokenReader): Settings {
  const profile = profileInUse(flags, env, config);
  const server = resolveSetting("server", flags, env, config)?.value;
  const org = resolveSetting("org", flags, env, config)?.value;
  const given = givenToken(flags, env);
  const stored = server === undefined ? undefined : loginFor(server, profile, config);
  let read: Promise<string | undefined> | undefined;
  return {
    server,
    org,
    token: () => {
      read ??=
        given === undefined && stored !== undefined ? readToken(stored.login, stored.account) : Promise.resolve(given);
      return read;
    },
  };
}

/** One setting as it is in force, with its origin; undefined where nobody says anything. Errors: as `resolveSettings`. */
export function resolveSetting(
  name: PreferenceName,
  flags: Flags,
  env: Environment,
  config: Config,
): Found | undefined {
  const said = givenSetting(name, flags, env);
  if (said !== undefined) return said;
  const profile = profileInUse(flags, env, config);
  const inProfile = profile?.profile.settings[name];
  if (profile !== undefined && inProfile !== undefined) {
    return { value: inProfile, origin: "profile", by: profile.name };
  }
  const byLogin = name === "org" ? orgOfLogin(flags, env, config, profile) : undefined;
  // What a login under this very profile found out is nearer than a default that is for everything.
  if (byLogin?.own === true) return byLogin.found;
  const byDefault = config.settings[name];
  return byDefault === undefined ? byLogin?.found : { value: byDefault, origin: "default", by: name };
}

function orgOfLogin(
  flags: Flags,
  env: Environment,
  config: Config,
  profile: NamedProfile | undefined,
): { readonly found: Found; readonly own: boolean } | undefined {
  const server = resolveSetting("server", flags, env, config)?.value;
  const stored = server === undefined ? undefined : loginFor(server, profile, config);
  const org = stored?.login.org;
  if (stored === undefined || server === undefined || org === undefined) return undefined;
  return { found: { value: org, origin: "login", by: server }, own: stored.login === profile?.profile.login };
}

function givenSetting(name: PreferenceName, flags: Flags, env: Environment): Found | undefined {
  if (name !== "server" && name !== "org" && name !== "output" && name !== "color") return undefined;
  const flag = FLAGS[name];
  const variable = name === "color" ? undefined : VARIABLES[name];
  const text = given(flag, flags[name], variable, env);
  if (text === undefined) return undefined;
  // The command line's own values commander has checked; a variable's are checked here.
  const value = name === "server" ? normalizeServer(text) : name === "output" ? preferenceValue(name, text) : text;
  return flags[name] === undefined
    ? { value, origin: "environment", by: variable ?? "" }
    : { value, origin: "flag", by: flag };
}

/**
 * The profile that this run uses: --profile, else ASSAY_PROFILE, else the one that `assay profile use` chose. Errors (usage):
 * `setting-empty`, `profile-unknown`.
 */
export function profileInUse(flags: Flags, env: Environment, config: Config): NamedProfile | undefined {
  const said = given("--profile", flags.profile, "ASSAY_PROFILE", env);
  const name = said ?? config.profile;
  if (name === undefined) return undefined;
  const profile = config.profiles.get(name);
  if (profile === undefined) throw profileUnknown(name, config);
  return { name, profile };
}

/** Errors: a usage error, with the profile that was probably meant. */
export function profileUnknown(name: string, config: Config): CliError {
  const meant = nearest(name, [...config.profiles.keys()]);
  return usageError(
    "profile-unknown",
    `there is no profile ${JSON.stringify(name)}`,
    meant === undefined ? "`assay profile list` shows those there are." : `Did you mean ${meant}?`,
  );
}

/** The login for a server: the profile's own if it is for that very server, else the one that all share. */
export function loginFor(
  server: string,
  profile: NamedProfile | undefined,
  config: Config,
): { readonly login: StoredLogin; readonly account: string } | undefined {
  const own = profile?.profile;
  if (profile !== undefined && own?.login !== undefined && own.settings.server === server) {
    return { login: own.login, account: accountOf(server, profile.name) };
  }
  const login = config.servers.get(server);
  return login === undefined ? undefined : { login, account: accountOf(server, undefined) };
}

/** The name a login's token has in a keyring. */
export function accountOf(server: string, profile: string | undefined): string {
  return profile === undefined ? server : `${server} (profile ${profile})`;
}

/** The organisation named by `--org`, else ASSAY_ORG. Errors: `setting-empty`. */
export function givenOrg(flags: Flags, env: Environment): string | undefined {
  return given("--org", flags.org, "ASSAY_ORG", env);
}

/** The token given with `--token`, else in ASSAY_TOKEN. Errors: `setting-empty`, `token-invalid`. */
export function givenToken(flags: Flags, env: Environment): string | undefined {
  const token = given("--token", flags.token, "ASSAY_TOKEN", env);
  return token === undefined ? undefined : checkToken(token, flags.token === undefined ? "ASSAY_TOKEN" : "--token");
}

/** Refuses a token that no header can carry, without repeating it. `from` says where it was given. Errors: `token-invalid`. */
export function checkToken(token: string, from: string): string {
  if (/^[\x20-\x7e]*$/.test(token)) return token;
  throw usageError(
    "token-invalid",
    `${from} holds a control character or one outside ASCII`,
    "Give the token alone, on one line, as the server showed it.",
  );
}

/**
 * A flag, else its variable, without the white space around it that files and secret stores leave there. One that is set
 * but empty (a secret that a CI job may not read) is refused: whatever else would be used in its place was not meant.
 */
function given(
  flag: string,
  said: string | undefined,
  variable: string | undefined,
  env: Environment,
): string | undefined {
  const text = (said ?? (variable === undefined ? undefined : env[variable]))?.trim();
  if (text !== "") return text;
  throw usageError(
    "setting-empty",
    `${said === undefined ? variable : flag} is set but empty`,
    said === undefined ? `Give ${variable} a value, or unset it.` : `Give ${flag} a value, or leave it out.`,
  );
}

/** The server, or a usage error that says how to name one. */
export function requireServer(settings: Pick<Settings, "server">): string {
  if (settings.server !== undefined) return settings.server;
  throw usageError("server-missing", "no server given", "Use --server URL, set ASSAY_URL, or run `assay login`.");
}

/** The organisation, or a usage error that says how to name one. */
export function requireOrg(settings: Pick<Settings, "org">): string {
  if (settings.org !== undefined) return settings.org;
  throw usageError("org-missing", "no organisation given", "Use --org NAME, set ASSAY_ORG, or run `assay login`.");
}
