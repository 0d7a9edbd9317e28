import {
  type Crypto,
  consistencyProof,
  decodeEntries,
  leafHash,
  type NoteKey,
  parseVkey,
  TILE_WIDTH,
  verifyConsistency,
  verifyInclusion,
} from "@assay/evidence";
import { ServerError } from "../errors.ts";
import type { Reader } from "../storage/database.ts";
import { openCheckpoint } from "./log.ts";
import type { LogTables } from "./schema.ts";
import { TileFiles } from "./tile-files.ts";
import { TileTree } from "./tree.ts";

/** An inclusion proof under a published checkpoint. */
export interface PublishedProof {
  readonly size: number;
  readonly proof: Uint8Array[];
  /** The checkpoint as a signed note. */
  readonly checkpoint: string;
}

/** A published checkpoint and the tree under it. Its proofs stay good while the log goes on. */
export interface PublishedTree {
  readonly size: number;
  /** The checkpoint as a signed note. */
  readonly note: string;
  /**
   * The consistency proof from the first `old` entries, checked before it is handed out; `old` is at most `size`.
   *
   * @throws ServerError `proof-self-check-failed`.
   */
  consistency(old: number): Uint8Array[];
}

/**
 * Proves entries from a log's published tiles alone: what any reader of the tiles could do, done in a process that holds no
 * write connection.
 */
export class LogProver {
  readonly name: string;
  readonly origin: string;
  readonly vkey: string;
  readonly files: TileFiles;
  readonly #crypto: Crypto;
  readonly #key: NoteKey;
  #tree: { note: string; tree: TileTree; root: Uint8Array } | undefined;

  private constructor(name: string, origin: string, vkey: string, files: TileFiles, crypto: Crypto) {
    this.name = name;
    this.origin = origin;
    this.vkey = vkey;
    this.files = files;
    this.#crypto = crypto;
    this.#key = parseVkey(vkey);
  }

  static async open(reader: Reader, name: string, directory: string, crypto: Crypto): Promise<LogProver> {
    const row = await reader
      .tables<LogTables>()
      .selectFrom("log_state")
      .select(["origin", "vkey"])
      .where("name", "=", name)
      .executeTakeFirstOrThrow();
    return new LogProver(name, row.origin, row.vkey, new TileFiles(directory), crypto);
  }

  /** The prover of a log that is not sequenced here any more: a closed one. */
  static ofFiles(log: { name: string; origin: string; vkey: string; directory: string; crypto: Crypto }): LogProver {
    return new LogProver(log.name, log.origin, log.vkey, new TileFiles(log.directory), log.crypto);
  }

  /**
   * The inclusion proof of an entry under the newest published checkpoint; undefined when it is not published yet.
   *
   * @throws ServerError `proof-self-check-failed` when the proof does not verify: it is never handed out.
   */
  async prove(index: number, entry: Uint8Array): Promise<PublishedProof | undefined> {
    const newest = await this.#newest();
    if (newest === undefined || index >= newest.tree.size) return undefined;
    const proof = newest.tree.inclusion(index);
    const claim = { index, size: newest.tree.size, leafHash: leafHash(this.#crypto, entry), proof, root: newest.root };
    if (!verifyInclusion(this.#crypto, claim)) {
      throw new ServerError("proof-self-check-failed", `the inclusion proof of entry ${index} does not verify`, {
        hint: "run `assay server check`: an entry or a tile has been altered",
      });
    }
    return { size: newest.tree.size, proof, checkpoint: newest.note };
  }

  /** Entries under the newest published checkpoint; undefined before the first. */
  async size(): Promise<number | undefined> {
    return (await this.#newest())?.tree.size;
  }

  /** The entry at `index`, from the published entry bundle; undefined when it is not published. */
  async entry(index: number): Promise<Uint8Array | undefined> {
    const newest = await this.#newest();
    if (newest === undefined || index >= newest.tree.size) return undefined;
    const bundle = Math.floor(index / TILE_WIDTH);
    const width = Math.min(TILE_WIDTH, newest.tree.size - bundle * TILE_WIDTH);
    const bytes = await this.files.readEntries(bundle, width);
    return bytes === undefined ? undefined : decodeEntries(bytes)[index % TILE_WIDTH];
  }

  /**
   * The consistency proof from the first `old` entries to the newest published checkpoint; undefined when fewer are published.
   *
   * @throws ServerError `proof-self-check-failed` when the proof does not verify.
   */
  async consistency(old: number): Promise<PublishedProof | undefined> {
    const newest = await this.newest();
    if (newest === undefined || old > newest.size) return undefined;
    return { size: newest.size, proof: newest.consistency(old), checkpoint: newest.note };
  }

  /** The newest published checkpoint; undefined before the first. */
  async newest(): Promise<PublishedTree | undefined> {
    const newest = await this.#newest();
    if (newest === undefined) return undefined;
    const { tree, root, note } = newest;
    const { size } = tree;
    const consistency = (old: number): Uint8Array[] => {
      const proof = consistencyProof(this.#crypto, old, size, tree.nodeAt);
      const claim = { oldSize: old, newSize: size, oldRoot: tree.root(old), newRoot: root, proof };
      if (!verifyConsistency(this.#crypto, claim)) {
        throw new ServerError("proof-self-check-failed", `the consistency proof from ${old} entries does not verify`, {
          hint: "run `assay server check`: a tile has been altered",
        });
      }
      return proof;
    };
    return { size, note, consistency };
  }

  /** The tree under the newest published checkpoint, opened once per checkpoint. */
  async #newest(): Promise<{ note: string; tree: TileTree; root: Uint8Array } | undefined> {
    const note = await this.files.checkpoint();
    if (note === undefined) return undefined;
    if (this.#tree?.note === note) return this.#tree;
    const checkpoint = await openCheckpoint(this.#crypto, note, this.#key, this.origin);
    const tree = TileTree.open(
      this.#crypto,
      (level, index, width) => this.files.readTile(level, index, width),
      checkpoint.size,
      (index) => this.files.readKept(index),
    );
    this.#tree = { note, tree, root: checkpoint.root };
    return this.#tree;
  }
}
