import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { CliError, Exit, fileError, systemCode } from "../errors.ts";
import type { Environment } from "../environment.ts";
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
  if (settings.server !== undefined && settings.token !== undefined && new URL(settings.server).host === host) {
    return { kind: "password", username: "admin", password: settings.token };
  }
  for (const path of authFiles(env)) {
    const file = await readAuthFile(path);
    const found = file === undefined ? undefined : await fromAuthFile(file, path, host, repository);
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
): Promise<Credentials | undefined> {
  const helper = file.helpers.get(host) ?? file.store;
  const key = host === DOCKER_HUB ? DOCKER_HUB_KEY : host;
  if (typeof helper === "string" && helper !== "") {
    const found = await askHelper(helper, key);
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

const HELPER_MS = 30_000;
const HELPER_BYTES = 1 << 20;

/** Docker's credential helper protocol: the server's name on standard input, JSON {Username, Secret} on standard output. */
async function askHelper(name: string, key: string): Promise<Credentials | undefined> {
  // The name becomes part of a program's name; anything but a plain word could name another program.
  if (!/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/.test(name)) throw helperError(name, "its name is not a plain word");
  const { code, stdout } = await new Promise<{ code: number | null; stdout: string }>((resolve, reject) => {
    const child = spawn(`docker-credential-${name}`, ["get"], {
      stdio: ["pipe", "pipe", "ignore"],
      timeout: HELPER_MS,
    });
    let stdout = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
      if (stdout.length > HELPER_BYTES) child.kill();
    });
    child.on("error", (error) => reject(helperError(name, "it could not be started", error)));
    child.on("close", (code) => resolve({ code, stdout }));
    // A helper may end without reading its input; its exit code says how it went.
    child.stdin.on("error", () => undefined).end(key);
  });
  if (code !== 0) {
    if (/credentials not found/i.test(stdout)) return undefined;
    throw helperError(name, `it ended with code ${code}`);
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(stdout);
  } catch (error) {
    throw helperError(name, "it did not answer with JSON", error);
  }
  if (!isObject(parsed) || typeof parsed.Username !== "string" || typeof parsed.Secret !== "string") {
    throw helperError(name, "its answer has no Username and Secret");
  }
  if (parsed.Username === "<token>") return { kind: "identity-token", token: parsed.Secret };
  return { kind: "password", username: parsed.Username, password: parsed.Secret };
}

function helperError(name: string, why: string, cause?: unknown): CliError {
  return new CliError("credential-helper", `the credential helper ${JSON.stringify(name)} failed: ${why}`, {
    exit: Exit.unknown,
    hint: "Repair it, or remove it from the Docker configuration.",
    cause,
  });
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
