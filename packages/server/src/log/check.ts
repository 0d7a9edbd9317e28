import type { Dirent } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import {
  type Crypto,
  encodeEntries,
  entriesPath,
  equalBytes,
  leafHash,
  type NoteKey,
  parseTilePath,
  parseVkey,
  TILE_WIDTH,
  tilePath,
  toHex,
} from "@assay/evidence";
import type { Reader } from "../storage/database.ts";
import { isMissing } from "../storage/durable.ts";
import { newestCheckpointPath, openCheckpoint } from "./log.ts";
import type { LogTables } from "./schema.ts";
import { TileTree } from "./tree.ts";

/** Something wrong with a log's files or state. */
export interface LogFinding {
  readonly kind: "log" | "leaf" | "tile" | "checkpoint";
  readonly where: string;
  readonly problem: string;
  readonly action: string;
}

const REBUILD_TILES = "stop the server and run `assay server rebuild`: tiles are a function of the record";
const RESTORE = "the record was altered after it was signed: restore it from a backup";

/** A log's files as they were at one reading. */
export interface LogFiles {
  /** The published checkpoint; the text of the error when it cannot be read. */
  readonly checkpoint: { readonly note: string } | { readonly error: string };
  /** The newest checkpoint ever signed. */
  readonly newest: { readonly note: string } | { readonly error: string };
  /** Tiles and entry bundles by their path. */
  readonly tiles: ReadonlyMap<string, Uint8Array>;
}

async function readNote(path: string): Promise<LogFiles["checkpoint"]> {
  try {
    return { note: await readFile(path, "utf8") };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

/**
 * Reads a log's files. They are to be read before the database is: a server that goes on meanwhile then has in the database all that
 * the files speak of. Checkpoints come first, because the tiles under a published one stay.
 */
export async function readLogFiles(directory: string): Promise<LogFiles> {
  const newest = await readNote(newestCheckpointPath(directory));
  const checkpoint = await readNote(join(directory, "checkpoint"));
  const tiles = new Map<string, Uint8Array>();
  for await (const path of tileFiles(join(directory, "tile"))) {
    try {
      tiles.set(relative(directory, path).split(sep).join("/"), new Uint8Array(await readFile(path)));
    } catch (error) {
      // A partial tile goes once its full one is there, which then is read too (tileFiles).
      if (!isMissing(error)) throw error;
    }
  }
  return { newest, checkpoint, tiles };
}

/**
 * Checks a log: its committed state against the entries, both checkpoints against the tree they name, every tile and entry bundle
 * against the entries. `entries` gives all entries in order, from the database.
 */
export async function* checkLog(options: {
  name: string;
  reader: Reader;
  /** Read before `reader`'s moment; see {@link readLogFiles}. */
  files: LogFiles;
  /** A checkpoint that was kept elsewhere: what an operator who rewrote everything here cannot have rewritten. */
  against?: string | undefined;
  crypto: Crypto;
  entries: AsyncIterable<Uint8Array>;
}): AsyncGenerator<LogFinding> {
  const { crypto, files } = options;
  const state = await options.reader
    .tables<LogTables>()
    .selectFrom("log_state")
    .selectAll()
    .where("name", "=", options.name)
    .executeTakeFirst();
  if (state === undefined) {
    yield { kind: "log", where: options.name, problem: "the log's state is missing", action: RESTORE };
    return;
  }
  const key = parseVkey(state.vkey);
  const published = files.tiles;

  // The tree is rebuilt from the entries alone; nothing of the published tiles goes into it.
  const none = (): undefined => undefined;
  const tree = TileTree.open(crypto, none, 0);
  let bundle: Uint8Array[] = [];
  const bundles = new Map<number, Uint8Array[]>();
  for await (const entry of options.entries) {
    tree.append(leafHash(crypto, entry));
    if (bundle.length === 0) bundles.set(Math.floor((tree.size - 1) / TILE_WIDTH), bundle);
    bundle.push(entry);
    if (bundle.length === TILE_WIDTH) bundle = [];
  }
  if (tree.size !== state.size) {
    yield {
      kind: "log",
      where: state.origin,
      problem: `the log's state says ${state.size} entries, the database holds ${tree.size}`,
      action: RESTORE,
    };
  } else if (!equalBytes(tree.root(), state.root)) {
    yield {
      kind: "log",
      where: state.origin,
      problem: `the entries have the root ${toHex(tree.root())}, the log committed to ${toHex(state.root)}`,
      action: RESTORE,
    };
  }

  const notes: [string, LogFiles["checkpoint"]][] = [
    ["published checkpoint", files.checkpoint],
    ["newest signed checkpoint", files.newest],
  ];
  if (options.against !== undefined) notes.push(["checkpoint it was held against", { note: options.against }]);
  for (const [where, file] of notes) {
    if ("error" in file) {
      if (state.size === 0) continue;
      yield {
        kind: "checkpoint",
        where,
        problem: `it cannot be read: ${file.error}`,
        action:
          where === "published checkpoint"
            ? REBUILD_TILES
            : "put it back from a copy: without it an older copy of the database could not be told from the newest",
      };
      continue;
    }
    try {
      const checkpoint = await openCheckpoint(crypto, file.note, key, state.origin);
      if (checkpoint.size > tree.size) {
        yield {
          kind: "checkpoint",
          where,
          problem: `it was signed over ${checkpoint.size} entries, the database has ${tree.size}: entries are missing`,
          action: RESTORE,
        };
      } else if (!equalBytes(tree.root(checkpoint.size), checkpoint.root)) {
        yield {
          kind: "checkpoint",
          where,
          problem: `it was signed over another history of the first ${checkpoint.size} entries`,
          action: RESTORE,
        };
      }
    } catch (error) {
      yield {
        kind: "checkpoint",
        where,
        problem: `it does not verify under the log's key: ${error instanceof Error ? error.message : String(error)}`,
        action:
          where === "published checkpoint"
            ? REBUILD_TILES
            : "put it back from a copy: without it an older copy of the database could not be told from the newest",
      };
    }
  }

  const publishedSize =
    "error" in files.checkpoint ? 0 : await sizeOf(crypto, files.checkpoint.note, key, state.origin);
  // Tiles of entries the database lacks cannot be judged by it, and may be all that is left of them.
  if (publishedSize !== undefined && publishedSize > tree.size) return;
  const expected = new Map<string, Uint8Array>();
  if (publishedSize !== undefined && publishedSize <= tree.size) {
    for (const tile of tree.tilesBetween(0, publishedSize)) {
      expected.set(tilePath(tile.level, tile.index, tile.width), tile.bytes);
    }
    for (const [index, entries] of bundles) {
      const width = Math.min(entries.length, publishedSize - index * TILE_WIDTH);
      if (width > 0) expected.set(entriesPath(index, width), encodeEntries(entries.slice(0, width)));
    }
  }
  for (const path of expected.keys()) {
    if (!published.has(path) && !published.has(path.replace(/\.p\/\d+$/, "")))
      yield { kind: "tile", where: path, problem: "it is missing", action: REBUILD_TILES };
  }
  for (const [path, bytes] of published) {
    const wanted = expected.get(path) ?? expectedBytes(path, tree, bundles);
    if (wanted === undefined || !equalBytes(wanted, bytes)) {
      yield { kind: "tile", where: path, problem: "it does not hold what the entries give", action: REBUILD_TILES };
    }
  }
}

async function sizeOf(crypto: Crypto, note: string, key: NoteKey, origin: string): Promise<number | undefined> {
  try {
    return (await openCheckpoint(crypto, note, key, origin)).size;
  } catch {
    // Found and named above; without a checkpoint there is no telling which tiles must be there.
    return undefined;
  }
}

/** What a published file must hold, by its name: an older partial tile that has not been removed yet, for example. */
function expectedBytes(
  path: string,
  tree: TileTree,
  bundles: ReadonlyMap<number, Uint8Array[]>,
): Uint8Array | undefined {
  let address: ReturnType<typeof parseTilePath>;
  try {
    address = parseTilePath(path);
  } catch {
    // Not a name of tlog-tiles: nothing that belongs here.
    return undefined;
  }
  if (address.level === "entries") {
    const entries = bundles.get(address.index);
    return entries === undefined || entries.length < address.width
      ? undefined
      : encodeEntries(entries.slice(0, address.width));
  }
  return tree.tileBytes(address.level, address.index, address.width);
}

async function* tileFiles(directory: string): AsyncGenerator<string> {
  let names: Dirent[];
  try {
    names = await readdir(directory, { withFileTypes: true });
  } catch (error) {
    if (isMissing(error)) return;
    throw error;
  }
  for (const entry of names.toSorted((left, right) => (left.name < right.name ? -1 : 1))) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) {
      yield* tileFiles(path);
      // A running server may have put the full tile in the place of its partial ones since the directory was read.
      if (entry.name.endsWith(".p")) yield path.slice(0, -".p".length);
    } else if (!entry.name.endsWith(".tmp")) yield path;
  }
}
