import { join } from "node:path";
import { type Checkpoint, decodeEntries, equalBytes, leafHash, parseVkey, TILE_WIDTH } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { LogChecker, readLogNotes } from "../log/check.ts";
import { CompactTree } from "../log/compact-tree.ts";
import { openCheckpoint } from "../log/log.ts";
import { TileFiles } from "../log/tile-files.ts";
import type { Reader } from "../storage/database.ts";
import type { Finding } from "./finding.ts";
import { readCommitments } from "./open.ts";
import { logsDirectory, type Succession, successions } from "./succession.ts";

/** Commitments read at a time. */
const ENTRIES_AT_ONCE = 4096;

const ACTION = "put the closed log's files back from a copy or a full backup: they no longer change";

/**
 * Closed logs against the record that goes on from them: each one's published entries, tiles and checkpoints among themselves, as of any
 * log (log/check.ts), and its first entries against those of the record.
 *
 * @param reader of one moment.
 * @param against a checkpoint note kept elsewhere; it is held against the closed log it is of, if it is of one.
 */
export async function* checkSuccessions(
  reader: Reader,
  dataDirectory: string,
  against?: string,
): AsyncGenerator<Finding> {
  for (const succession of await successions(reader)) {
    const { closed, previous } = succession;
    const kept = against?.split("\n", 1)[0] === previous.origin ? against : undefined;
    try {
      for await (const finding of checkClosedLog(
        reader,
        join(logsDirectory(dataDirectory), closed),
        succession,
        kept,
      )) {
        yield { ...finding, where: `logs/${closed}: ${finding.where}`, action: ACTION };
      }
    } catch (error) {
      const problem = `it cannot be read: ${error instanceof Error ? error.message : String(error)}`;
      yield { kind: "log", where: `logs/${closed}`, problem, action: ACTION };
    }
  }
}

async function* checkClosedLog(
  reader: Reader,
  directory: string,
  { closed, previous }: Succession,
  against: string | undefined,
): AsyncGenerator<Omit<Finding, "action">> {
  const found = (problem: string): Omit<Finding, "action"> => ({ kind: "log", where: previous.origin, problem });
  const open = (note: string): Promise<Checkpoint> =>
    openCheckpoint(nodeCrypto, note, parseVkey(previous.vkey), previous.origin);
  const named = await open(previous.checkpoint);
  const files = new TileFiles(directory);
  const notes = await readLogNotes(directory);
  const published = notes.published !== undefined && "note" in notes.published ? notes.published : undefined;
  const newest = notes.newest !== undefined && "note" in notes.newest ? notes.newest : undefined;
  if (published === undefined || newest === undefined) {
    yield found("its checkpoints are missing");
    return;
  }
  const { size, root } = await open(published.note);
  const signed = await open(newest.note);
  if (signed.size === named.size && !equalBytes(signed.root, named.root)) {
    yield found("its newest checkpoint is another than the one the record names");
  }
  const checker = await LogChecker.open({
    name: closed,
    crypto: nodeCrypto,
    directory,
    // What was signed last may never have been published: then no tile tells of it, and its signature is all that is left.
    notes: signed.size > size ? { ...notes, newest: published } : notes,
    state: { name: closed, origin: previous.origin, vkey: previous.vkey, epoch: 0, size, root },
    born: previous,
    against,
    committed: () => Promise.resolve(Math.max(signed.size, size)),
  });
  if (checker === undefined) return;
  const shared = Math.min(previous.kept, size);
  const there = new CompactTree(nodeCrypto);
  for (let bundle = 0; bundle * TILE_WIDTH < size; bundle += 1) {
    const width = Math.min(TILE_WIDTH, size - bundle * TILE_WIDTH);
    const bytes = await files.readEntries(bundle, width);
    const entries = bytes === undefined ? [] : decodeEntries(bytes).slice(0, width);
    if (entries.length < width) {
      yield found(`its entry bundle ${bundle} is missing or damaged`);
      return;
    }
    for (const entry of entries) {
      checker.append(entry);
      if (there.size < shared) there.append(leafHash(nodeCrypto, entry));
    }
    yield* checker.settle();
  }
  yield* checker.finish();
  const here = new CompactTree(nodeCrypto);
  for (let from = 0; from < shared; from += ENTRIES_AT_ONCE) {
    for (const entry of await readCommitments(reader, from, Math.min(shared, from + ENTRIES_AT_ONCE))) {
      here.append(leafHash(nodeCrypto, entry));
    }
  }
  if (!equalBytes(here.root(), there.root())) yield found(`its first ${shared} entries are not those of the record`);
}
