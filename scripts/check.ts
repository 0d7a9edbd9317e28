/** `npm run check [step…]`: every check that needs no test run. All steps run, so that one look shows all that is wrong. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { ROOT } from "./repository.ts";

const bin = (path: string): string => fileURLToPath(new URL(`node_modules/${path}`, ROOT));

const STEPS: ReadonlyMap<string, string[]> = new Map([
  ["types", ["scripts/check-types.ts"]],
  ["lint", [bin("oxlint/bin/oxlint")]],
  ["format", [bin("@biomejs/biome/bin/biome"), "format"]],
  ["arrows", ["scripts/arrows.ts", "--check"]],
  ["lock", ["scripts/check-lock.ts"]],
  ["dependencies", ["scripts/check-dependencies.ts"]],
  ["portable", ["scripts/check-portable.ts"]],
]);

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !STEPS.has(name));
if (unknown.length > 0) {
  console.error(`no such check: ${unknown.join(", ")}; there are ${[...STEPS.keys()].join(", ")}`);
  process.exit(2);
}
const failed: string[] = [];
for (const [name, command] of STEPS) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  const started = performance.now();
  const { status } = spawnSync(process.execPath, command, { cwd: fileURLToPath(ROOT), stdio: "inherit" });
  if (status !== 0) failed.push(name);
  console.log(`${status === 0 ? "ok  " : "FAIL"} ${name} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
}
if (failed.length > 0) {
  console.error(`failed: ${failed.join(", ")}`);
  process.exitCode = 1;
}
