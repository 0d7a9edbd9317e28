import { CliError, Exit, usageError } from "../errors.ts";
import { asBytePath, type BytePath, bytePath, displayPath, joinPath } from "./bytepath.ts";
import { ContentHasher } from "./content.ts";
import { parseIgnoreFile, selectExcluded } from "./exclusions.ts";
import { folders, kindAt, linkText, listFolder, readIgnoreFile } from "./filesystem.ts";
import { KosliDigest, StructureDigest, type TreeEntry } from "./tree-digests.ts";
import { type Visited, walk } from "./walk.ts";

/** The digests of a directory. */
export type DirectoryFingerprint = {
  /** The Kosli CLI's `dir` fingerprint, lower hex. */
  readonly fingerprint: string;
  /** The structure-binding digest and what it binds, when asked for. Paths are relative to the directory. */
  readonly structure: { readonly digest: string; readonly entries: readonly TreeEntry[] } | undefined;
  readonly files: number;
  readonly bytes: number;
  readonly warnings: readonly { readonly code: string; readonly message: string }[];
};

const IGNORE_FILE = asBytePath(".kosli_ignore");

/**
 * Fingerprints the directory at `path` (as the user wrote it). `excludes` are patterns relative to it; those in its
 * `.kosli_ignore` are added. `structure` asks for the structure-binding digest too.
 *
 * Errors: `pattern-malformed` and its like, `directory-is-link`, `file-special` for devices, sockets and pipes, and
 * those of the file system, each naming the path.
 */
export async function fingerprintDirectory(
  path: string,
  excludes: readonly string[],
  options: { readonly structure: boolean; readonly progress?: (bytes: number) => void },
): Promise<DirectoryFingerprint> {
  const root = bytePath(path);
  requireDirectory(root);
  const { skip, warnings } = exclusions(root, excludes.map(bytePath));
  const hasher = new ContentHasher(options.structure, options.progress);
  const kosli = new KosliDigest();
  const structure = options.structure ? new StructureDigest() : undefined;
  const entries: TreeEntry[] = [];
  let files = 0;
  let bytes = 0;
  const bind = (entry: TreeEntry): void => {
    structure?.add(entry);
    if (structure !== undefined) entries.push(entry);
  };
  const prefix = root.endsWith("/") ? joinPath(root, asBytePath("")) : joinPath(root, asBytePath("."));
  const relative = (entry: Visited): BytePath =>
    asBytePath(prefix === "." ? entry.path : entry.path.slice(prefix === "/" ? 1 : prefix.length + 1));

  for (const entry of walk(root, listFolder, skip)) {
    const kind = entry.kind === "link" ? kindAt(entry.path, true) : entry.kind;
    if (kind === "other" || kind === "link") throw special(entry.path);
    if (entry.kind === "link") bind({ kind: "link", path: relative(entry), target: linkText(entry.path) });
    if (kind === "directory") {
      if (entry.kind === "directory") bind({ kind: "directory", path: relative(entry) });
      kosli.add(entry.name, entry.kind === "link" ? { linkToDirectory: linkText(entry.path) } : "directory");
      continue;
    }
    const hashed = hasher.hash(entry.path, entry.kind === "link");
    const content = hashed instanceof Promise ? await hashed : hashed;
    kosli.add(entry.name, { content: content.sha256 });
    files += 1;
    bytes += content.size;
    if (entry.kind === "file" && structure !== undefined) {
      const executable = (content.mode & 0o100) !== 0;
      bind({ kind: "file", path: relative(entry), size: content.size, executable, content: content.sha256 });
    }
  }
  return {
    fingerprint: kosli.digest(),
    structure: structure === undefined ? undefined : { digest: structure.digest(), entries },
    files,
    bytes,
    warnings,
  };
}

function requireDirectory(root: BytePath): void {
  const kind = kindAt(root, false);
  if (kind === "directory") return;
  if (kind === "link" && kindAt(root, true) === "directory") {
    // The Kosli CLI answers with the SHA-256 of nothing here, equal for every such link: worse than no answer.
    throw usageError(
      "directory-is-link",
      `${displayPath(root)} is a link to a directory`,
      `Name the directory itself, or write ${displayPath(root)}/ to look through the link.`,
    );
  }
  throw usageError("file-not-directory", `${displayPath(root)} is not a directory`, "Use --artifact-type file.");
}

type Exclusions = {
  skip: (entry: Visited) => boolean;
  warnings: { code: string; message: string }[];
};

/**
 * The rules of the flags and of the ignore file. The ignore file cannot exclude itself: else what it hides could
 * change without the fingerprint changing. A flag can, with a warning.
 */
function exclusions(root: BytePath, flags: readonly BytePath[]): Exclusions {
  const ignoreFile = joinPath(root, IGNORE_FILE);
  const text = readIgnoreFile(ignoreFile);
  const byFlag = selectExcluded(root, flags, folders);
  const byFile = selectExcluded(root, text === undefined ? [] : parseIgnoreFile(text), folders);
  const warnings: Exclusions["warnings"] = [];
  if (text !== undefined && byFlag.has(ignoreFile)) {
    warnings.push({
      code: "ignore-file-excluded",
      message:
        ".kosli_ignore is left out of the fingerprint while its rules apply, so whoever can change it can hide " +
        "files unnoticed. Move its rules to --exclude and delete it.",
    });
  }
  const isList = text !== undefined;
  const skip = ({ path }: Visited): boolean =>
    byFlag.has(path) || (byFile.has(path) && !(isList && path === ignoreFile));
  return { skip, warnings };
}

function special(path: BytePath): CliError {
  return new CliError(
    "file-special",
    `${displayPath(path)} is a device, a socket or a pipe and has no content to fingerprint`,
    {
      exit: Exit.unknown,
      hint: "Leave it out with --exclude.",
    },
  );
}
