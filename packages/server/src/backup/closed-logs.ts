import { readdir, readFile } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import { isMissing } from "../storage/durable.ts";

/** A published file of a log that was closed: `<log>/<path>`. */
export interface ClosedLogFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** The files that stay of a closed log: what a reader of it needs, and nothing a server locks or writes in passing. */
const KEPT = /^(?:checkpoint|newest-checkpoint|witnessed-checkpoint|tile\/.+(?<!\.tmp))$/;

/** Every file of every closed log, in order. They no longer change. */
export async function* closedLogFiles(dataDirectory: string): AsyncGenerator<ClosedLogFile> {
  const logs = join(dataDirectory, "logs");
  for (const log of (await entries(logs)).filter((name) => /^record\.closed-\d+$/.test(name))) {
    const directory = join(logs, log);
    const files = (await readdir(directory, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => relative(directory, join(entry.parentPath, entry.name)).split(sep).join("/"));
    for (const path of files.toSorted()) {
      if (KEPT.test(path)) yield { name: `${log}/${path}`, bytes: await readFile(join(directory, path)) };
    }
  }
}

async function entries(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).toSorted();
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}
