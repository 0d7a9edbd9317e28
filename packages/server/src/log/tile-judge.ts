import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import {
  type Crypto,
  decodeEntries,
  encodeEntries,
  entriesPath,
  equalBytes,
  leafHash,
  TILE_HEIGHT,
  TILE_WIDTH,
  tilePath,
} from "@assay/evidence";
import { isMissing } from "../storage/durable.ts";
import type { LogFinding } from "./finding.ts";
import { tileLevelSize } from "./tree.ts";
import { nodesAbove } from "./sparse-tile.ts";

/** No tile or entry bundle is larger: 256 entries of 64 KiB with their lengths. */
const MAX_FILE_BYTES = TILE_WIDTH * (2 + 65_535);

export const REBUILD_TILES = "stop the server and run `assay server rebuild`: tiles are a function of the record";

/** A tile or entry bundle as the entries give it: its first items, 256 of them or as many as there are. */
export interface KnownTile {
  readonly level: number | "entries";
  readonly index: number;
  readonly items: readonly Uint8Array[];
}

/** Where a tile's file lies under the log's directory. */
export function pathOf(level: number | "entries", index: number, width: number): string {
  return level === "entries" ? entriesPath(index, width) : tilePath(level, index, width);
}

/** How many log entries must be there for a file of this width to be published. */
export function entriesUnder(level: number | "entries", index: number, width: number): number {
  return (index * TILE_WIDTH + width) * TILE_WIDTH ** (level === "entries" ? 0 : level);
}

function bytesOf(level: number | "entries", items: readonly Uint8Array[]): Uint8Array {
  if (level === "entries") return encodeEntries(items);
  const bytes = new Uint8Array(items.length * 32);
  for (const [index, item] of items.entries()) bytes.set(item, index * 32);
  return bytes;
}

/** What a published file holds; undefined when it is not there, an error's text when it cannot be read. */
async function readTile(path: string): Promise<Uint8Array | { readonly error: string } | undefined> {
  try {
    const { size } = await stat(path);
    if (size > MAX_FILE_BYTES) return { error: `it has ${size} bytes` };
    return new Uint8Array(await readFile(path));
  } catch (error) {
    if (isMissing(error)) return undefined;
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

/** The hashes of a published tile, unverified; undefined when it is not there or not of that width. */
export async function publishedHashes(
  directory: string,
  level: number,
  index: number,
  width: number,
): Promise<Uint8Array[] | undefined> {
  for (const path of [tilePath(level, index, width), tilePath(level, index)]) {
    const bytes = await readTile(join(directory, path));
    if (!(bytes instanceof Uint8Array) || bytes.length < width * 32) continue;
    return Array.from({ length: width }, (_, at) => bytes.subarray(at * 32, (at + 1) * 32));
  }
  return undefined;
}

/**
 * A published entry that its two published copies agree on: the entry bundle, and its hash in the tile above. Undefined when they do not,
 * or are not there.
 */
export async function publishedEntry(
  directory: string,
  crypto: Crypto,
  index: number,
): Promise<Uint8Array | undefined> {
  const bundle = Math.floor(index / TILE_WIDTH);
  const at = index % TILE_WIDTH;
  for (const width of [TILE_WIDTH, ...(await partialWidths(join(directory, `${entriesPath(bundle)}.p`))).reverse()]) {
    if (width <= at) continue;
    const bytes = await readTile(join(directory, entriesPath(bundle, width)));
    const hash = (await publishedHashes(directory, 0, bundle, width))?.[at];
    if (!(bytes instanceof Uint8Array) || hash === undefined) continue;
    try {
      const entry = decodeEntries(bytes)[at];
      if (entry !== undefined && equalBytes(leafHash(crypto, entry), hash)) return entry;
    } catch {
      // A damaged bundle; it is found and named when it is judged.
    }
  }
  return undefined;
}

/** The widths of the partial tiles in a `.p` directory, ascending; other names there are no tiles. */
async function partialWidths(directory: string): Promise<number[]> {
  try {
    const names = await readdir(directory);
    return names
      .filter((name) => /^[1-9][0-9]{0,2}$/.test(name) && Number(name) < TILE_WIDTH)
      .map(Number)
      .toSorted((left, right) => left - right);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/**
 * Holds every file of one tile (the full one, and partial ones that are not removed yet) against what the entries give.
 *
 * A server that goes on publishes beyond the entries known here: of such a file the part that is known is held against them, and the
 * whole is told to `beyond`, because what it speaks of must be committed by now.
 *
 * @param publishedSize entries under the published checkpoint: their tiles must be there. Undefined: nothing must be.
 */
export async function* judgeTile(
  directory: string,
  known: KnownTile,
  publishedSize: number | undefined,
  beyond: (path: string, entries: number) => void,
): AsyncGenerator<LogFinding> {
  const { level, index, items } = known;
  const first = entriesUnder(level, index, 0);
  const found = (path: string, problem: string): LogFinding => ({
    kind: "tile",
    where: path,
    problem,
    action: REBUILD_TILES,
    entry: first,
  });
  const required = Math.min(
    TILE_WIDTH,
    Math.max(0, tileLevelSize(publishedSize ?? 0, level === "entries" ? 0 : level) - index * TILE_WIDTH),
  );
  // Partial files first: a running server removes them only once their full one is there, which is then read below.
  const full = pathOf(level, index, TILE_WIDTH);
  const widths = [...(await partialWidths(join(directory, `${full}.p`))), TILE_WIDTH];
  const present = new Set<number>();
  for (const width of widths) {
    const path = pathOf(level, index, width);
    const bytes = await readTile(join(directory, path));
    if (bytes === undefined) continue;
    present.add(width);
    if ("error" in bytes) {
      yield found(path, `it cannot be read: ${bytes.error}`);
      continue;
    }
    const wanted = bytesOf(level, items.slice(0, width));
    const cut = width > items.length ? bytes.subarray(0, wanted.length) : bytes;
    const whole = level === "entries" ? true : bytes.length === width * 32;
    if (!whole || !equalBytes(cut, wanted)) yield found(path, "it does not hold what the entries give");
    else if (width > items.length) beyond(path, entriesUnder(level, index, width));
  }
  if (required > 0 && !present.has(required) && !present.has(TILE_WIDTH)) {
    yield found(pathOf(level, index, required), "it is missing");
  }
}

/** The hash of the complete tile, or the peaks of a partial one, largest first, from the tile's hashes. */
export function foldTile(
  hashes: readonly Uint8Array[],
  node: (left: Uint8Array, right: Uint8Array) => Uint8Array,
): Uint8Array[] {
  const peaks: Uint8Array[] = [];
  let start = 0;
  for (let height = TILE_HEIGHT; height >= 0; height -= 1) {
    const width = 2 ** height;
    if (hashes.length - start < width) continue;
    let row = hashes.slice(start, start + width);
    while (row.length > 1) row = nodesAbove(row, node);
    const [peak] = row;
    if (peak !== undefined) peaks.push(peak);
    start += width;
  }
  return peaks;
}
