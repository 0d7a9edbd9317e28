import type { DatedFinding } from "../integrity/memory.ts";
import { momentText } from "../integrity/since.ts";
import { readWitnessLogs } from "../witness/logs-file.ts";
import { readWitnessPolicy } from "../witness/policy-file.ts";
import { type CheckReport, checkDirectory } from "./check.ts";
import type { AdminCommand } from "./command.ts";
import { readKeptCheckpoint } from "./kept-checkpoint.ts";

/** `assay server check`: exit 1 when anything is wrong. */
export const checkCommand: AdminCommand = {
  name: "check",
  usage: "[--incremental] [--against CHECKPOINT]",
  summary: "re-verify everything; exit 1 when anything is wrong",
  options: { against: { type: "string" }, incremental: { type: "boolean" } },
  async run({ config, flag, isSet, tell, print }) {
    const kept = flag("against");
    const report = await checkDirectory({
      ...config,
      tell,
      incremental: isSet("incremental"),
      witnesses: config.witnessPolicy === undefined ? undefined : readWitnessPolicy(config.witnessPolicy).policy,
      witnessed: config.witnessLogs === undefined ? undefined : readWitnessLogs(config.witnessLogs, new Set()),
      ...(kept === undefined ? {} : { against: readKeptCheckpoint(kept) }),
    });
    const { findings } = report;
    const ok = findings.length === 0;
    const { notLookedAt } = report;
    print(
      {
        ok,
        ...report,
        notLookedAt: [...notLookedAt],
        findings: findings.map(({ entry, ...finding }) => ({ ...finding, ...(entry === undefined ? {} : { entry }) })),
      },
      reportText(report),
    );
    return ok ? 0 : 1;
  },
};

/** A report for people: each finding with what, where, since when and what to do. */
export function reportText(report: CheckReport): string {
  const { findings, events, blobs, blobBytes, notLookedAt, more } = report;
  const lines = findings.map(findingText);
  if (more > 0) lines.push(`… and ${more} more`);
  const looked = `${events} events${report.mode === "full" ? "" : ` from event ${report.from} on`}, ${blobs} blobs of ${blobBytes} bytes`;
  const count = findings.length + more;
  lines.push(
    count === 0 ? `everything holds: ${looked}` : `${count} ${count === 1 ? "finding" : "findings"} in ${looked}`,
  );
  for (const what of notLookedAt) lines.push(`not looked at: ${what}`);
  if (report.forgotten !== undefined) lines.push(`not remembered: ${report.forgotten}`);
  return lines.join("\n");
}

function findingText({ kind, where, problem, action, since }: DatedFinding): string {
  const whole = since.whole === null ? "never looked at before" : `last found whole ${momentText(since.whole)}`;
  return `${kind}: ${where}\n  ${problem}\n  since: found first ${momentText(since.found)}, ${whole}\n  → ${action}`;
}
