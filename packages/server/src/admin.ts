/** `assay server …` besides `start`: administration of a data directory and its database, as a program of its own. */
import process from "node:process";
import { parseArgs } from "node:util";
import { backupCommand } from "./admin/backup.ts";
import { checkCommand } from "./admin/check-command.ts";
import type { AdminCommand } from "./admin/command.ts";
import { rebuildCommand } from "./admin/rebuild.ts";
import { redactCommand } from "./admin/redact.ts";
import { rotateMasterKeyCommand } from "./admin/rotate-master-key.ts";
import { upgradeCommand } from "./admin/upgrade.ts";
import { restoreCommand } from "./admin/restore.ts";
import { succeedCommand } from "./admin/succeed.ts";
import { verifyBackupCommand } from "./admin/verify-backup.ts";
import { readConfig } from "./config.ts";
import { ServerError } from "./errors.ts";
import { translateDiskError } from "./storage/disk-errors.ts";

/** Every command, in the order of the usage. */
const COMMANDS: readonly AdminCommand[] = [
  checkCommand,
  rebuildCommand,
  redactCommand,
  upgradeCommand,
  rotateMasterKeyCommand,
  backupCommand,
  verifyBackupCommand,
  restoreCommand,
  succeedCommand,
];

/** Flags every command has. */
const SHARED = { data: { type: "string" }, output: { type: "string", default: "text" } } as const;

function usage(commands: readonly AdminCommand[]): string {
  const line = ({ name, usage: rest, summary }: AdminCommand): string =>
    `  assay server ${`${name} ${rest}`.trim()} [--data DIR] [--output text|json]\n      ${summary}\n`;
  return `usage:\n${commands.map(line).join("")}`;
}

async function main(argv: readonly string[]): Promise<number> {
  const command = COMMANDS.find(({ name }) => name === argv[0]);
  if (command === undefined) {
    process.stderr.write(argv[0] === undefined ? usage(COMMANDS) : `assay: no command ${argv[0]}\n${usage(COMMANDS)}`);
    return 2;
  }
  let parsed: ReturnType<typeof parseArgs>;
  try {
    parsed = parseArgs({
      args: argv.slice(1),
      allowPositionals: true,
      strict: true,
      options: { ...SHARED, ...command.options },
    });
  } catch (error) {
    process.stderr.write(`assay: ${error instanceof Error ? error.message : String(error)}\n${usage([command])}`);
    return 2;
  }
  const { values, positionals } = parsed;
  const limit = command.positionals ?? 0;
  const unexpected = positionals[limit];
  if (unexpected !== undefined || !["text", "json"].includes(String(values["output"]))) {
    process.stderr.write(
      `${unexpected === undefined ? "" : `assay: unexpected argument ${unexpected}\n`}${usage([command])}`,
    );
    return 2;
  }
  const flag = (name: string): string | undefined => {
    const value = values[name];
    return typeof value === "string" ? value : undefined;
  };
  const data = flag("data");
  const json = values["output"] === "json";
  return await command.run({
    config: readConfig(process.env, data === undefined ? [] : ["--data", data]),
    positionals,
    flag,
    flags(name) {
      const value = values[name];
      return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
    },
    isSet: (name) => values[name] === true,
    tell(line) {
      if (!json) process.stderr.write(`${line}\n`);
    },
    print(value, text) {
      process.stdout.write(json ? `${JSON.stringify(value)}\n` : `${text}\n`);
    },
  });
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (thrown) {
  const error = translateDiskError(thrown);
  process.stderr.write(
    `assay: ${error instanceof Error ? error.message : String(error)}${error instanceof ServerError ? ` [${error.code}]` : ""}\n`,
  );
  if (error instanceof ServerError && error.hint !== undefined) process.stderr.write(`  ${error.hint}\n`);
  const code = error instanceof ServerError ? error.code : "internal";
  process.exitCode = code === "config-invalid" ? 2 : code === "check-failed" ? 1 : 3;
}
