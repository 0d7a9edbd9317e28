/** The files of this repository, as a clone holds them: without what is installed, built or written at run time. */
import { readdirSync } from "node:fs";

/** The repository's root folder, ending in a slash. */
export const ROOT = new URL("../", import.meta.url);

// The same list as .gitignore: a copy without .git is checked just as well.
const LEFT_OUT = new Set(["node_modules", "dist", ".git", ".cache", "coverage"]);
const LEFT_OUT_AT_ROOT = new Set(["data"]);

/** Paths from the root with forward slashes, sorted. */
export function repositoryFiles(): string[] {
  const files: string[] = [];
  const walk = (folder: string): void => {
    for (const entry of readdirSync(new URL(folder, ROOT), { withFileTypes: true })) {
      if (LEFT_OUT.has(entry.name) || (folder === "" && LEFT_OUT_AT_ROOT.has(entry.name))) continue;
      if (entry.isDirectory()) walk(`${folder}${entry.name}/`);
      else if (entry.isFile() && !entry.name.endsWith(".tsbuildinfo")) files.push(`${folder}${entry.name}`);
    }
  };
  walk("");
  return files.sort();
}
