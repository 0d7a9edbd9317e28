/**
 * `npm run arrows` writes `.oxlintrc.json` from scripts/floors.ts. With `--check` it writes nothing and fails when
 *   - the committed file is not what the table gives;
 *   - something in packages/server/src stands in no row of the table;
 *   - a dynamic import goes against an arrow, or computes its target (the linter's rule reads static imports only).
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dynamicImports } from "./dynamic-imports.ts";
import { restrictionsOn, unplaced } from "./floors.ts";
import { lintConfig } from "./lint-config.ts";
import { repositoryFiles, ROOT } from "./repository.ts";

const configPath = new URL(".oxlintrc.json", ROOT);

function check(): string[] {
  const problems: string[] = [];
  if (readFileSync(configPath, "utf8") !== lintConfig()) {
    problems.push(".oxlintrc.json is not what scripts/floors.ts gives: run `npm run arrows`");
  }
  for (const entry of unplaced(readdirSync(new URL("packages/server/src/", ROOT)))) {
    problems.push(`packages/server/src/${entry} stands on no floor: give it a place in scripts/floors.ts`);
  }
  for (const path of repositoryFiles()) {
    if (!/^packages\/.*\.(?:ts|tsx|mts|js|mjs)$/.test(path)) continue;
    const restrictions = restrictionsOn(path);
    for (const { line, target } of dynamicImports(readFileSync(new URL(path, ROOT), "utf8"))) {
      if (target === undefined) {
        if (/^packages\/[^/]+\/src\//.test(path))
          problems.push(`${path}:${line} import() of a computed name can not be checked`);
        continue;
      }
      for (const { regex, message } of restrictions) {
        if (new RegExp(regex, "u").test(target)) problems.push(`${path}:${line} import("${target}"): ${message}`);
      }
    }
  }
  return problems;
}

if (process.argv.includes("--check")) {
  const problems = check();
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) process.exitCode = 1;
} else {
  writeFileSync(configPath, lintConfig());
}
