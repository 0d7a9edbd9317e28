import { encodeEntries, TILE_WIDTH } from "@assay/evidence";
import type { CheckpointFile } from "./checkpoint-file.ts";
import type { TileFiles } from "./tile-files.ts";
import type { TileTree } from "./tree.ts";

/** How long publication waits to gather more batches, ms: partial tiles are rewritten once per publication. */
const PUBLISH_DELAY = 40;

/** How long after a failure it is tried again, ms: what is late must not wait for the next write. */
const RETRY_MS = 1_000;

/** What keeps a log's newest entries from being published. The record stands meanwhile; only who reads tiles is behind. */
export interface PublicationTrouble {
  /** When it began, ms since the epoch. */
  readonly since: number;
  readonly problem: string;
}

/** What the publisher is told by the log it publishes. */
export interface PublishedLog {
  readonly files: TileFiles;
  /** Set when other hosts sequence too: how checkpoint files are replaced then. */
  readonly shared: CheckpointFile | undefined;
  readonly tree: TileTree;
  /** Entries committed: nothing beyond them is ever published. */
  committed(): number;
  /** The signed checkpoint over everything committed. */
  sign(): string;
  /** The size a checkpoint of this log names. @throws when its signature does not hold, or it is of another log. */
  sizeOf(note: string): Promise<number>;
}

/**
 * The third step of a log: publish. Writes the tiles over what is committed, then the checkpoint over them; both are a pure function of
 * committed entries, so a publication that failed or was cut off is simply done again.
 */
export class LogPublisher {
  readonly #log: PublishedLog;
  /** Size of the tree under the newest published checkpoint. */
  #published: number;
  /** Entries from the start of the entry bundle that holds index `#published`; some may not be committed yet. */
  readonly #tail: Uint8Array[];
  #tailStart: number;
  /** The newest checkpoint this process has published or found published, all tiles under it in place. */
  #seen: { readonly size: number; readonly note: string } | undefined;
  #publishing: Promise<void> | undefined;
  #failure: Error | undefined;
  #failing: PublicationTrouble | undefined;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  /** @param tail the entries from the start of the bundle that holds index `published`. */
  constructor(log: PublishedLog, published: number, tail: Uint8Array[]) {
    this.#log = log;
    this.#published = published;
    this.#tailStart = Math.floor(published / TILE_WIDTH) * TILE_WIDTH;
    this.#tail = tail;
  }

  /** What keeps the newest entries from being published; undefined while nothing does. */
  get trouble(): PublicationTrouble | undefined {
    return this.#failing;
  }

  /** An entry the tree has grown by. */
  grow(entry: Uint8Array): void {
    this.#tail.push(entry);
  }

  /** The tree was cut back to `size` entries. */
  shrink(size: number): void {
    this.#tail.length = size - this.#tailStart;
  }

  /** Publishes soon; publications run one at a time and gather what was committed meanwhile. */
  schedule(): void {
    if (this.#closed) return;
    this.#publishing ??= this.#run();
  }

  /** Resolves when everything committed so far is published. @throws what made the last publication fail. */
  async published(): Promise<void> {
    while (this.#published < this.#log.committed()) {
      this.schedule();
      await this.#publishing;
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#closed) return;
    }
  }

  async #run(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, PUBLISH_DELAY));
    try {
      while (this.#published < this.#log.committed()) await this.#publish();
      this.#mended();
    } catch (error) {
      this.#failed(error);
    }
    // In the same step as the loop's last look at the size: what is committed later starts a new publication.
    this.#publishing = undefined;
  }

  #failed(error: unknown): void {
    this.#failure = error instanceof Error ? error : new Error(String(error));
    this.#failing = { since: this.#failing?.since ?? Date.now(), problem: this.#failure.message };
    if (this.#closed) return;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.schedule(), RETRY_MS);
    this.#retry.unref();
  }

  #mended(): void {
    this.#failure = undefined;
    this.#failing = undefined;
  }

  async #publish(): Promise<void> {
    const { files, shared, tree } = this.#log;
    const size = this.#log.committed();
    const note = this.#log.sign();
    const there = shared === undefined ? undefined : await this.#publishedNote();
    if (there !== undefined && there.size >= size) {
      // A host that shares the directory was here first: the tiles are there, and the same bytes.
      this.#keep(size, there);
      return;
    }
    const tiles = [...tree.tilesBetween(this.#published, size)];
    const bundles: { index: number; width: number; bytes: Uint8Array }[] = [];
    for (let start = this.#tailStart; start < size; start += TILE_WIDTH) {
      const entries = this.#tail.slice(start - this.#tailStart, Math.min(size, start + TILE_WIDTH) - this.#tailStart);
      bundles.push({ index: start / TILE_WIDTH, width: entries.length, bytes: encodeEntries(entries) });
    }
    await files.publish(tiles, bundles, note, shared);
    this.#keep(size, { size, note });
  }

  /** The checkpoint that lies in the directory. */
  async #publishedNote(): Promise<{ size: number; note: string } | undefined> {
    const note = await this.#log.files.checkpoint();
    return note === undefined ? undefined : { size: await this.#log.sizeOf(note), note };
  }

  #keep(size: number, seen: { readonly size: number; readonly note: string }): void {
    this.#published = size;
    if (this.#seen === undefined || seen.size > this.#seen.size) this.#seen = seen;
    this.#log.tree.markPublished(size);
    const keep = Math.floor(size / TILE_WIDTH) * TILE_WIDTH;
    this.#tail.splice(0, keep - this.#tailStart);
    this.#tailStart = keep;
  }

  /**
   * Goes on with what is late, and runs `putRight`, which looks after the log's other checkpoint file. Then puts the published
   * checkpoint right when it fell behind: a host that shares the directory was stopped at the worst moment and replaced a newer one when
   * it went on (log/checkpoint-file.ts).
   */
  mend(putRight: () => void): void {
    const { shared, files } = this.#log;
    if (this.#published < this.#log.committed()) this.schedule();
    try {
      putRight();
      if (this.#seen !== undefined) shared?.advance(files.checkpointPath, this.#seen.note, 0o644);
      if (this.#publishing === undefined && this.#published === this.#log.committed()) this.#mended();
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Begins nothing more. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
  }
}
