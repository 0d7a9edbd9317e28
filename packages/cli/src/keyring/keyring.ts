import type { StoredLogin } from "../config.ts";
import type { Environment } from "../environment.ts";
import { CliError, Exit, usageError } from "../errors.ts";
import { helperErase, helperGet, helperStore } from "./docker-helper.ts";
import { type Ended, isOnPath, runProgram } from "./program.ts";

/** A place of the system's that keeps secrets under an account's name. */
export type Keyring = {
  /** As the configuration file names it: `secret-service`, `macos-keychain` or `docker-credential-NAME`. */
  readonly name: string;
  /** Undefined where it keeps nothing of that account. Errors: `keyring-failed`, `credential-helper` (both exit 3). */
  get(account: string): Promise<string | undefined>;
  set(account: string, secret: string): Promise<void>;
  /** That nothing was kept is no error. */
  erase(account: string): Promise<void>;
};

const SERVICE = "assay";
const HELPER_PREFIX = "docker-credential-";
/** The username under which a helper keeps a token: registries take it with any. */
const USERNAME = "assay";

/** `security find-generic-password` of macOS ends so where there is no such item (errSecItemNotFound). */
const MACOS_NOT_FOUND = 44;

/**
 * The keyring that a login goes to: the credential helper that is configured, else the system's own, if it can be reached from
 * here; undefined where there is none.
 */
export function keyringHere(env: Environment, helper: string | undefined): Keyring | undefined {
  if (helper !== undefined) return dockerHelper(helper, env);
  if (process.platform === "darwin" && isOnPath("security", env)) return macosKeychain(env);
  // Without a session bus there is nobody to ask: secret-tool would fail at every use.
  const hasBus = (env.DBUS_SESSION_BUS_ADDRESS ?? "") !== "";
  return hasBus && isOnPath("secret-tool", env) ? secretService(env) : undefined;
}

/** The keyring of a name from the configuration file. Errors: `keyring-unknown` (exit 3). */
export function keyringNamed(name: string, env: Environment): Keyring {
  if (name === "secret-service") return secretService(env);
  if (name === "macos-keychain") return macosKeychain(env);
  if (name.startsWith(HELPER_PREFIX)) return dockerHelper(name.slice(HELPER_PREFIX.length), env);
  throw new CliError("keyring-unknown", `a token is said to be in ${JSON.stringify(name)}, which is no keyring`, {
    exit: Exit.unknown,
    hint: "Log in again with `assay login`.",
  });
}

/** The token of a login, wherever it lies. Errors: `token-gone` (exit 3) where the keyring has it no more, those of the keyring. */
export async function readKeptToken(login: StoredLogin, account: string, env: Environment): Promise<string> {
  if (login.kept.in === "file") return login.kept.token;
  const found = await keyringNamed(login.kept.keyring, env).get(account);
  if (found !== undefined) return found;
  throw new CliError("token-gone", `${login.kept.keyring} holds no token for ${account} any more`, {
    exit: Exit.unknown,
    hint: "Log in again with `assay login`, or set ASSAY_TOKEN.",
  });
}

/** The Secret Service of freedesktop.org (GNOME Keyring, KWallet, KeePassXC), through libsecret's own program. */
function secretService(env: Environment): Keyring {
  const name = "secret-service";
  const of = (account: string): string[] => ["service", SERVICE, "account", account];
  const ask = (args: readonly string[], input = ""): Promise<Ended> => started(name, "secret-tool", args, input, env);
  return {
    name,
    async get(account) {
      const { code, stdout, stderr } = await ask(["lookup", ...of(account)]);
      if (code === 0) return stdout;
      // "Not found" and "could not ask" have one exit code; only the second says something.
      if (code === 1 && stderr.trim() === "") return undefined;
      throw failed(name, stderr);
    },
    async set(account, secret) {
      const { code, stderr } = await ask(["store", `--label=assay: ${account}`, ...of(account)], secret);
      if (code !== 0) throw failed(name, stderr);
    },
    async erase(account) {
      const { code, stderr } = await ask(["clear", ...of(account)]);
      if (code !== 0 && stderr.trim() !== "") throw failed(name, stderr);
    },
  };
}

/** The login keychain of macOS, through its own program. A secret is written by its interactive mode, whose commands come by standard input. */
function macosKeychain(env: Environment): Keyring {
  const name = "macos-keychain";
  const ask = (args: readonly string[], input = ""): Promise<Ended> => started(name, "security", args, input, env);
  return {
    name,
    async get(account) {
      const { code, stdout, stderr } = await ask(["find-generic-password", "-s", SERVICE, "-a", account, "-w"]);
      if (code === 0) return stdout.replace(/\n$/, "");
      if (code === MACOS_NOT_FOUND) return undefined;
      throw failed(name, stderr);
    },
    async set(account, secret) {
      const hex = Buffer.from(secret, "utf8").toString("hex");
      const { code, stderr } = await ask(
        ["-i"],
        `add-generic-password -U -s ${SERVICE} -a "${account}" -l "assay: ${account}" -X ${hex}\n`,
      );
      if (code !== 0) throw failed(name, stderr);
    },
    async erase(account) {
      const { code, stderr } = await ask(["delete-generic-password", "-s", SERVICE, "-a", account]);
      if (code !== 0 && code !== MACOS_NOT_FOUND) throw failed(name, stderr);
    },
  };
}

/** A program of Docker's credential helper protocol. Our own would keep the token with itself: refused. */
function dockerHelper(helper: string, env: Environment): Keyring {
  if (helper === "assay") {
    throw usageError(
      "setting-invalid",
      "docker-credential-assay cannot keep this program's own tokens",
      "It reads them from here. Name another credential-helper, or unset it.",
    );
  }
  return {
    name: `${HELPER_PREFIX}${helper}`,
    get: async (account) => (await helperGet(helper, account, env))?.secret,
    set: (account, secret) => helperStore(helper, account, { username: USERNAME, secret }, env),
    erase: (account) => helperErase(helper, account, env),
  };
}

async function started(
  name: string,
  program: string,
  args: readonly string[],
  input: string,
  env: Environment,
): Promise<Ended> {
  try {
    return await runProgram(program, args, input, env);
  } catch (error) {
    throw failed(name, `${program} could not be started`, error);
  }
}

function failed(name: string, said: string, cause?: unknown): CliError {
  const words = said.trim().split("\n").at(-1)?.slice(0, 300) ?? "";
  return new CliError("keyring-failed", `the keyring ${name} failed${words === "" ? "" : `: ${words}`}`, {
    exit: Exit.unknown,
    hint: "Unlock it and try again; or `assay login --store file` keeps the token in a file only you can read.",
    cause,
  });
}
