import type { Command } from "commander";
import { type Config, readConfig, writeConfig } from "../config.ts";
import { CliError, Exit, usageError } from "../errors.ts";
import { NOT_FOUND } from "../keyring/docker-helper.ts";
import { keyringHere, readKeptToken } from "../keyring/keyring.ts";
import type { Session } from "../session.ts";
import { accountOf, givenToken, loginFor, normalizeServer, profileInUse, resolveSetting } from "../settings.ts";
import { isLoopback } from "../server-address.ts";
import { forgetToken } from "./logout.ts";

const MAX_INPUT = 64 << 10;
/** The registry takes a token with this name: the admin token with no other, an API key with any. */
const USERNAME = "admin";

/**
 * The verbs of Docker's credential helper protocol (docker/docker-credential-helpers, "Development") over what `assay login` keeps.
 * `docker-credential-assay` is this verb under the name that docker, crane, oras and their like look for. Errors are told on standard
 * output too: that is where the protocol has them.
 */
export function define(command: Command, session: Session): void {
  command.addHelpText(
    "after",
    '\nTools that read Docker\'s configuration use it by {"credHelpers":{"HOST":"assay"}}, with docker-credential-assay on the PATH.',
  );
  const sub = (name: string, description: string, act: (input: string) => Promise<string>): void => {
    command
      .command(name)
      .description(description)
      .action(() => answering(session, act));
  };
  sub("get", "read a server's name from standard input, print its username and token as JSON", (input) =>
    get(session, input),
  );
  sub("store", "keep the JSON {ServerURL, Username, Secret} from standard input as a login", (input) =>
    store(session, input),
  );
  sub("erase", "read a server's name from standard input, forget its login", (input) => erase(session, input));
  command
    .command("list")
    .description("print the servers that have a login, with the username of each, as JSON")
    .action(async () => {
      const { servers } = await readConfig(session.env);
      session.io.stdout.write(
        `${JSON.stringify(Object.fromEntries([...servers.keys()].map((url) => [url, USERNAME])))}\n`,
      );
    });
}

async function answering(session: Session, act: (input: string) => Promise<string>): Promise<void> {
  try {
    session.io.stdout.write(await act((await standardInput(session)).trim()));
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    session.io.stdout.write(`${error.message}\n`);
    session.answer(Exit.no);
  }
}

async function standardInput(session: Session): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of session.io.stdin) {
    const bytes = Buffer.from(chunk as Uint8Array);
    size += bytes.length;
    if (size > MAX_INPUT) throw usageError("input-too-long", "the request is too long");
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString("utf8");
}

async function get(session: Session, asked: string): Promise<string> {
  const { flags, env } = session;
  const config = await readConfig(env);
  const server = serverOf(session, config, asked);
  const profile = profileInUse(flags, env, config);
  const inUse = resolveSetting("server", flags, env, config)?.value;
  // A token from the environment is for the server in use, and is never handed out for another.
  const given = inUse === server ? givenToken(flags, env) : undefined;
  const stored = loginFor(server, profile, config);
  const token = given ?? (stored === undefined ? undefined : await readKeptToken(stored.login, stored.account, env));
  if (token === undefined) throw new CliError("credentials-missing", NOT_FOUND, { exit: Exit.no });
  return `${JSON.stringify({ ServerURL: asked, Username: USERNAME, Secret: token })}\n`;
}

async function store(session: Session, input: string): Promise<string> {
  const { serverUrl, secret } = readCredentials(input);
  const { flags, env } = session;
  const config = await readConfig(env);
  const server = serverOf(session, config, serverUrl);
  const account = accountOf(server, undefined);
  const wanted = resolveSetting("store", flags, env, config)?.value;
  const helper = resolveSetting("credential-helper", flags, env, config)?.value;
  const keyring = wanted === "file" ? undefined : keyringHere(env, helper);
  if (keyring === undefined) await forgetToken(session, config, account);
  else await keyring.set(account, secret);
  const login = {
    kept:
      keyring === undefined
        ? ({ in: "file", token: secret } as const)
        : ({ in: "keyring", keyring: keyring.name } as const),
    org: config.servers.get(server)?.org,
  };
  await writeConfig(env, { ...config, servers: new Map(config.servers).set(server, login) });
  return "";
}

async function erase(session: Session, asked: string): Promise<string> {
  const config = await readConfig(session.env);
  const server = serverOf(session, config, asked);
  if (!config.servers.has(server)) return "";
  await forgetToken(session, config, accountOf(server, undefined));
  const servers = new Map(config.servers);
  servers.delete(server);
  await writeConfig(session.env, { ...config, servers });
  return "";
}

/**
 * The server that a registry's name means: "host", "host:port", or with a scheme and perhaps a path, as the clients write it. Without
 * a scheme it is the one that is known here; else https, and on this machine http. A name with http is never that of a server known by
 * https: its token would go out in the clear.
 */
function serverOf({ flags, env }: Session, config: Config, asked: string): string {
  const scheme = /^(https?):\/\//i.exec(asked)?.[1]?.toLowerCase();
  const text = scheme === undefined ? `https://${asked}` : asked;
  if (asked === "" || !URL.canParse(text)) throw usageError("server-invalid", "that is no registry's name");
  const { host, hostname, origin } = new URL(text);
  if (config.servers.has(origin)) return origin;
  const profile = profileInUse(flags, env, config)?.profile.settings.server;
  const inUse = resolveSetting("server", flags, env, config)?.value;
  const known = [inUse, profile, ...config.servers.keys()].filter((url) => url !== undefined);
  const found = known.find((url) => {
    const { protocol } = new URL(url);
    if (scheme === "http" && protocol === "https:") return false;
    // "Host:443" and "host" are one over https: compared as the known server's own scheme has it.
    const other = `${protocol}//${text.replace(/^[a-z]+:\/\//i, "").replace(/\/.*$/, "")}`;
    return URL.canParse(other) && new URL(other).origin === url;
  });
  if (found !== undefined) return found;
  return normalizeServer(scheme === undefined ? `${isLoopback(hostname) ? "http" : "https"}://${host}` : origin);
}

function readCredentials(input: string): { serverUrl: string; secret: string } {
  let parsed: unknown;
  try {
    parsed = JSON.parse(input);
  } catch (error) {
    throw Object.assign(usageError("input-invalid", "standard input is not JSON"), { cause: error });
  }
  const { ServerURL, Secret, Username } = (typeof parsed === "object" && parsed !== null ? parsed : {}) as Readonly<
    Record<string, unknown>
  >;
  if (typeof ServerURL !== "string" || typeof Secret !== "string" || Secret === "") {
    throw usageError("input-invalid", "standard input has no ServerURL and Secret");
  }
  if (Username === "<token>") {
    throw usageError("input-invalid", "this registry takes passwords (an API key), and no identity tokens");
  }
  if (!/^[\x20-\x7e]*$/.test(Secret)) throw usageError("token-invalid", "the secret is no token");
  return { serverUrl: ServerURL, secret: Secret };
}
