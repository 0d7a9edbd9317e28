/**
 * Types: `tsc` over every project of the repository, and each TypeScript file in one of them (a file in none is never checked).
 */
import { execFile } from "node:child_process";
import { mkdirSync } from "node:fs";
import { relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { repositoryFiles, ROOT } from "./repository.ts";

const run = promisify(execFile);
const root = fileURLToPath(ROOT);
const compiler = fileURLToPath(new URL("node_modules/typescript/bin/tsc", ROOT));

async function tsc(...args: string[]): Promise<{ ok: boolean; output: string }> {
  try {
    const { stdout } = await run(process.execPath, [compiler, ...args], { cwd: root, maxBuffer: 256 * 1024 * 1024 });
    return { ok: true, output: stdout };
  } catch (error) {
    // tsc reports type errors on standard output and ends with 1 or 2; anything else is a failure of the run itself.
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    if (stdout === undefined) throw error;
    return { ok: false, output: `${stdout}${stderr ?? ""}` };
  }
}

mkdirSync(new URL("node_modules/.cache/", ROOT), { recursive: true });
const files = repositoryFiles();
const projects = files.filter((path) => /(?:^|\/)tsconfig\.json$/.test(path));
const checked = new Set<string>();
let failed = false;
for (const project of projects) {
  const { ok, output } = await tsc("--project", project, "--pretty", "false");
  if (!ok) {
    console.error(`${project}:\n${output}`);
    failed = true;
  }
  const { output: list } = await tsc("--project", project, "--listFilesOnly");
  for (const path of list.split("\n")) checked.add(relative(root, path).split(sep).join("/"));
}
for (const path of files.filter((file) => /\.(?:ts|mts|tsx)$/.test(file) && !checked.has(file))) {
  console.error(`${path} is in no TypeScript project: extend the "include" of the nearest tsconfig.json`);
  failed = true;
}
console.log(`${projects.length} projects, ${checked.size} files`);
if (failed) process.exitCode = 1;
