/** `assay server check|rebuild`: administration of a data directory, as a program of its own. */
import { readFileSync } from "node:fs";
import process from "node:process";
import { parseArgs } from "node:util";
import { checkDirectory } from "./check.ts";
import { readConfig } from "./config.ts";
import { ServerError } from "./errors.ts";
import { rebuildDirectory } from "./rebuild.ts";

const USAGE = `usage: assay server check   [--data DIR] [--output text|json] [--against CHECKPOINT]   re-verify everything; exit 1 when anything is wrong
       assay server rebuild [--data DIR] [--output text|json]   refill the tables and tiles from the events (server stopped)
`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    args: process.argv.slice(2),
    allowPositionals: true,
    strict: true,
    options: {
      data: { type: "string" },
      output: { type: "string", default: "text" },
      against: { type: "string" },
    },
  });
  if (positionals.length > 1 || !["text", "json"].includes(values.output)) {
    process.stderr.write(positionals.length > 1 ? `assay: unexpected argument ${positionals[1]}\n${USAGE}` : USAGE);
    return 2;
  }
  const json = values.output === "json";
  const config = readConfig(process.env, values.data === undefined ? [] : ["--data", values.data]);
  const tell = (line: string): void => {
    if (!json) process.stderr.write(`${line}\n`);
  };
  switch (positionals[0]) {
    case "check": {
      const against = values.against === undefined ? undefined : readCheckpoint(values.against);
      const report = await checkDirectory(
        config.dataDirectory,
        tell,
        config.databaseUrl,
        config.s3,
        config.masterKey,
        against,
      );
      if (json) process.stdout.write(`${JSON.stringify({ ok: report.findings.length === 0, ...report })}\n`);
      else if (report.findings.length === 0) {
        process.stdout.write(`everything holds: ${report.events} events, ${report.blobBytes} bytes of blobs\n`);
      } else {
        for (const finding of report.findings) {
          process.stdout.write(`${finding.kind}: ${finding.where}\n  ${finding.problem}\n  → ${finding.action}\n`);
        }
        const count = report.findings.length;
        process.stdout.write(`${count} ${count === 1 ? "finding" : "findings"} in ${report.events} events\n`);
      }
      return report.findings.length === 0 ? 0 : 1;
    }
    case "rebuild": {
      const rebuilt = await rebuildDirectory(config.dataDirectory, config.masterKey, tell, config.databaseUrl);
      process.stdout.write(
        json ? `${JSON.stringify({ ok: true, ...rebuilt })}\n` : `rebuilt from ${rebuilt.events} events\n`,
      );
      return 0;
    }
    default:
      process.stderr.write(USAGE);
      return 2;
  }
}

/** A checkpoint file somebody kept. */
function readCheckpoint(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new ServerError("config-invalid", `the checkpoint ${path} cannot be read`, {
      cause,
      hint: "name the file you kept",
    });
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  const usage = error instanceof TypeError && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS");
  process.stderr.write(`assay: ${error instanceof Error ? error.message : String(error)}\n`);
  if (usage) process.stderr.write(USAGE);
  if (error instanceof ServerError && error.hint !== undefined) process.stderr.write(`  ${error.hint}\n`);
  const wrongSetting = error instanceof ServerError && error.code === "config-invalid";
  process.exitCode = usage || wrongSetting ? 2 : error instanceof ServerError && error.code === "check-failed" ? 1 : 3;
}
