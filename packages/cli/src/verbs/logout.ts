import type { Command } from "commander";
import { type Config, readConfig, type StoredLogin, writeConfig } from "../config.ts";
import { CliError } from "../errors.ts";
import { keyringNamed } from "../keyring/keyring.ts";
import type { Session } from "../session.ts";
import { accountOf, loginFor, normalizeServer, profileInUse, requireServer } from "../settings.ts";

export function define(command: Command, session: Session): void {
  command
    .description("forget what `assay login` keeps of a server")
    .argument("[server]", "the server's address (else the one in use)")
    .action(async (named: string | undefined) => {
      const server = named === undefined ? requireServer(await session.settings()) : normalizeServer(named);
      const config = await readConfig(session.env);
      const profile = profileInUse(session.flags, session.env, config);
      const found = loginFor(server, profile, config);
      const own = found !== undefined && found.login === profile?.profile.login;
      if (found !== undefined) {
        // The keyring first: were the file's entry gone before it, nothing would know of the token that is left there.
        await forgetToken(session, config, found.account);
        await writeConfig(session.env, withoutLogin(config, server, own ? profile?.name : undefined));
      }
      const of = own && profile !== undefined ? `${server} in profile ${profile.name}` : server;
      session.output.result(
        { server, forgotten: found !== undefined },
        found === undefined ? `nothing was kept of ${server}` : `forgot ${of}`,
      );
    });
}

function withoutLogin(config: Config, server: string, profile: string | undefined): Config {
  if (profile !== undefined) {
    const settings = config.profiles.get(profile)?.settings ?? {};
    return { ...config, profiles: new Map(config.profiles).set(profile, { settings, login: undefined }) };
  }
  const servers = new Map(config.servers);
  servers.delete(server);
  const { server: inUse, ...others } = config.settings;
  return { ...config, servers, settings: inUse === server ? others : config.settings };
}

/**
 * Takes a login's token out of its keyring, if it is in one. A keyring that is not there any more is told and passed over: it could
 * never be logged out of. Other errors: those of the keyring.
 */
export async function forgetToken(session: Session, config: Config, account: string): Promise<void> {
  const kept = loginOf(config, account)?.kept;
  if (kept?.in !== "keyring") return;
  try {
    await keyringNamed(kept.keyring, session.env).erase(account);
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    session.output.warn("keyring-failed", `${error.message}; the token may still be there, revoke it at the server`);
  }
}

function loginOf(config: Config, account: string): StoredLogin | undefined {
  for (const [server, login] of config.servers) if (accountOf(server, undefined) === account) return login;
  for (const [name, { settings, login }] of config.profiles) {
    if (settings.server !== undefined && accountOf(settings.server, name) === account) return login;
  }
  return undefined;
}
