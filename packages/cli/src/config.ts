import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { writeFileAtomically } from "./atomic.ts";
import { CliError, Exit, fileError, systemCode } from "./errors.ts";
import type { Environment } from "./environment.ts";

/** What is kept for one server. */
export type StoredServer = { readonly token: string; readonly org: string | undefined };

/** The file written by `assay login`: one entry per server, and which of them is used when none is named. */
export type Config = {
  readonly current: string | undefined;
  /** By normalised server URL. */
  readonly servers: ReadonlyMap<string, StoredServer>;
};

const MAX_BYTES = 1 << 20;
const EMPTY: Config = { current: undefined, servers: new Map() };

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
    if (systemCode(error) === "ENOENT") return EMPTY;
    throw fileError(path, error);
  }
  return parseConfig(text, path);
}

/** Writes the file, readable by its owner only; another program sees the old or the new one, never a part. */
export async function writeConfig(env: Environment, config: Config): Promise<void> {
  const servers: Record<string, { token: string; org?: string }> = {};
  for (const [url, stored] of config.servers) {
    servers[url] = stored.org === undefined ? { token: stored.token } : { token: stored.token, org: stored.org };
  }
  const text = `${JSON.stringify({ version: 1, current: config.current, servers }, null, 2)}\n`;
  await writeFileAtomically(configPath(env), text, { mode: 0o600, makeFolders: 0o700 });
}

/** Parses the file's text; `path` is for messages only. */
export function parseConfig(text: string, path: string): Config {
  const invalid = (why: string, cause?: unknown): CliError =>
    new CliError("config-invalid", `${path} is damaged: ${why}`, {
      exit: Exit.unknown,
      hint: "Remove the file and run `assay login` again.",
      cause,
    });
  if (text.length > MAX_BYTES) throw invalid(`it is larger than ${MAX_BYTES} bytes`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw invalid("it is not JSON", error);
  }
  if (!isObject(parsed) || parsed.version !== 1) throw invalid("its version is not 1");
  if (parsed.current !== undefined && typeof parsed.current !== "string") throw invalid("current is not a URL");
  if (!isObject(parsed.servers)) throw invalid("servers is missing");
  const servers = new Map<string, StoredServer>();
  for (const [url, entry] of Object.entries(parsed.servers)) {
    if (!isObject(entry) || typeof entry.token !== "string") throw invalid(`the entry of ${url} has no token`);
    if (entry.org !== undefined && typeof entry.org !== "string")
      throw invalid(`the organisation of ${url} is not text`);
    servers.set(url, { token: entry.token, org: entry.org });
  }
  return { current: parsed.current, servers };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
