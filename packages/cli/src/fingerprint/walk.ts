import { asBytePath, type BytePath, cleanPath } from "./bytepath.ts";

/** What a directory holds: `other` is a device, socket or pipe. */
export type Kind = "file" | "directory" | "link" | "other";
export type Listed = { readonly name: BytePath; readonly kind: Kind };

/** One thing in the tree; `path` starts with the root as it was given, `name` is its last part. */
export type Visited = Listed & { readonly path: BytePath };

/**
 * Everything below `root`, each directory before what it holds, names in byte order; links are never entered. What
 * `skip` says true to is left out, a directory with all it holds. `list` may answer in any order.
 */
export function* walk(
  root: BytePath,
  list: (folder: BytePath) => readonly Listed[],
  skip: (entry: Visited) => boolean,
): Generator<Visited, void> {
  const clean = cleanPath(root);
  // One stack instead of nested generators: with those each entry would cost a step for every folder above it.
  const stack = [{ prefix: clean === "." ? "" : clean === "/" ? "/" : `${clean}/`, entries: inByteOrder(list(root)) }];
  for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
    const next = top.entries.pop();
    if (next === undefined) {
      stack.pop();
      continue;
    }
    const entry = { name: next.name, kind: next.kind, path: asBytePath(top.prefix + next.name) };
    if (skip(entry)) continue;
    yield entry;
    if (entry.kind === "directory") stack.push({ prefix: `${entry.path}/`, entries: inByteOrder(list(entry.path)) });
  }
}

/** Reversed, so that the first is popped first. */
function inByteOrder(entries: readonly Listed[]): Listed[] {
  return [...entries].sort((a, b) => (a.name > b.name ? -1 : a.name < b.name ? 1 : 0));
}
