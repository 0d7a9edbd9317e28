import { randomBytes } from "node:crypto";
import { closeSync, constants, openSync, readFileSync, readSync } from "node:fs";
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { entriesPath, TILE_WIDTH, tilePath } from "@assay/evidence";
import { isMissing, makeDurableDirectory, readIfThere, syncDirectory, writeDurable } from "../storage/durable.ts";
import type { CheckpointFile } from "./checkpoint-file.ts";
import { KEPT_BYTES } from "./sparse-tile.ts";

/** A tile, or an entry bundle, as it is written: `width` hashes or entries. */
export interface TileFile {
  readonly level: number;
  readonly index: number;
  readonly width: number;
  readonly bytes: Uint8Array;
  /** Of a complete tile of leaves: nodes that spare readers hashing (sparse-tile.ts). */
  readonly kept?: Uint8Array;
}

/**
 * A log's public files: `checkpoint` and `tile/…` as C2SP tlog-tiles names them, in one directory that any web server or CDN
 * could serve. Full tiles are immutable; a partial tile goes once its full one is there.
 */
export class TileFiles {
  readonly directory: string;
  /** Another host that shares the directory never writes the same temporary file. */
  readonly #own = randomBytes(6).toString("hex");
  /** Temporary files that did not become tiles. */
  readonly #unfinished = new Set<string>();

  constructor(directory: string) {
    this.directory = directory;
  }

  get checkpointPath(): string {
    return join(this.directory, "checkpoint");
  }

  /** The newest published checkpoint (a signed note); undefined before the first. */
  checkpoint(): Promise<string | undefined> {
    return readIfThere(this.checkpointPath);
  }

  /** A tile's hashes: the first `width` of the narrowest published file that holds as many. */
  readTile(level: number, index: number, width: number): Uint8Array | undefined {
    for (const path of [tilePath(level, index, width), tilePath(level, index)]) {
      try {
        return new Uint8Array(readFileSync(join(this.directory, path))).subarray(0, width * 32);
      } catch (error) {
        if (!isMissing(error)) throw error;
      }
    }
    return undefined;
  }

  /** The nodes kept of a complete tile of leaves; undefined when there are none. Nobody may believe them: see {@link SparseTile}. */
  readKept(index: number): Uint8Array | undefined {
    const kept = new Uint8Array(KEPT_BYTES);
    let descriptor: number;
    try {
      descriptor = openSync(this.#keptPath, "r");
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
    try {
      return readSync(descriptor, kept, 0, KEPT_BYTES, index * KEPT_BYTES) === KEPT_BYTES ? kept : undefined;
    } finally {
      closeSync(descriptor);
    }
  }

  /**
   * One file for all tiles, each in its place. It is no part of what is published and nothing rests on it, so it is not synced: what a crash leaves
   * of it is believed by nobody, and costs time.
   */
  get #keptPath(): string {
    return join(this.directory, "kept-nodes");
  }

  async #keep(tiles: readonly TileFile[]): Promise<void> {
    if (tiles.length === 0) return;
    const file = await open(this.#keptPath, constants.O_CREAT | constants.O_WRONLY, 0o644);
    try {
      for (const { index, kept } of tiles) {
        if (kept !== undefined) await file.write(kept, 0, KEPT_BYTES, index * KEPT_BYTES);
      }
    } finally {
      await file.close();
    }
  }

  /** An entry bundle holding at least `width` entries; undefined when it is not published. */
  async readEntries(index: number, width: number): Promise<Uint8Array | undefined> {
    for (const path of [entriesPath(index, width), entriesPath(index)]) {
      try {
        return new Uint8Array(await readFile(join(this.directory, path)));
      } catch (error) {
        if (!isMissing(error)) throw error;
      }
    }
    return undefined;
  }

  /**
   * Publishes tiles, then the checkpoint that covers them. Every tile is on disk, name included, before the checkpoint is: who
   * sees a checkpoint can read every tile under it.
   *
   * @param shared set when other hosts publish here too: a checkpoint of theirs that is newer stays.
   */
  async publish(
    tiles: Iterable<TileFile>,
    entryBundles: Iterable<Omit<TileFile, "level">>,
    checkpoint: string,
    shared: CheckpointFile | undefined,
  ): Promise<void> {
    const full = await this.writeTiles(tiles, entryBundles);
    // COMMIT POINT of a publication. Before: the former checkpoint and its tiles stand; newer tiles lie there unnamed, and are written
    // again. After: the new checkpoint stands, and every tile under it is on disk, name included. No write waits for it.
    if (shared === undefined) await writeDurable(this.checkpointPath, checkpoint, 0o644);
    else shared.advance(this.checkpointPath, checkpoint, 0o644);
    await this.dropPartials(full);
  }

  /** Removes what full tiles on disk have taken the place of: who wants fewer of their hashes takes the first of them. */
  async dropPartials(full: readonly string[]): Promise<void> {
    for (const path of full) await rm(join(this.directory, `${path}.p`), { recursive: true, force: true });
  }

  /**
   * Writes tiles and entry bundles, on disk with their names when it resolves. Until a checkpoint covers them nobody looks for them.
   *
   * @returns the paths of the full ones.
   */
  async writeTiles(tiles: Iterable<TileFile>, entryBundles: Iterable<Omit<TileFile, "level">>): Promise<string[]> {
    const files: { path: string; bytes: Uint8Array; full: boolean }[] = [];
    const keeping: TileFile[] = [];
    for (const tile of tiles) {
      if (tile.kept !== undefined) keeping.push(tile);
      files.push({
        path: tilePath(tile.level, tile.index, tile.width),
        bytes: tile.bytes,
        full: tile.width === TILE_WIDTH,
      });
    }
    for (const bundle of entryBundles) {
      files.push({
        path: entriesPath(bundle.index, bundle.width),
        bytes: bundle.bytes,
        full: bundle.width === TILE_WIDTH,
      });
    }
    // What a full or read-only disk did not take before.
    for (const path of this.#unfinished) await rm(path, { force: true });
    this.#unfinished.clear();
    const directories = new Set<string>();
    for (const file of files) {
      const path = join(this.directory, file.path);
      const directory = dirname(path);
      await makeDurableDirectory(directory, this.directory);
      const temporary = `${path}.${this.#own}.tmp`;
      this.#unfinished.add(temporary);
      const handle = await open(temporary, "w", 0o644);
      try {
        await handle.writeFile(file.bytes);
        await handle.datasync();
      } finally {
        await handle.close();
      }
      await rename(temporary, path);
      this.#unfinished.delete(temporary);
      directories.add(directory);
    }
    for (const directory of directories) await syncDirectory(directory);
    await this.#keep(keeping);
    return files.filter((file) => file.full).map((file) => file.path);
  }

  /** Makes the directory, durably: `<data>/logs/<name>`, beside what is published also the newest checkpoint's place. */
  async create(): Promise<void> {
    await mkdir(this.directory, { recursive: true, mode: 0o755 });
    await makeDurableDirectory(this.directory, dirname(dirname(this.directory)));
  }
}
