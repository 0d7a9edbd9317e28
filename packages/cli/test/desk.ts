import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Environment } from "../src/environment.ts";
import { run } from "../src/main.ts";

/** What a run came to; `json` parses standard output. */
export type DeskRun = {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
  json(): Record<string, unknown>;
};

/** Somebody's working place: a folder with files and settings of its own, and the command line in this very process. */
export class Desk {
  readonly folder: string = mkdtempSync(join(tmpdir(), "assay-desk-"));
  readonly #env: Record<string, string>;

  constructor(env: Readonly<Record<string, string>> = {}) {
    this.#env = { HOME: this.folder, ASSAY_KEY_PASSWORD: "for tests", ...env };
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** Writes a file, answers its path. */
  file(name: string, content: string | Uint8Array): string {
    const path = this.path(name);
    writeFileSync(path, content);
    return path;
  }

  async assay(...argv: string[]): Promise<DeskRun> {
    return this.assayWith({}, ...argv);
  }

  /** As `assay`, with other environment variables; an undefined one is unset, an empty one is set but empty. */
  async assayWith(env: Environment, ...argv: string[]): Promise<DeskRun> {
    let stdout = "";
    let stderr = "";
    const exit = await run(argv, {
      env: { ...this.#env, ...env },
      stdin: process.stdin,
      stdout: { write: (text: string) => (stdout += text) },
      stderr: { write: (text: string) => (stderr += text) },
    });
    return { exit, stdout, stderr, json: () => JSON.parse(stdout) as Record<string, unknown> };
  }

  /** As `assay`, but anything other than exit code 0 is the test's failure. */
  async must(...argv: string[]): Promise<DeskRun> {
    const ran = await this.assay(...argv);
    if (ran.exit !== 0) throw new Error(`assay ${argv.join(" ")} ended with ${ran.exit}\n${ran.stdout}${ran.stderr}`);
    return ran;
  }

  /** A key pair NAME.key and NAME.pub; answers both paths. */
  async keyPair(name: string, algorithm = "p256"): Promise<{ key: string; pub: string }> {
    await this.must("key", "generate", "--output-prefix", this.path(name), "--algorithm", algorithm);
    return { key: this.path(`${name}.key`), pub: this.path(`${name}.pub`) };
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
