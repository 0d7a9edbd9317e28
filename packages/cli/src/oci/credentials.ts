import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { CliError, Exit, fileError, systemCode } from "../errors.ts";
import type { Environment } from "../environment.ts";
import { helperGet } from "../keyring/docker-helper.ts";
import type { Settings } from "../settings.ts";

/** How to identify oneself to a registry: a user with a password, or a token to be exchanged (OAuth 2 refresh token). */
export type Credentials =
  | { readonly kind: "password"; readonly username: string; readonly password: string }
  | { readonly kind: "identity-token"; readonly token: string };

/** Docker Hub's name in references and its name in the files of its clients. */
export const DOCKER_HUB = "docker.io";
const DOCKER_HUB_KEY = "https://index.docker.io/v1/";
const MAX_FILE = 4 << 20;

/**
 * Credentials for a repository, or undefined to go anonymously: those of `assay login` (or ASSAY_TOKEN) if the registry is
 * that very server; else Docker's and Podman's files with their credential helpers. Errors: `auth-file-invalid`,
 * `credential-helper`.
 */
export async function findCredentials(
  host: string,
  repository: string,
  settings: Settings,
  env: Environment,
): Promise<Credentials | undefined> {
  if (settings.server !== undefined && new URL(settings.server).host === host) {
    const token = await settings.token();
    if (token !== undefined) return { kind: "password", username: "admin", password: token };
  }
  for (const path of authFiles(env)) {
    const file = await readAuthFile(path);
    const found = file === undefined ? undefined : await fromAuthFile(file, path, host, repository, env);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The files that docker, podman and their like keep credentials in, the one that wins first. */
export function authFiles(env: Environment): string[] {
  const home = env.HOME || homedir();
  const files: string[] = [];
  if (env.REGISTRY_AUTH_FILE) files.push(env.REGISTRY_AUTH_FILE);
  if (env.XDG_RUNTIME_DIR) files.push(join(env.XDG_RUNTIME_DIR, "containers", "auth.json"));
  files.push(join(env.XDG_CONFIG_HOME || join(home, ".config"), "containers", "auth.json"));
  files.push(join(env.DOCKER_CONFIG || join(home, ".docker"), "config.json"));
  return files;
}

type AuthFile = { auths: Map<string, unknown>; helpers: Map<string, unknown>; store: unknown };

async function readAuthFile(path: string): Promise<AuthFile | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (systemCode(error) === "ENOENT" || systemCode(error) === "ENOTDIR") return undefined;
    throw fileError(path, error);
  }
  if (text.length > MAX_FILE) throw invalidFile(path);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw invalidFile(path, error);
  }
  if (!isObject(parsed)) throw invalidFile(path);
  return { auths: entries(parsed.auths), helpers: entries(parsed.credHelpers), store: parsed.credsStore };
}

async function fromAuthFile(
  file: AuthFile,
  path: string,
  host: string,
  repository: string,
  env: Environment,
): Promise<Credentials | undefined> {
  const helper = file.helpers.get(host) ?? file.store;
  const key = host === DOCKER_HUB ? DOCKER_HUB_KEY : host;
  if (typeof helper === "string" && helper !== "") {
    const found = await askHelper(helper, key, env);
    if (found !== undefined) return found;
  }
  for (const name of authKeys(host, repository)) {
    const entry = file.auths.get(name);
    const found = isObject(entry) ? parseAuth(entry, path) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The names an entry may have, most specific first: Podman's carry a path, old Docker ones a scheme. */
export function authKeys(host: string, repository: string): string[] {
  const parts = repository.split("/");
  const scoped = parts.map((_, at) => `${host}/${parts.slice(0, parts.length - at).join("/")}`);
  const plain = [host, `https://${host}`, `http://${host}`, `https://${host}/v1/`, `https://${host}/v2/`];
  return [...scoped, ...(host === DOCKER_HUB ? [DOCKER_HUB_KEY] : []), ...plain];
}

function parseAuth(entry: Record<string, unknown>, path: string): Credentials | undefined {
  if (typeof entry.identitytoken === "string" && entry.identitytoken !== "") {
    return { kind: "identity-token", token: entry.identitytoken };
  }
  if (typeof entry.auth === "string" && entry.auth !== "") {
    const text = Buffer.from(entry.auth, "base64").toString("utf8");
    const colon = text.indexOf(":");
    if (colon < 0) throw invalidFile(path);
    return { kind: "password", username: text.slice(0, colon), password: text.slice(colon + 1).replace(/\0+$/, "") };
  }
  if (typeof entry.username === "string" && typeof entry.password === "string") {
    return { kind: "password", username: entry.username, password: entry.password };
  }
  return undefined;
}

/** Docker's credential helper protocol; a username of "<token>" means that the secret is an identity token. */
async function askHelper(name: string, key: string, env: Environment): Promise<Credentials | undefined> {
  const found = await helperGet(name, key, env);
  if (found === undefined) return undefined;
  if (found.username === "<token>") return { kind: "identity-token", token: found.secret };
  return { kind: "password", username: found.username, password: found.secret };
}

function invalidFile(path: string, cause?: unknown): CliError {
  return new CliError("auth-file-invalid", `${path} is not a valid registry authentication file`, {
    exit: Exit.unknown,
    hint: "Repair or remove it, then log in again.",
    cause,
  });
}

function entries(value: unknown): Map<string, unknown> {
  return new Map(isObject(value) ? Object.entries(value) : []);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
