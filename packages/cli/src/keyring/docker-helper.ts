import type { Environment } from "../environment.ts";
import { CliError, Exit } from "../errors.ts";
import { type Ended, runProgram } from "./program.ts";

/** What a credential helper keeps under a server's name. */
export type HelperCredentials = { readonly username: string; readonly secret: string };

const HELPER_MS = 30_000;

/** What every helper of Docker's says on standard output, with exit code 1, for a server it knows nothing of. */
export const NOT_FOUND = "credentials not found in native keychain";

/**
 * Docker's credential helper protocol (docker/docker-credential-helpers, "Development"): the program `docker-credential-NAME` with
 * a verb as its argument, a server's name or JSON {ServerURL, Username, Secret} on standard input, JSON on standard output.
 * Errors: `credential-helper` (exit 3), which never holds a secret.
 */
export async function helperGet(name: string, key: string, env: Environment): Promise<HelperCredentials | undefined> {
  const { code, stdout } = await ask(name, "get", key, env);
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
  return { username: parsed.Username, secret: parsed.Secret };
}

export async function helperStore(
  name: string,
  key: string,
  { username, secret }: HelperCredentials,
  env: Environment,
): Promise<void> {
  const input = JSON.stringify({ ServerURL: key, Username: username, Secret: secret });
  const { code } = await ask(name, "store", input, env);
  if (code !== 0) throw helperError(name, `it ended with code ${code}`);
}

/** That nothing was kept is no error. */
export async function helperErase(name: string, key: string, env: Environment): Promise<void> {
  const { code, stdout } = await ask(name, "erase", key, env);
  if (code !== 0 && !/credentials not found/i.test(stdout)) throw helperError(name, `it ended with code ${code}`);
}

function ask(name: string, verb: string, input: string, env: Environment): Promise<Ended> {
  // The name becomes part of a program's name; anything but a plain word could name another program.
  if (!/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/.test(name)) throw helperError(name, "its name is not a plain word");
  return runProgram(`docker-credential-${name}`, [verb], input, env, HELPER_MS).catch((error: unknown) => {
    throw helperError(name, "it could not be started", error);
  });
}

function helperError(name: string, why: string, cause?: unknown): CliError {
  return new CliError("credential-helper", `the credential helper ${JSON.stringify(name)} failed: ${why}`, {
    exit: Exit.unknown,
    hint: "Repair it, or remove it from the Docker configuration (or `assay config unset credential-helper`).",
    cause,
  });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
