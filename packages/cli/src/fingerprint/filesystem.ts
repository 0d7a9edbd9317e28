import { type Dirent, lstatSync, readdirSync, readFileSync, readlinkSync, statSync, type Stats } from "node:fs";
import { CliError, Exit, fileError, systemCode } from "../errors.ts";
import { asBytePath, type BytePath, displayPath, joinPath, pathBytes } from "./bytepath.ts";
import type { Folders } from "./exclusions.ts";
import type { Kind, Listed } from "./walk.ts";

// Blocking calls throughout: this program does one thing at a time, and they are several times faster.

/** What a directory holds, in no particular order. Errors name the directory. */
export function listFolder(folder: BytePath): Listed[] {
  try {
    const entries = readdirSync(pathBytes(folder), { encoding: "latin1", withFileTypes: true });
    return entries.map((entry) => ({ name: asBytePath(entry.name), kind: kindOf(folder, entry) }));
  } catch (error) {
    throw fileError(displayPath(folder), error);
  }
}

/** The text of a link. */
export function linkText(path: BytePath): BytePath {
  try {
    return asBytePath(readlinkSync(pathBytes(path), "latin1"));
  } catch (error) {
    throw fileError(displayPath(path), error);
  }
}

/** What `path` is; `follow` looks through links. */
export function kindAt(path: BytePath, follow: boolean): Kind {
  try {
    return statKind(follow ? statSync(pathBytes(path)) : lstatSync(pathBytes(path)));
  } catch (error) {
    throw fileError(displayPath(path), error);
  }
}

const MAX_RULES_FILE = 4 << 20;

/** The text (Latin-1) of the `.kosli_ignore` at `path`, or undefined when there is none or a directory has its name. */
export function readIgnoreFile(path: BytePath): string | undefined {
  let info: Stats;
  try {
    info = statSync(pathBytes(path));
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw fileError(displayPath(path), error);
  }
  if (info.isDirectory()) return undefined;
  if (!info.isFile() || info.size > MAX_RULES_FILE) {
    throw new CliError("ignore-file-invalid", `${displayPath(path)} is not a file of at most ${MAX_RULES_FILE} bytes`, {
      exit: Exit.unknown,
    });
  }
  try {
    return readFileSync(pathBytes(path), "latin1");
  } catch (error) {
    throw fileError(displayPath(path), error);
  }
}

/** The file system as the resolution of exclusions sees it. */
export const folders: Folders = {
  exists: (path) => statOrMissing(path, false) !== undefined,
  isDirectory: (path) => statOrMissing(path, true)?.isDirectory() === true,
  names(path) {
    try {
      return readdirSync(pathBytes(path), "latin1").sort().map(asBytePath);
    } catch (error) {
      // As the globs of the Kosli CLI: what cannot be read holds no match. If it is not excluded the walk reports it.
      if (systemCode(error) !== undefined) return [];
      throw error;
    }
  },
  below: walkBelow,
};

function* walkBelow(path: BytePath): Generator<BytePath, void> {
  yield path;
  if (kindAt(path, false) !== "directory") return;
  for (const { name, kind } of listFolder(path)) {
    const child = joinPath(path, name);
    if (kind === "directory") yield* walkBelow(child);
    else yield child;
  }
}

/** Undefined for whatever cannot be looked at, as Go's Glob ignores such errors. */
function statOrMissing(path: BytePath, follow: boolean): Stats | undefined {
  if (path === "") return undefined;
  try {
    return follow ? statSync(pathBytes(path)) : lstatSync(pathBytes(path));
  } catch (error) {
    if (systemCode(error) !== undefined) return undefined;
    throw error;
  }
}

function kindOf(folder: BytePath, entry: Dirent): Kind {
  if (entry.isFile()) return "file";
  if (entry.isDirectory()) return "directory";
  if (entry.isSymbolicLink()) return "link";
  // Some file systems do not say the type in the listing.
  return kindAt(joinPath(folder, asBytePath(entry.name)), false);
}

function statKind(info: Stats): Kind {
  return info.isFile() ? "file" : info.isDirectory() ? "directory" : info.isSymbolicLink() ? "link" : "other";
}
