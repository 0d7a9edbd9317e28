import { execFileSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** Builds the independent tile auditor (main.go) with the Go of this machine; returns the program's path. */
export function buildAuditor(): string {
  const program = join(mkdtempSync(join(tmpdir(), "assay-auditor-")), "auditor");
  execFileSync("go", ["build", "-o", program, "."], {
    cwd: import.meta.dirname,
    env: { ...process.env, GOFLAGS: "-buildvcs=false", GOTOOLCHAIN: "local" },
  });
  return program;
}
