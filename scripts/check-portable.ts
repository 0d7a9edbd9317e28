/** No file of the repository may hold what is true on one machine only: a path of that machine, or the host of a package registry. */
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { fileURLToPath } from "node:url";
import { repositoryFiles, ROOT } from "./repository.ts";

const escape = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** Patterns of machine-bound text, each with what to call it. */
function machineBound(): { pattern: RegExp; what: string }[] {
  const patterns = [
    { pattern: /\bregistry\.(?:npmjs|yarnpkg)\b|\bnpm\.pkg\.github\b/u, what: "a package registry's host" },
    { pattern: /(?<![\w./-])\/(?:home|Users)\/[a-z][\w.-]*\//u, what: "a path in somebody's home" },
    { pattern: /(?<![\w./-])\/root\//u, what: "a path in somebody's home" },
  ];
  // This machine's own: the clone's folder, the home and the registry in use. A short one like "/app" would match by chance.
  const root = fileURLToPath(ROOT).replace(/[/\\]$/u, "");
  if (root.split(/[/\\]/u).length > 2)
    patterns.push({ pattern: new RegExp(`${escape(root)}\\b`, "u"), what: "the path of a clone" });
  if (homedir().split(/[/\\]/u).length > 2)
    patterns.push({ pattern: new RegExp(`${escape(homedir())}\\b`, "u"), what: "a path in somebody's home" });
  const registry = process.env["npm_config_registry"];
  if (registry !== undefined && URL.canParse(registry)) {
    patterns.push({ pattern: new RegExp(escape(new URL(registry).host), "u"), what: "a package registry's host" });
  }
  return patterns;
}

const patterns = machineBound();
for (const path of repositoryFiles()) {
  const content = readFileSync(new URL(path, ROOT));
  if (content.includes(0)) continue; // binary
  for (const [index, line] of content.toString("utf8").split("\n").entries()) {
    for (const { pattern, what } of patterns) {
      const match = pattern.exec(line);
      if (match) {
        console.error(`${path}:${index + 1} holds ${what}: ${match[0]}`);
        process.exitCode = 1;
      }
    }
  }
}
