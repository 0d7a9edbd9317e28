/** Every direct dependency stands in docs/dependencies.md with its true version, licence and a reason, and nothing else stands there. */
import { readFileSync } from "node:fs";
import { type Lock, resolveInLock } from "./platform-packages.ts";
import { repositoryFiles, ROOT } from "./repository.ts";

/** One row of a table in the document: `| name | licence | reason |`. */
type Row = { name: string; licence: string; reason: string };

type Manifest = Partial<Record<"dependencies" | "devDependencies" | "optionalDependencies", Record<string, string>>>;

export function documentedDependencies(markdown: string): Row[] {
  const rows: Row[] = [];
  for (const line of markdown.split("\n")) {
    const match = /^\| `([^`]+)`\s*\| ([^|]+) \| ([^|]*) \|$/.exec(line);
    if (match) rows.push({ name: match[1] ?? "", licence: (match[2] ?? "").trim(), reason: (match[3] ?? "").trim() });
  }
  return rows;
}

/**
 * @param direct names of direct dependencies, each with the licence its lock entry states (undefined for packages npm could not read)
 */
export function dependencyProblems(markdown: string, direct: ReadonlyMap<string, string | undefined>): string[] {
  const problems: string[] = [];
  const rows = new Map(documentedDependencies(markdown).map((row) => [row.name, row]));
  for (const [name, licence] of direct) {
    const row = rows.get(name);
    if (row === undefined) {
      problems.push(`docs/dependencies.md lacks ${name}: add a row with its licence and why it is here`);
      continue;
    }
    if (row.reason.length < 10) problems.push(`docs/dependencies.md gives no reason for ${name}`);
    if (licence !== undefined && row.licence !== licence) {
      problems.push(`docs/dependencies.md gives ${name} the licence ${row.licence}; the package states ${licence}`);
    }
  }
  for (const name of rows.keys()) {
    if (!direct.has(name)) problems.push(`docs/dependencies.md lists ${name}, which is no direct dependency`);
  }
  return problems;
}

if (import.meta.main) {
  const read = (path: string): string => readFileSync(new URL(path, ROOT), "utf8");
  const lock = JSON.parse(read("package-lock.json")) as Lock & { packages: Record<string, { license?: string }> };
  const direct = new Map<string, string | undefined>();
  for (const path of repositoryFiles().filter((file) => /^(?:packages\/[^/]+\/)?package\.json$/.test(file))) {
    const manifest = JSON.parse(read(path)) as Manifest;
    for (const name of Object.keys({
      ...manifest.dependencies,
      ...manifest.devDependencies,
      ...manifest.optionalDependencies,
    })) {
      if (name.startsWith("@assay/")) continue;
      const at = resolveInLock(lock, path === "package.json" ? "" : path.slice(0, -"/package.json".length), name);
      direct.set(name, at === undefined ? undefined : lock.packages[at]?.license);
    }
  }
  const problems = dependencyProblems(read("docs/dependencies.md"), direct);
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) process.exitCode = 1;
}
