import { join } from "node:path";
import {
  type Checkpoint,
  type Crypto,
  equalBytes,
  formatCheckpoint,
  leafHash,
  type NoteKey,
  openNote,
  parseCheckpoint,
  parseVkey,
  TILE_WIDTH,
  verifyInclusion,
} from "@assay/evidence";
import { ServerError } from "../errors.ts";
import type { Batch, Reader, WriteDatabase } from "../storage/database.ts";
import { readIfThere, replaceSynced } from "../storage/durable.ts";
import { CheckpointFile } from "./checkpoint-file.ts";
import { LATE_PAGE, writeLateTiles } from "./late-tiles.ts";
import { LogPublisher, type PublicationTrouble } from "./publisher.ts";
import type { LogTables } from "./schema.ts";
import { TileFiles } from "./tile-files.ts";
import { TileTree } from "./tree.ts";

/** Entries read at a time when other hosts have sequenced some. */
const CATCH_UP_PAGE = 4096;

/** What to do about a database that is behind what was signed. */
export const BEHIND =
  "this is an older copy of the database, and nothing is signed over it. Put the newest one back; or empty it and `assay server restore` with the newer archives added; or, when what is missing is lost, close this log with `assay server succeed`";

/** Reads log entries [from, to) from the database, which is where they were committed. */
export type EntrySource = (reader: Reader, from: number, to: number) => Promise<Uint8Array[]>;

/** Signs a checkpoint's text as a note: the text, a blank line, the signature lines. */
export type CheckpointSigner = (text: string) => string;

/** The file, outside the database, of the newest checkpoint this server ever signed. */
export function newestCheckpointPath(directory: string): string {
  return join(directory, "newest-checkpoint");
}

/**
 * Opens a checkpoint this log signed.
 *
 * @throws EvidenceError when the note does not verify, ServerError `log-origin-changed` when it is of another log.
 */
export async function openCheckpoint(crypto: Crypto, note: string, key: NoteKey, origin: string): Promise<Checkpoint> {
  const opened = await openNote(crypto, note, [key]);
  const checkpoint = parseCheckpoint(opened.text);
  if (checkpoint.origin !== origin) {
    throw new ServerError(
      "log-origin-changed",
      `a checkpoint of ${checkpoint.origin} lies where ${origin}'s should be`,
    );
  }
  return checkpoint;
}

/**
 * A tiled Merkle log: sequence (an entry gets its index in the transaction that commits it), integrate (the tree grows from
 * committed entries, a pure function of them), publish (tiles, then a checkpoint: log/publisher.ts).
 */
export class SequencedLog {
  readonly name: string;
  readonly origin: string;
  readonly vkey: string;
  readonly files: TileFiles;
  readonly #crypto: Crypto;
  readonly #directory: string;
  readonly #sign: CheckpointSigner;
  readonly #entries: EntrySource;
  /** Set when other hosts sequence too: how checkpoint files are replaced then. */
  readonly #shared: CheckpointFile | undefined;
  /** The term in which this process last sequenced, or opened the log. */
  #epoch: number;
  /** The term found in the log's row when this transaction took it. */
  #found: number;
  readonly #tree: TileTree;
  /** What the database has committed. The tree may be ahead of it, inside a transaction; nothing is signed over that. */
  #committed: { readonly size: number; readonly root: Uint8Array };
  readonly #publisher: LogPublisher;
  /** The key the log's row names: another than {@link vkey} until a successor's first batch is committed. */
  #rowVkey: string;
  #newest: { size: number; note: string } | undefined;
  #refusal: ServerError | undefined;

  private constructor(parts: {
    name: string;
    origin: string;
    vkey: string;
    rowVkey: string;
    crypto: Crypto;
    directory: string;
    files: TileFiles;
    sign: CheckpointSigner;
    entries: EntrySource;
    shared: CheckpointFile | undefined;
    epoch: number;
    tree: TileTree;
    published: number;
    tail: Uint8Array[];
  }) {
    this.name = parts.name;
    this.origin = parts.origin;
    this.vkey = parts.vkey;
    this.#rowVkey = parts.rowVkey;
    this.files = parts.files;
    this.#crypto = parts.crypto;
    this.#directory = parts.directory;
    this.#sign = parts.sign;
    this.#entries = parts.entries;
    this.#shared = parts.shared;
    this.#epoch = parts.epoch;
    this.#found = parts.epoch;
    this.#tree = parts.tree;
    this.#committed = { size: parts.tree.size, root: parts.tree.root() };
    const key = parseVkey(parts.vkey);
    this.#publisher = new LogPublisher(
      {
        files: parts.files,
        shared: parts.shared,
        tree: parts.tree,
        committed: () => this.#committed.size,
        sign: () => this.signCheckpoint(),
        sizeOf: async (note) => (await openCheckpoint(parts.crypto, note, key, parts.origin)).size,
      },
      parts.published,
      parts.tail,
    );
  }

  /** Writes down a new, empty log. Its origin and key are fixed from here on. */
  static async create(
    batch: Batch,
    log: { name: string; origin: string; vkey: string; emptyRoot: Uint8Array },
  ): Promise<void> {
    // COMMIT POINT of a log's birth, with the batch. Before: there is no log; a key of one that lies there is set aside. After: its origin and
    // key stand; until its first entries are committed a start goes on founding it.
    await batch
      .tables<LogTables>()
      .insertInto("log_state")
      .values({ name: log.name, origin: log.origin, vkey: log.vkey, epoch: 0, size: 0, root: log.emptyRoot })
      .execute();
  }

  /**
   * Takes the right to sequence (a new epoch) and brings the tree to the committed size: published tiles, then the committed
   * leaves after them.
   *
   * @param options `successor`: opens the log to close it. What is opened is its successor, with this origin, key and `directory` of its
   *   own and all of its entries; it takes the row over with its first batch (record/succeed.ts).
   * @throws ServerError `log-behind-checkpoint` when the database is older than the newest checkpoint signed here: going on would
   *   sign a second history. `log-inconsistent` when tiles, leaves and state do not agree.
   */
  static async open(options: {
    name: string;
    database: WriteDatabase;
    directory: string;
    crypto: Crypto;
    vkey: string;
    entries: EntrySource;
    sign: CheckpointSigner;
    successor?: { readonly origin: string; readonly vkey: string };
  }): Promise<SequencedLog> {
    const { name, crypto } = options;
    const files = new TileFiles(options.directory);
    await files.create();
    // Read before the state: with other hosts at work a file read after it could be newer than the state, and look like a lost record.
    const newest = await readIfThere(newestCheckpointPath(options.directory));
    const note = await files.checkpoint();
    const state = await options.database.transaction(async (batch) => {
      const logs = batch.tables<LogTables>();
      const query = logs.selectFrom("log_state").selectAll().where("name", "=", name);
      const row = await (options.database.shared ? query.forUpdate() : query).executeTakeFirstOrThrow();
      await logs
        .updateTable("log_state")
        .set({ epoch: row.epoch + 1 })
        .where("name", "=", name)
        .execute();
      return { ...row, epoch: row.epoch + 1 };
    });
    if (state.vkey !== options.vkey) {
      throw new ServerError(
        "log-origin-changed",
        `the log ${name} was born with the key ${state.vkey}, not ${options.vkey}`,
        {
          hint: "restore the key directory and the master key that belong to this data directory. After `assay server succeed` every host needs the new keys/log-record.key.json",
        },
      );
    }
    const key = parseVkey(state.vkey);
    const newestCheckpoint = newest === undefined ? undefined : await openCheckpoint(crypto, newest, key, state.origin);
    if (newestCheckpoint !== undefined && newestCheckpoint.size > state.size) {
      throw new ServerError(
        "log-behind-checkpoint",
        `the database holds ${state.size} entries of ${state.origin}, but a checkpoint over ${newestCheckpoint.size} was signed`,
        { hint: BEHIND },
      );
    }

    const published = note === undefined ? undefined : await openCheckpoint(crypto, note, key, state.origin);
    const publishedSize = published?.size ?? 0;
    if (publishedSize > state.size) {
      throw new ServerError(
        "log-behind-checkpoint",
        `tiles over ${publishedSize} entries are published, the database has ${state.size}`,
        { hint: BEHIND },
      );
    }
    const tree = TileTree.open(crypto, (level, index, width) => files.readTile(level, index, width), publishedSize);
    if (published !== undefined && !equalBytes(tree.root(), published.root)) {
      throw new ServerError(
        "log-inconsistent",
        `the tiles of ${state.origin} do not have the root of their checkpoint`,
        {
          hint: "run `assay server check` to find the damaged tile",
        },
      );
    }
    const entries = (from: number, to: number): Promise<Uint8Array[]> =>
      options.entries(options.database.reader(), from, to);
    const { origin, size, root } = state;
    const late = size - publishedSize > LATE_PAGE;
    const written = late ? await writeLateTiles({ crypto, origin, files, tree, size, root, entries }) : publishedSize;
    const tailStart = Math.floor(written / TILE_WIDTH) * TILE_WIDTH;
    const tail = await entries(tailStart, size);
    if (tail.length !== state.size - tailStart) {
      throw new ServerError("log-inconsistent", `the database lacks leaves of ${state.origin} below ${state.size}`, {
        hint: "run `assay server check`",
      });
    }
    for (const entry of tail.slice(written - tailStart)) tree.append(leafHash(crypto, entry));
    if (!equalBytes(tree.root(), state.root)) {
      throw new ServerError("log-inconsistent", `the leaves of ${state.origin} do not have the committed root`, {
        hint: "run `assay server check` to find the altered leaf",
      });
    }
    // A database may be newer than what was signed last, and must then continue it: else going on would sign a second history.
    if (newestCheckpoint !== undefined && !equalBytes(tree.root(newestCheckpoint.size), newestCheckpoint.root)) {
      throw new ServerError(
        "log-inconsistent",
        `the database holds another history of ${state.origin} than the ${newestCheckpoint.size} entries a checkpoint was signed over`,
        {
          hint: "this is no copy of the database that was signed: put that one back. Nothing will be signed until then",
        },
      );
    }
    return new SequencedLog({
      name,
      origin: options.successor?.origin ?? state.origin,
      vkey: options.successor?.vkey ?? state.vkey,
      rowVkey: state.vkey,
      crypto,
      directory: options.directory,
      files,
      sign: options.sign,
      entries: options.entries,
      shared: options.database.shared ? new CheckpointFile(options.directory) : undefined,
      epoch: state.epoch,
      tree,
      published: written,
      tail,
    });
  }

  /** Entries committed. */
  get size(): number {
    return this.#committed.size;
  }

  /**
   * Takes the right to sequence for the length of this transaction, and brings the tree up to what other hosts have committed.
   *
   * The right is the lock on the log's row, and its term the transaction: the database gives it to one transaction at a time, and ends
   * a transaction whose host was stopped or cut off (storage/postgres.ts), so that another host goes on within seconds. Every host may
   * take it for each batch. This is the simplest scheme that cannot fork: under the lock nothing else changes the row, and a batch that
   * lost the lock lost its transaction with it. No host has to notice that another has died, or to be forwarded to.
   *
   * The epoch counts the terms of hosts: it rises when the row passes from one host to another.
   *
   * Does nothing where this process is the only writer.
   *
   * @returns whether other hosts had sequenced since.
   * @throws ServerError `log-behind-checkpoint` when committed entries are gone, `log-inconsistent` when the row does not have the root
   *   of the leaves: this host signs nothing over such a history.
   */
  async enter(batch: Batch): Promise<boolean> {
    if (this.#shared === undefined) return false;
    const row = await batch
      .tables<LogTables>()
      .selectFrom("log_state")
      .select(["epoch", "size", "root", "vkey"])
      .where("name", "=", this.name)
      .forUpdate()
      .executeTakeFirstOrThrow();
    this.#found = row.epoch;
    return await this.#takeIn(batch, row);
  }

  /**
   * Brings the tree up to what other hosts have committed, without keeping anybody waiting: committed leaves never change. Not to be
   * called while a batch of this process runs.
   *
   * @returns whether there was anything, and throws, as {@link enter}.
   */
  async catchUp(reader: Reader): Promise<boolean> {
    const row = await reader
      .tables<LogTables>()
      .selectFrom("log_state")
      .select(["size", "root", "vkey"])
      .where("name", "=", this.name)
      .executeTakeFirstOrThrow();
    return await this.#takeIn(reader, row);
  }

  async #takeIn(
    reader: Reader,
    row: { readonly size: number; readonly root: Uint8Array; readonly vkey: string },
  ): Promise<boolean> {
    const old = this.#committed;
    if (row.vkey !== this.#rowVkey) {
      throw new ServerError(
        "log-origin-changed",
        `the log ${this.origin} was closed, and another goes on in its place`,
        {
          hint: "start this server again, with the new keys/log-record.key.json: it holds the key of a closed log",
        },
      );
    }
    if (row.size < old.size) {
      throw new ServerError(
        "log-behind-checkpoint",
        `the database holds ${row.size} entries of ${this.origin}, but ${old.size} were committed`,
        { hint: "this is an older copy of the database: put the newest one back. Nothing will be signed until then" },
      );
    }
    try {
      for (let from = old.size; from < row.size; from += CATCH_UP_PAGE) {
        const to = Math.min(row.size, from + CATCH_UP_PAGE);
        const entries = await this.#entries(reader, from, to);
        if (entries.length !== to - from) {
          throw new ServerError("log-inconsistent", `the database lacks leaves of ${this.origin} below ${row.size}`, {
            hint: "run `assay server check`",
          });
        }
        for (const entry of entries) this.#grow(entry);
      }
      if (!equalBytes(row.size === old.size ? old.root : this.#tree.root(), row.root)) {
        throw new ServerError("log-inconsistent", `the leaves of ${this.origin} do not have the committed root`, {
          hint: "run `assay server check` to find the altered leaf",
        });
      }
    } catch (error) {
      this.#shrink(old.size);
      throw error;
    }
    // Committed by others: it stands whatever becomes of this process's next transaction.
    this.#committed = { size: row.size, root: row.root };
    return row.size > old.size;
  }

  /** Whether the database holds entries this process has not seen. The answer is only a reason to {@link catchUp}. */
  async isBehind(reader: Reader): Promise<boolean> {
    const row = await reader
      .tables<LogTables>()
      .selectFrom("log_state")
      .select("size")
      .where("name", "=", this.name)
      .executeTakeFirstOrThrow();
    return row.size > this.#committed.size;
  }

  #grow(entry: Uint8Array): void {
    this.#tree.append(leafHash(this.#crypto, entry));
    this.#publisher.grow(entry);
  }

  #shrink(size: number): void {
    this.#tree.truncate(size);
    this.#publisher.shrink(size);
  }

  /**
   * Sequences entries inside the transaction that holds what they commit to. The update is a compare-and-swap of (epoch, size,
   * root): when another holder took over, nothing of this transaction will exist.
   *
   * @returns what to call once the transaction's end is known: `committed` or `undone`, exactly one of them.
   */
  async sequence(batch: Batch, entries: readonly Uint8Array[]): Promise<{ committed(): void; undone(): void }> {
    const old = this.#committed;
    const undone = (): void => this.#shrink(old.size);
    try {
      for (const entry of entries) this.#grow(entry);
      const epoch = this.#found === this.#epoch ? this.#epoch : this.#found + 1;
      const next = { size: this.#tree.size, root: this.#tree.root() };
      const swapped = await batch
        .tables<LogTables>()
        .updateTable("log_state")
        .set({ ...next, epoch, origin: this.origin, vkey: this.vkey })
        .where("name", "=", this.name)
        .where("vkey", "=", this.#rowVkey)
        .where("epoch", "=", this.#found)
        .where("size", "=", old.size)
        .where("root", "=", old.root)
        .executeTakeFirst();
      if (swapped.numUpdatedRows !== 1n) {
        throw new ServerError("log-conflict", `another server sequences ${this.origin} now`, {
          hint: "stop this server: it no longer holds the right to write",
        });
      }
      const committed = (): void => {
        this.#committed = next;
        this.#epoch = epoch;
        this.#found = epoch;
        this.#rowVkey = this.vkey;
      };
      return { committed, undone };
    } catch (error) {
      undone();
      throw error;
    }
  }

  /** The root over the first `size` committed entries. */
  rootAt(size: number): Uint8Array {
    return this.#tree.root(size);
  }

  /** From now on no checkpoint is signed that was not signed before: `reason` is what every attempt throws. */
  refuse(reason: ServerError): void {
    this.#refusal = reason;
  }

  /**
   * Signs a checkpoint over everything committed, and nothing else. The signed note is on disk outside the database before anyone
   * else sees it, so that an older database can be told from the newest.
   */
  signCheckpoint(): string {
    const { size, root } = this.#committed;
    if (this.#newest?.size === size) return this.#newest.note;
    if (this.#refusal !== undefined) throw this.#refusal;
    const note = this.#sign(formatCheckpoint({ origin: this.origin, size, root, extensions: [] }));
    const path = newestCheckpointPath(this.#directory);
    // COMMIT POINT of a signature. Before: nobody has seen it; what it is over is committed. After: it is on disk, outside the database,
    // and may be shown. When this fails nobody is given a receipt: the events stand, and the next signature is over them too.
    if (this.#shared === undefined) replaceSynced(path, note);
    else this.#shared.advance(path, note);
    this.#newest = { size, note };
    return note;
  }

  /**
   * The inclusion proof of an entry in the committed tree, checked by the verifier the outside uses before it is handed out.
   *
   * @throws ServerError `proof-self-check-failed` — a proof that does not verify never leaves.
   */
  prove(index: number, entry: Uint8Array): Uint8Array[] {
    const { size, root } = this.#committed;
    const proof = this.#tree.inclusion(index, size);
    const holds = verifyInclusion(this.#crypto, { index, size, leafHash: leafHash(this.#crypto, entry), proof, root });
    if (!holds)
      throw new ServerError("proof-self-check-failed", `the inclusion proof of entry ${index} does not verify`);
    return proof;
  }

  /** Publishes soon what is committed. */
  schedulePublish(): void {
    this.#publisher.schedule();
  }

  /** Resolves when everything committed so far is published. @throws what made the last publication fail. */
  published(): Promise<void> {
    return this.#publisher.published();
  }

  /** What keeps the newest entries from being published; undefined while nothing does. */
  get trouble(): PublicationTrouble | undefined {
    return this.#publisher.trouble;
  }

  /** Goes on with a publication that is late, and puts checkpoint files right that a host of a shared directory put back. */
  mendPublication(): void {
    this.#publisher.mend(() => {
      if (this.#newest !== undefined) this.#shared?.advance(newestCheckpointPath(this.#directory), this.#newest.note);
    });
  }

  /** Lets go of what holds files open, and publishes nothing more. */
  close(): void {
    this.#publisher.close();
    this.#shared?.close();
  }
}

/** Keeps every host from sequencing until this transaction ends: an administrator's work on the whole record. */
export async function holdLog(batch: Batch, name: string): Promise<void> {
  await batch.tables<LogTables>().selectFrom("log_state").select("size").where("name", "=", name).forUpdate().execute();
}
