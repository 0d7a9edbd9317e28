import { readFileSync } from "node:fs";
import { ServerError } from "../errors.ts";
import { checkDirectory } from "./check.ts";
import type { AdminCommand } from "./command.ts";

/** `assay server check`: exit 1 when anything is wrong. */
export const checkCommand: AdminCommand = {
  name: "check",
  usage: "[--against CHECKPOINT]",
  summary: "re-verify everything; exit 1 when anything is wrong",
  options: { against: { type: "string" } },
  async run({ config, flag, tell, print }) {
    const kept = flag("against");
    const report = await checkDirectory({
      ...config,
      tell,
      ...(kept === undefined ? {} : { against: readCheckpoint(kept) }),
    });
    const { findings } = report;
    const lines = findings.map(
      (finding) => `${finding.kind}: ${finding.where}\n  ${finding.problem}\n  → ${finding.action}\n`,
    );
    print(
      { ok: findings.length === 0, ...report, findings: findings.map((finding) => ({ ...finding })) },
      findings.length === 0
        ? `everything holds: ${report.events} events, ${report.blobBytes} bytes of blobs`
        : `${lines.join("")}${findings.length} ${findings.length === 1 ? "finding" : "findings"} in ${report.events} events`,
    );
    return findings.length === 0 ? 0 : 1;
  },
};

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
