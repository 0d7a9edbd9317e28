import type { Command } from "commander";
import { type Config, isProfileName, readConfig, writeConfig } from "../config.ts";
import { usageError } from "../errors.ts";
import { type Preferences, preferenceValue } from "../preferences.ts";
import type { Session } from "../session.ts";
import { accountOf, profileInUse, profileUnknown } from "../settings.ts";
import { table } from "../table.ts";
import { forgetToken } from "./logout.ts";

export function define(command: Command, session: Session): void {
  command
    .command("add")
    .description(
      "make a profile: settings under a name, from --server, --org and --output; a login of its own may follow",
    )
    .argument("<name>", "its name")
    .action((name: string) => add(session, name));

  command
    .command("use")
    .description("use a profile from now on, where no other is named; without a name, none")
    .argument("[name]", "its name")
    .action((name: string | undefined) => use(session, name));

  command
    .command("list")
    .description("show the profiles")
    .action(() => list(session));

  command
    .command("remove")
    .description("remove a profile, its settings and its login")
    .argument("<name>", "its name")
    .action((name: string) => remove(session, name));
}

async function add(session: Session, name: string): Promise<void> {
  if (!isProfileName(name)) {
    throw usageError(
      "profile-invalid",
      `${JSON.stringify(name)} cannot name a profile`,
      "A name has letters, digits and . _ -, begins with a letter or digit, and has at most 64 of them.",
    );
  }
  const config = await readConfig(session.env);
  if (config.profiles.has(name)) {
    throw usageError(
      "profile-exists",
      `there is a profile ${name} already`,
      `Change it with \`assay config set --profile ${name} SETTING VALUE\`, or remove it first.`,
    );
  }
  const settings = said(session);
  const profiles = new Map(config.profiles).set(name, { settings, login: undefined });
  await writeConfig(session.env, { ...config, profiles });
  session.output.result(
    { profile: name, settings },
    `made the profile ${name}. Log in under it with \`assay login --profile ${name}\`, use it with \`assay profile use ${name}\`.`,
  );
}

/** What the command line itself says: variables are of this shell, and are no part of a profile. */
function said({ flags }: Session): Preferences {
  const { server, org, output, color } = flags;
  return {
    ...(server === undefined ? {} : { server: preferenceValue("server", server) }),
    ...(org === undefined ? {} : { org: preferenceValue("org", org) }),
    ...(output === undefined ? {} : { output }),
    ...(color === undefined ? {} : { color }),
  };
}

async function use(session: Session, name: string | undefined): Promise<void> {
  const config = await readConfig(session.env);
  if (name !== undefined && !config.profiles.has(name)) throw profileUnknown(name, config);
  await writeConfig(session.env, { ...config, profile: name });
  session.output.result({ profile: name ?? null }, name === undefined ? "no profile is used" : `using ${name}`);
}

async function list(session: Session): Promise<void> {
  const config = await readConfig(session.env);
  const inUse = profileInUse(session.flags, session.env, config)?.name;
  const profiles = [...config.profiles].sort(([a], [b]) => (a < b ? -1 : 1));
  const rows = profiles.map(([name, { settings, login }]) => [
    name,
    settings.server ?? "",
    settings.org ?? login?.org ?? "",
    login === undefined ? "" : "yes",
    name === inUse ? "yes" : "",
  ]);
  session.output.result(
    profiles.map(([name, { settings, login }]) => ({
      profile: name,
      settings,
      login: login !== undefined,
      inUse: name === inUse,
    })),
    rows.length === 0 ? "there are no profiles yet" : table(["PROFILE", "SERVER", "ORG", "OWN LOGIN", "IN USE"], rows),
  );
}

async function remove(session: Session, name: string): Promise<void> {
  const config = await readConfig(session.env);
  const found = config.profiles.get(name);
  if (found === undefined) throw profileUnknown(name, config);
  if (found.settings.server !== undefined) {
    await forgetToken(session, config, accountOf(found.settings.server, name));
  }
  const profiles = new Map(config.profiles);
  profiles.delete(name);
  const changed: Config = { ...config, profiles, profile: config.profile === name ? undefined : config.profile };
  await writeConfig(session.env, changed);
  session.output.result({ profile: name, removed: true }, `removed the profile ${name}`);
}
