import type { Command } from "commander";
import { type Config, configPath, readConfig, writeConfig } from "../config.ts";
import { Exit } from "../errors.ts";
import {
  PREFERENCE_NAMES,
  PREFERENCES,
  type PreferenceName,
  preferenceName,
  type Preferences,
  preferenceValue,
} from "../preferences.ts";
import type { Session } from "../session.ts";
import { type Found, type NamedProfile, profileInUse, resolveSetting } from "../settings.ts";
import { facts, table } from "../table.ts";

export function define(command: Command, session: Session): void {
  command.addHelpText("after", () => `\nSettings:\n${indented(meanings())}`);

  command
    .command("list")
    .description("show the settings in force")
    .option("--show-origin", "also who says so: a flag, a variable, the profile, the file, or the login")
    .action((options: { showOrigin?: true }) => list(session, options.showOrigin === true));

  command
    .command("get")
    .description("print one setting as it is in force; exit 1 if it is not set")
    .argument("<setting>", "its name")
    .action(async (words: string) => {
      const name = preferenceName(words);
      const found = resolveSetting(name, session.flags, session.env, await readConfig(session.env));
      session.output.result({ setting: name, ...(found ?? { value: null }) }, found?.value ?? "");
      if (found === undefined) session.answer(Exit.no);
    });

  command
    .command("set")
    .description("keep a setting in the configuration file: for everything, or with --profile in that profile")
    .argument("<setting>", "its name")
    .argument("<value>", "its value")
    .action(async (words: string, text: string) => {
      const name = preferenceName(words);
      const value = preferenceValue(name, text);
      await change(session, name, value, `${name} is ${value}`);
    });

  command
    .command("unset")
    .description("take a setting out of the configuration file, or with --profile out of that profile")
    .argument("<setting>", "its name")
    .action((words: string) => {
      const name = preferenceName(words);
      return change(session, name, undefined, `${name} is not set`);
    });

  command
    .command("path")
    .description("print where the configuration file is")
    .action(() => {
      const path = configPath(session.env);
      session.output.result({ path }, path);
    });
}

function meanings(): string {
  return facts(
    PREFERENCE_NAMES.map((name) => {
      const { meaning, choices } = PREFERENCES[name];
      return [name, choices === undefined ? meaning : `${meaning} (${choices.join(", ")})`] as const;
    }),
  );
}

function indented(text: string): string {
  return text.replace(/^/gm, "  ");
}

/** The settings are changed in the profile that was named for this run, else for everything: never in one chosen long ago, unasked. */
function named(session: Session, config: Config): NamedProfile | undefined {
  const said = session.flags.profile ?? session.env.ASSAY_PROFILE;
  return said === undefined ? undefined : profileInUse(session.flags, session.env, config);
}

async function change(session: Session, name: PreferenceName, value: string | undefined, said: string): Promise<void> {
  const config = await readConfig(session.env);
  const profile = named(session, config);
  await writeConfig(session.env, changed(config, profile, name, value));
  session.output.result(
    { setting: name, value: value ?? null, profile: profile?.name ?? null },
    `${said}${profile === undefined ? "" : ` in profile ${profile.name}`}`,
  );
}

function changed(
  config: Config,
  profile: NamedProfile | undefined,
  name: PreferenceName,
  value: string | undefined,
): Config {
  const put = (settings: Preferences): Preferences => {
    const { [name]: _before, ...others } = settings;
    return value === undefined ? others : { ...others, [name]: value };
  };
  if (profile === undefined) return { ...config, settings: put(config.settings) };
  const { settings, login } = profile.profile;
  // A profile's login is for its server alone: under another it would be no login.
  const kept = name === "server" && value !== settings.server ? undefined : login;
  return { ...config, profiles: new Map(config.profiles).set(profile.name, { settings: put(settings), login: kept }) };
}

const ORIGINS: Readonly<Record<Found["origin"], (by: string) => string>> = {
  flag: (by) => `the flag ${by}`,
  environment: (by) => `the variable ${by}`,
  profile: (by) => `the profile ${by}`,
  default: () => "the configuration file",
  login: (by) => `the login at ${by}`,
};

async function list(session: Session, showOrigin: boolean): Promise<void> {
  const config = await readConfig(session.env);
  const settings = PREFERENCE_NAMES.map(
    (name) => [name, resolveSetting(name, session.flags, session.env, config)] as const,
  );
  const profile = profileInUse(session.flags, session.env, config)?.name;
  const rows = settings.map(([name, found]) => [
    name,
    found?.value ?? "(not set)",
    ...(showOrigin ? [found === undefined ? "" : ORIGINS[found.origin](found.by)] : []),
  ]);
  session.output.result(
    {
      config: configPath(session.env),
      profile: profile ?? null,
      settings: Object.fromEntries(settings.map(([name, found]) => [name, found ?? null])),
    },
    `${table(["SETTING", "VALUE", ...(showOrigin ? ["SAID BY"] : [])], rows)}\n\n${facts([
      ["profile", profile ?? "none"],
      ["file", configPath(session.env)],
    ])}`,
  );
}
