import { rm } from "node:fs/promises";
import { join } from "node:path";
import { encodeEntries, leafHash, parseVkey, TILE_WIDTH, toHex } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { ServerError } from "../errors.ts";
import { CompactTree } from "../log/compact-tree.ts";
import { writeLateTiles } from "../log/late-tiles.ts";
import { newestCheckpointPath, openCheckpoint } from "../log/log.ts";
import { TileFiles } from "../log/tile-files.ts";
import { TileTree } from "../log/tree.ts";
import { readCommitments, recordLogDirectory } from "../record/open.ts";
import type { WriteDatabase } from "../storage/database.ts";
import { readIfThere, writeDurable } from "../storage/durable.ts";
import type { Chain } from "./verify.ts";

/** Commitments read at a time. */
const ENTRIES_AT_ONCE = 4096;

/**
 * How many entries the newest checkpoint that was signed in this data directory is over; undefined when there is none. Where that is
 * not more than was restored, what was restored must continue it.
 *
 * @throws ServerError `restore-refused` when it is of another log, or of another history.
 */
export async function newestSigned(
  dataDirectory: string,
  database: WriteDatabase,
  chain: Chain,
): Promise<number | undefined> {
  const path = newestCheckpointPath(recordLogDirectory(dataDirectory));
  const note = await readIfThere(path);
  if (note === undefined) return undefined;
  try {
    const checkpoint = await openCheckpoint(nodeCrypto, note, parseVkey(chain.vkey), chain.origin);
    if (checkpoint.size <= chain.size) {
      const root = await rootAt(database, checkpoint.size);
      if (toHex(root) !== toHex(checkpoint.root)) throw new Error("it was signed over another history");
    }
    return checkpoint.size;
  } catch (cause) {
    throw new ServerError(
      "restore-refused",
      `${path} is not a checkpoint of what is restored: ${cause instanceof Error ? cause.message : String(cause)}`,
      {
        cause,
        hint: "this data directory belongs to another record: restore into another. If the log was succeeded since this backup, restore one made after that",
      },
    );
  }
}

/** The root of the tree over the first `size` restored entries. */
async function rootAt(database: WriteDatabase, size: number): Promise<Uint8Array> {
  const tree = new CompactTree(nodeCrypto);
  for (let from = 0; from < size; from += ENTRIES_AT_ONCE) {
    const entries = await readCommitments(database.reader(), from, Math.min(size, from + ENTRIES_AT_ONCE));
    for (const entry of entries) tree.append(leafHash(nodeCrypto, entry));
  }
  return tree.root();
}

/**
 * Puts the log's files where they belong: the archive's checkpoint as the newest that was signed, and tiles anew under it. Nothing is
 * signed for that: whoever only tries a restore makes no second history.
 *
 * Where a newer checkpoint is, nothing is touched. It stays, because what was signed was signed, and the server then refuses to start
 * (`log-behind-checkpoint`); and the tiles there may be all that is left of what came later.
 */
export async function placeLog(
  dataDirectory: string,
  database: WriteDatabase,
  chain: Chain,
  newest: number | undefined,
): Promise<void> {
  if (newest !== undefined && newest > chain.size) return;
  const directory = recordLogDirectory(dataDirectory);
  const files = new TileFiles(directory);
  await files.create();
  await writeDurable(newestCheckpointPath(directory), chain.checkpoint);
  await rm(files.checkpointPath, { force: true });
  await rm(join(directory, "tile"), { recursive: true, force: true });
  if (chain.size === 0) return;
  const tree = TileTree.open(nodeCrypto, (level, index, width) => files.readTile(level, index, width), 0);
  const entries = (from: number, to: number): Promise<Uint8Array[]> => readCommitments(database.reader(), from, to);
  const { origin, size, root } = chain;
  const written = await writeLateTiles({ crypto: nodeCrypto, origin, files, tree, size, root, entries });
  const rest = await entries(written, size);
  for (const entry of rest) tree.append(leafHash(nodeCrypto, entry));
  const bundles = [];
  for (let start = 0; start < rest.length; start += TILE_WIDTH) {
    const bundle = rest.slice(start, start + TILE_WIDTH);
    bundles.push({ index: (written + start) / TILE_WIDTH, width: bundle.length, bytes: encodeEntries(bundle) });
  }
  await files.publish(tree.tilesBetween(written, size), bundles, chain.checkpoint, undefined);
}
