import type { Config } from "./config.ts";
import { type CliError, usageError } from "./errors.ts";
import type { Environment } from "./environment.ts";

/** The global options as written on the command line. */
export type Flags = { readonly server?: string; readonly token?: string; readonly org?: string };

/** Where to talk to and as whom. Every part may be missing; a verb that needs one asks with `requireServer` and so on. */
export type Settings = {
  /** Scheme, host and port, e.g. "https://assay.example". */
  readonly server: string | undefined;
  readonly token: string | undefined;
  readonly org: string | undefined;
};

/**
 * Flags beat the environment, which beats the file. A token stored for one server is never used for another: the
 * file's token counts only if the server asked for is the one it was stored under. Errors: `setting-empty`,
 * `token-invalid`, `server-invalid`.
 */
export function resolveSettings(flags: Flags, env: Environment, config: Config): Settings {
  const asked = given("--server", flags.server, "ASSAY_URL", env) ?? config.current;
  const server = asked === undefined ? undefined : normalizeServer(asked);
  const stored = server === undefined ? undefined : config.servers.get(server);
  return {
    server,
    token: givenToken(flags, env) ?? stored?.token,
    org: givenOrg(flags, env) ?? stored?.org,
  };
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
function given(flag: string, said: string | undefined, variable: string, env: Environment): string | undefined {
  const text = (said ?? env[variable])?.trim();
  if (text !== "") return text;
  throw usageError(
    "setting-empty",
    `${said === undefined ? variable : flag} is set but empty`,
    said === undefined ? `Give ${variable} a value, or unset it.` : `Give ${flag} a value, or leave it out.`,
  );
}

/** "https://Assay.example/" → "https://assay.example". Errors: `server-invalid` for anything but an http(s) origin. */
export function normalizeServer(text: string): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch (error) {
    throw serverInvalid(text, error);
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") throw serverInvalid(text);
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") throw serverInvalid(text);
  // The registry's API lies at the root of a host by its specification: a server below a path would have none.
  if (/[^/]/.test(url.pathname)) throw serverInvalid(text);
  return url.origin;
}

function serverInvalid(text: string, cause?: unknown): CliError {
  // The text is not repeated when it could hold a password.
  const shown = text.includes("@") ? "the server URL" : `"${text}"`;
  const error = usageError(
    "server-invalid",
    `${shown} is not a server address`,
    "Give scheme, host and port only, without a path or anything after it, such as https://assay.example:8400.",
  );
  if (cause !== undefined) error.cause = cause;
  return error;
}

/** The server, or a usage error that says how to name one. */
export function requireServer(settings: Settings): string {
  if (settings.server !== undefined) return settings.server;
  throw usageError("server-missing", "no server given", "Use --server URL, set ASSAY_URL, or run `assay login`.");
}

/** The organisation, or a usage error that says how to name one. */
export function requireOrg(settings: Settings): string {
  if (settings.org !== undefined) return settings.org;
  throw usageError("org-missing", "no organisation given", "Use --org NAME, set ASSAY_ORG, or run `assay login`.");
}
