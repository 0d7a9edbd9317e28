import { type Crypto, encodeEntries, equalBytes, leafHash, TILE_WIDTH } from "@assay/evidence";
import { ServerError } from "../errors.ts";
import { CompactTree } from "./compact-tree.ts";
import type { TileFiles } from "./tile-files.ts";
import type { TileTree } from "./tree.ts";

/** Entries taken in at a time: what lies in memory of a log that is opened, whatever its size. A whole number of tiles. */
export const LATE_PAGE = 64 * TILE_WIDTH;

/** A log whose published tiles are far behind what is committed. */
export interface LateLog {
  readonly crypto: Crypto;
  readonly origin: string;
  readonly files: TileFiles;
  /** As published; it grows to what this returns. */
  readonly tree: TileTree;
  /** What is committed. */
  readonly size: number;
  readonly root: Uint8Array;
  readonly entries: (from: number, to: number) => Promise<Uint8Array[]>;
  /** Entries a page has: {@link LATE_PAGE}, or another whole number of tiles. */
  readonly page?: number;
}

/**
 * Writes the tiles of a log that has none, or few (after a rebuild, or when the tile directory was lost), a page at a time. The entries are
 * first held against the committed root, in a walk of their own: no tile is written of leaves that do not have it.
 *
 * What is left, a page at most, is for the publisher, whose checkpoint is the first to name these tiles.
 *
 * @returns the size up to which the tree has grown, its tiles on disk.
 * @throws ServerError `log-inconsistent` when leaves are missing or do not have the committed root.
 */
export async function writeLateTiles(log: LateLog): Promise<number> {
  const { crypto, files, tree, size, page = LATE_PAGE } = log;
  const published = tree.size;
  const held = new CompactTree(crypto, { size: published, peaks: peaksOf(tree) });
  for await (const { entries } of pages(log, page, published, size))
    for (const entry of entries) held.append(leafHash(crypto, entry));
  if (!equalBytes(held.root(), log.root)) {
    throw new ServerError("log-inconsistent", `the leaves of ${log.origin} do not have the committed root`, {
      hint: "run `assay server check` to find the altered leaf",
    });
  }
  // From the start of a bundle, so that each is written whole.
  const first = Math.floor(published / TILE_WIDTH) * TILE_WIDTH;
  const end = Math.floor((size - 1) / page) * page;
  for await (const { from, entries } of pages(log, page, first, end)) {
    const before = tree.size;
    for (const entry of entries.slice(Math.max(0, before - from))) tree.append(leafHash(crypto, entry));
    const bundles = [];
    for (let start = 0; start < entries.length; start += TILE_WIDTH) {
      const bundle = entries.slice(start, start + TILE_WIDTH);
      bundles.push({ index: (from + start) / TILE_WIDTH, width: bundle.length, bytes: encodeEntries(bundle) });
    }
    await files.dropPartials(await files.writeTiles(tree.tilesBetween(before, tree.size), bundles));
    tree.markPublished(tree.size);
  }
  return tree.size;
}

/** The complete subtrees a tree consists of, largest first. */
function peaksOf(tree: TileTree): Uint8Array[] {
  const peaks: Uint8Array[] = [];
  for (let height = 0, width = 1; width <= tree.size; height += 1, width *= 2) {
    const count = Math.floor(tree.size / width);
    if (count % 2 === 1) peaks.unshift(tree.nodeAt(height, count - 1));
  }
  return peaks;
}

/** The entries [from, to), cut where a page ends. */
async function* pages(
  log: LateLog,
  page: number,
  from: number,
  to: number,
): AsyncGenerator<{ from: number; entries: Uint8Array[] }> {
  for (let start = from; start < to; ) {
    const end = Math.min(to, (Math.floor(start / page) + 1) * page);
    const entries = await log.entries(start, end);
    if (entries.length !== end - start) {
      throw new ServerError("log-inconsistent", `the database lacks leaves of ${log.origin} below ${log.size}`, {
        hint: "run `assay server check`",
      });
    }
    yield { from: start, entries };
    start = end;
  }
}
