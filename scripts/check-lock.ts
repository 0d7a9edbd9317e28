/**
 * The lock file must give the same packages on every machine, whatever registry it installs from. Fails if an optional platform package
 * is missing, an entry names a host, a version is no exact one, or an entry that npm resolved has no integrity.
 */
import { readFileSync } from "node:fs";
import { entriesWithEngines, isExactVersion, type Lock, missingEntries, platformOfName } from "./platform-packages.ts";
import { repositoryFiles, ROOT } from "./repository.ts";

type Manifest = Record<
  "dependencies" | "devDependencies" | "optionalDependencies" | "peerDependencies",
  Record<string, string> | undefined
>;

/** What is wrong with the lock, as sentences. */
export function lockProblems(lock: Lock): string[] {
  const problems: string[] = [];
  for (const { owner, name } of missingEntries(lock)) {
    problems.push(
      `package-lock.json has no entry for ${name}, an optional dependency of ${owner}: run \`npm run lock\``,
    );
  }
  for (const path of entriesWithEngines(lock))
    problems.push(`package-lock.json: ${path} states engines: run \`npm run lock\``);
  for (const [path, entry] of Object.entries(lock.packages)) {
    if (entry.link === true) {
      if (!/^packages\/[a-z]+$/.test(entry.resolved ?? ""))
        problems.push(`package-lock.json: ${path} links to "${entry.resolved}", not to a package here`);
      continue;
    }
    if (entry.resolved !== undefined)
      problems.push(`package-lock.json: ${path} names where it came from ("resolved"): no host may stand in the lock`);
    if (!path.includes("node_modules/")) continue;
    if (!isExactVersion(entry.version ?? ""))
      problems.push(`package-lock.json: ${path} has the version "${entry.version}", not an exact one`);
    if (
      entry.integrity === undefined &&
      entry.inBundle !== true &&
      !(entry.optional === true && platformOfName(path) !== undefined)
    ) {
      problems.push(`package-lock.json: ${path} has no integrity`);
    }
  }
  return problems;
}

/** What is wrong with one package.json, as sentences: every version that we choose ourselves is exact. */
export function manifestProblems(path: string, manifest: Manifest): string[] {
  const problems: string[] = [];
  for (const kind of ["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"] as const) {
    for (const [name, version] of Object.entries(manifest[kind] ?? {})) {
      if (!isExactVersion(version)) problems.push(`${path}: ${kind} has ${name} "${version}", not an exact version`);
    }
  }
  return problems;
}

if (import.meta.main) {
  const read = (path: string): unknown => JSON.parse(readFileSync(new URL(path, ROOT), "utf8"));
  const problems = lockProblems(read("package-lock.json") as Lock);
  for (const path of repositoryFiles().filter((file) => /^(?:packages\/[^/]+\/)?package\.json$/.test(file))) {
    problems.push(...manifestProblems(path, read(path) as Manifest));
  }
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) process.exitCode = 1;
}
