import { type Command, Option } from "commander";
import { type Config, configPath, type KeptToken, readConfig, type StoredLogin, writeConfig } from "../config.ts";
import { CliError, usageError } from "../errors.ts";
import { ServerClient } from "../http.ts";
import { type Keyring, keyringHere } from "../keyring/keyring.ts";
import { API, askList, askObject } from "../organisation.ts";
import { askSecret } from "../prompt.ts";
import type { Session } from "../session.ts";
import {
  accountOf,
  checkToken,
  givenToken,
  type NamedProfile,
  normalizeServer,
  profileInUse,
  requireServer,
  resolveSetting,
} from "../settings.ts";
import { facts } from "../table.ts";
import { forgetToken } from "./logout.ts";

const MAX_TOKEN = 4096;

type Options = { tokenStdin?: true; store?: "keyring" | "file" };

export function define(command: Command, session: Session): void {
  command
    .description("check a token against the server and keep both, for this user only")
    .argument("[server]", "the server's address, e.g. https://assay.example (else --server, ASSAY_URL)")
    .option("--token-stdin", "read the token from standard input")
    .addOption(
      new Option(
        "--store <place>",
        "where to keep the token (default: the system's keyring if there is one, else a file only you can read)",
      ).choices(["keyring", "file"]),
    )
    .addHelpText(
      "after",
      "\nThe token is the admin token or an API key. Without --token, ASSAY_TOKEN or --token-stdin it is asked for.\n" +
        "With --profile the login is that profile's alone.",
    )
    .action((server: string | undefined, options: Options) => login(session, server, options));
}

async function login(session: Session, named: string | undefined, options: Options): Promise<void> {
  // With a server named, what is kept of others does not matter.
  const server = named === undefined ? requireServer(await session.settings()) : normalizeServer(named);
  // Read even where it will not count: a token that is set but empty is a mistake to hear of. What is stored already does
  // not count, a login is for a new one.
  const given = givenToken(session.flags, session.env);
  const token =
    options.tokenStdin === true
      ? await tokenFromStdin(session)
      : (given ?? (await askSecret(session, "Token: ")).trim());
  if (token === "") throw usageError("token-missing", "the token is empty");
  checkToken(token, "the token");
  const client = new ServerClient(server, token, await session.transport());
  // Asked before anything is kept: a wrong token never replaces a good one.
  const me = await askObject(client, { method: "GET", path: `${API}/whoami` });
  const { items } = await askList(client, `${API}/orgs`);
  // Read again: waiting for a person to type may take long, and another login may have been kept meanwhile.
  const config = await readConfig(session.env);
  const wanted = resolveSetting("org", session.flags, session.env, config);
  const org =
    wanted !== undefined && wanted.origin !== "login"
      ? wanted.value
      : (items.find((item) => item.flag("default")) ?? items[0])?.text("name");
  const profile = profileInUse(session.flags, session.env, config);
  const account = accountOf(server, profile?.name);
  const { kept, where, warning } = await keep(session, config, account, token, options.store);
  await writeConfig(session.env, withLogin(config, server, profile, { kept, org }));
  if (warning !== undefined) session.output.warn("keyring-failed", warning);
  session.output.result(
    {
      server,
      identity: me.text("id"),
      org: org ?? null,
      profile: profile?.name ?? null,
      store: kept.in,
      keyring: kept.in === "keyring" ? kept.keyring : null,
      config: configPath(session.env),
    },
    facts([
      ["server", server],
      ["you are", me.text("id")],
      ["organisation", org ?? "none yet"],
      ["profile", profile?.name],
      ["kept in", where],
    ]),
  );
}

/** The configuration with a login: the profile's own, else the server's, which is used from then on. */
function withLogin(config: Config, server: string, profile: NamedProfile | undefined, login: StoredLogin): Config {
  if (profile === undefined) {
    const settings = { ...config.settings, server };
    return { ...config, settings, servers: new Map(config.servers).set(server, login) };
  }
  const changed = { settings: { ...profile.profile.settings, server }, login };
  return { ...config, profiles: new Map(config.profiles).set(profile.name, changed) };
}

/**
 * Keeps the token where it is asked to be, else in the keyring if there is one that takes it, else in the file. Errors (usage):
 * `keyring-missing`; those of the keyring where it was asked for.
 */
async function keep(
  session: Session,
  config: Config,
  account: string,
  token: string,
  asked: "keyring" | "file" | undefined,
): Promise<{ readonly kept: KeptToken; readonly where: string; readonly warning?: string }> {
  const { flags, env } = session;
  const store = asked ?? resolveSetting("store", flags, env, config)?.value ?? "auto";
  const path = configPath(env);
  const keyring =
    store === "file" ? undefined : keyringHere(env, resolveSetting("credential-helper", flags, env, config)?.value);
  if (store === "keyring" && keyring === undefined) {
    throw usageError(
      "keyring-missing",
      "there is no keyring that could be reached from here",
      "Install secret-tool (libsecret) and log in from a desktop session, set a credential-helper with `assay config`, or use --store file.",
    );
  }
  const inFile = { kept: { in: "file", token } as const, where: `${path}, a file that only you can read` };
  if (keyring === undefined) {
    // Also what an earlier login may have left in a keyring is not needed any more.
    await forgetToken(session, config, account);
    return { ...inFile, where: `${inFile.where}${store === "file" ? "" : " (no keyring was found)"}` };
  }
  try {
    await setAndReadBack(keyring, account, token);
  } catch (error) {
    if (store === "keyring" || !(error instanceof CliError)) throw error;
    return { ...inFile, warning: `${error.message}; the token is in the file ${path} instead` };
  }
  return { kept: { in: "keyring", keyring: keyring.name }, where: `the keyring ${keyring.name}` };
}

/** A keyring that takes a token and does not give it back would lock its owner out at the next use. */
async function setAndReadBack(keyring: Keyring, account: string, token: string): Promise<void> {
  await keyring.set(account, token);
  if ((await keyring.get(account)) === token) return;
  throw new CliError("keyring-failed", `the keyring ${keyring.name} did not give back what it was given`, { exit: 3 });
}

async function tokenFromStdin(session: Session): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of session.io.stdin) {
    const bytes = Buffer.from(chunk as Uint8Array);
    size += bytes.length;
    if (size > MAX_TOKEN) throw usageError("token-too-long", `a token has at most ${MAX_TOKEN} bytes`);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString("utf8").trim();
}
