import { usageError } from "../errors.ts";
import { asBytePath, type BytePath, displayPath, joinPath } from "./bytepath.ts";
import { checkPattern, hasMeta, MalformedPattern, matchName } from "./pattern.ts";

/** What resolving exclusions asks of the file system. Nothing here follows a link but `isDirectory`. */
export type Folders = {
  /** Whether something is there; a path with a trailing slash must be a directory. */
  exists(path: BytePath): boolean;
  /** Whether it is a directory, or a link to one. */
  isDirectory(path: BytePath): boolean;
  /** Names in a directory, in byte order; none if it cannot be read. */
  names(path: BytePath): readonly BytePath[];
  /** The path and, if it is a directory (or ends in a slash), everything below it. Throws if one cannot be read. */
  below(path: BytePath): Iterable<BytePath>;
};

/**
 * The paths that exclusion rules select, spelled as the walk of `root` spells them.
 *
 * Rules are resolved step by step as the Kosli CLI does, because its reading of `**` has consequences that users'
 * rules rely on: the joined rule is split at each `**`; each piece is appended to every match so far and globbed; every
 * hit counts with all that lies below it. So `**` + "/x" does not select x in the root (it is spelled "root//x"), while
 * `**` + "/*.x" does. Errors: `pattern-malformed`.
 */
export function selectExcluded(root: BytePath, rules: readonly BytePath[], folders: Folders): Set<BytePath> {
  const selected = new Set<BytePath>();
  for (const rule of rules) {
    checkPattern(rule);
    try {
      for (const path of globWithDoubleStars(joinPath(root, rule), folders)) selected.add(path);
    } catch (error) {
      if (!(error instanceof MalformedPattern)) throw error;
      throw usageError(
        "pattern-ambiguous",
        `the exclusion "${displayPath(rule)}" cannot be resolved: a name in its path contains pattern characters`,
        "Run the command inside the directory with `.` as path, or list the exclusions without **.",
      );
    }
  }
  return selected;
}

function globWithDoubleStars(pattern: BytePath, folders: Folders): Iterable<BytePath> {
  if (!pattern.includes("**")) return glob(pattern, folders);
  let matches = new Set<BytePath>([asBytePath("")]);
  for (const piece of pattern.split("**")) {
    const hits = new Set<BytePath>();
    for (const match of matches) {
      for (const path of glob(asBytePath(match + piece), folders)) {
        for (const found of folders.below(path)) hits.add(found);
      }
    }
    matches = hits;
  }
  return matches;
}

/** Go's filepath.Glob: what exists and matches, in byte order. A text without pattern characters is returned as it is. */
function glob(pattern: BytePath, folders: Folders): BytePath[] {
  matchName(pattern, asBytePath(""));
  if (!hasMeta(pattern)) return folders.exists(pattern) ? [pattern] : [];
  const slash = pattern.lastIndexOf("/");
  const last = asBytePath(pattern.slice(slash + 1));
  // "a/b" → "a", "/b" → "/", "b" → "."
  const folder = asBytePath(slash < 0 ? "." : slash === 0 ? "/" : pattern.slice(0, slash));
  const parents = hasMeta(folder) ? glob(folder, folders) : [folder];
  const matches: BytePath[] = [];
  for (const parent of parents) {
    if (!folders.isDirectory(parent)) continue;
    for (const name of folders.names(parent)) if (matchName(last, name)) matches.push(joinPath(parent, name));
  }
  return matches;
}

const MAX_LINE = 65_535;

/**
 * The rules in a `.kosli_ignore` file: one a line, `#` starts a comment, blanks around a rule do not count.
 * `text` is the file's bytes as Latin-1. Errors: `ignore-line-too-long` (the Kosli CLI silently drops such a line and
 * all after it, which would change the fingerprint without a word).
 */
export function parseIgnoreFile(text: string): BytePath[] {
  const rules: BytePath[] = [];
  for (const line of text.split("\n")) {
    if (line.length > MAX_LINE) {
      throw usageError("ignore-line-too-long", `.kosli_ignore has a line of more than ${MAX_LINE} bytes`);
    }
    const rule = trimSpace(line.split("#", 1)[0] ?? "");
    if (rule !== "") rules.push(asBytePath(rule));
  }
  return rules;
}

// White space as Unicode has it (and Go's strings.TrimSpace removes), in UTF-8 bytes.
const SPACE =
  "(?:[\\t-\\r ]|\\xc2[\\x85\\xa0]|\\xe1\\x9a\\x80|\\xe2\\x80[\\x80-\\x8a\\xa8\\xa9\\xaf]|\\xe2\\x81\\x9f|\\xe3\\x80\\x80)";
const LEADING = new RegExp(`^${SPACE}+`);
const LAST = new RegExp(`${SPACE}$`);

function trimSpace(text: string): string {
  let end = text.length;
  for (;;) {
    const found = LAST.exec(text.slice(Math.max(0, end - 3), end));
    if (found === null) break;
    end -= found[0].length;
  }
  return text.slice(0, end).replace(LEADING, "");
}

/**
 * One `--exclude` argument: a list separated by commas, where a part in double quotes may hold commas ("" is a quote).
 * Errors: `exclude-malformed`.
 */
export function parseExcludeList(argument: string): string[] {
  if (argument === "") return [];
  const malformed = (): Error =>
    usageError("exclude-malformed", `--exclude ${argument}: a quote is out of place`, 'Quote a whole entry: "a,b",c');
  const parts: string[] = [];
  let at = 0;
  for (;;) {
    if (argument[at] === '"') {
      const quoted = /^"((?:[^"]|"")*)"(?=,|$)/.exec(argument.slice(at));
      if (quoted === null) throw malformed();
      parts.push((quoted[1] ?? "").replaceAll('""', '"'));
      at += quoted[0].length;
    } else {
      const comma = argument.indexOf(",", at);
      const part = argument.slice(at, comma < 0 ? undefined : comma);
      if (part.includes('"')) throw malformed();
      parts.push(part);
      at += part.length;
    }
    if (at >= argument.length) return parts;
    at += 1;
  }
}
