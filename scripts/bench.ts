/**
 * `npm run bench [name…]`: runs `bench/<name>.ts` of each package that has one, all when none is named, one after another (they would disturb each other).
 *
 * A benchmark is a program. It measures itself against a baseline taken in the same run on the same machine, prints its figures and
 * their ratio, and ends non-zero when it misses its target. None of them is a test: a busy machine must not fail `npm test`.
 */
import { spawnSync } from "node:child_process";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { repositoryFiles, ROOT } from "./repository.ts";

const benches = new Map<string, string[]>();
for (const path of repositoryFiles()) {
  const name = /^packages\/[^/]+\/bench\/([^/]+)\.ts$/.exec(path)?.[1];
  if (name !== undefined) benches.set(name, [...(benches.get(name) ?? []), path]);
}
const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !benches.has(name));
if (unknown.length > 0) {
  console.error(`no such benchmark: ${unknown.join(", ")}; there are: ${[...benches.keys()].join(", ") || "none"}`);
  process.exit(2);
}
console.log(`Node ${process.versions.node}, ${cpus().length} × ${cpus()[0]?.model ?? "unknown processor"}`);
const missed: string[] = [];
for (const [name, path] of [...benches].flatMap(([each, paths]) => paths.map((path) => [each, path] as const))) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  console.log(`\n== ${name} (${path})`);
  const { status } = spawnSync(process.execPath, [path], { cwd: fileURLToPath(ROOT), stdio: "inherit" });
  if (status !== 0) missed.push(name);
}
if (missed.length > 0) {
  console.error(`\nmissed their target or failed: ${missed.join(", ")}`);
  process.exitCode = 1;
}
