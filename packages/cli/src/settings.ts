import type { Config } from "./config.ts";
import { type CliError, usageError } from "./errors.ts";
import type { Environment } from "./environment.ts";

/** The global options as written on the command line. */
export type Flags = { readonly server?: string; readonly token?: string; readonly org?: string };

/** Where to talk to and as whom. Every part may be missing; a verb that needs one asks with `requireServer` and so on. */
export type Settings = {
  /** Origin and path prefix without a trailing slash, e.g. "https://assay.example". */
  readonly server: string | undefined;
  readonly token: string | undefined;
  readonly org: string | undefined;
};

/**
 * Flags beat the environment, which beats the file. A token stored for one server is never used for another: the
 * file's token counts only if the server asked for is the one it was stored under.
 */
export function resolveSettings(flags: Flags, env: Environment, config: Config): Settings {
  const asked = nonEmpty(flags.server) ?? nonEmpty(env.ASSAY_URL) ?? config.current;
  const server = asked === undefined ? undefined : normalizeServer(asked);
  const stored = server === undefined ? undefined : config.servers.get(server);
  return {
    server,
    token: nonEmpty(flags.token) ?? nonEmpty(env.ASSAY_TOKEN) ?? stored?.token,
    org: nonEmpty(flags.org) ?? nonEmpty(env.ASSAY_ORG) ?? stored?.org,
  };
}

/** "https://Assay.example/" → "https://assay.example". Errors: `server-invalid` for anything but an http(s) URL. */
export function normalizeServer(text: string): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch (error) {
    throw serverInvalid(text, error);
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") throw serverInvalid(text);
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") throw serverInvalid(text);
  return `${url.origin}${url.pathname.replace(/\/+$/, "")}`;
}

function serverInvalid(text: string, cause?: unknown): CliError {
  // The text is not repeated when it could hold a password.
  const shown = text.includes("@") ? "the server URL" : `"${text}"`;
  const error = usageError(
    "server-invalid",
    `${shown} is not a server address`,
    "Give an http or https URL without user name, query or fragment, such as https://assay.example.",
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

function nonEmpty(text: string | undefined): string | undefined {
  return text === undefined || text === "" ? undefined : text;
}
