import { type Crypto, emptyRoot, inclusionProof, nodeHash, rootHash, TILE_HEIGHT, TILE_WIDTH } from "@assay/evidence";
import { ServerError } from "../errors.ts";
import { KEPT_BYTES, KEPT_HEIGHT, SparseTile } from "./sparse-tile.ts";

/** Complete tiles of leaves kept in memory beside the right edge; 64 tiles are about 3 MB. */
const CACHED_LEAF_TILES = 64;

/**
 * Complete tiles above the leaves that are kept, about 12 MB: each is on the way of 65,536 leaves or more, so these are all there are up to
 * 16 million. A proof of any old leaf then makes one tile anew, however large the tree is.
 */
const CACHED_INNER_TILES = 256;

/** Reads the hashes of a published tile, `width` of them; undefined when it is not there. */
export type TileSource = (level: number, index: number, width: number) => Uint8Array | undefined;

/**
 * Reads the nodes that were kept of a complete tile of leaves (sparse-tile.ts); undefined when there are none. They are not believed, so that
 * anything may be handed over.
 */
export type KeptNodes = (index: number) => Uint8Array | undefined;

/** One tile with its inner nodes: `levels[0]` are the tile's hashes, `levels[k]` the complete subtrees of 2^k of them. */
class Tile {
  readonly levels: Uint8Array[][] = Array.from({ length: TILE_HEIGHT + 1 }, () => []);

  get width(): number {
    return this.levels[0]?.length ?? 0;
  }

  /** Adds a hash and every subtree it completes; returns the tile's own hash when it is full. */
  push(crypto: Crypto, hash: Uint8Array): Uint8Array | undefined {
    let completed = hash;
    for (let height = 0; ; height += 1) {
      const level = this.levels[height];
      if (level === undefined) return undefined;
      level.push(completed);
      if (height === TILE_HEIGHT) return completed;
      const left = level[level.length - 2];
      if (level.length % 2 !== 0 || left === undefined) return undefined;
      completed = nodeHash(crypto, left, completed);
    }
  }

  /** Drops all but the first `width` hashes. */
  truncate(width: number): void {
    for (const [height, level] of this.levels.entries()) level.length = Math.min(level.length, width >> height);
  }

  /** The first `width` hashes, concatenated: the tile as published. */
  bytes(width: number): Uint8Array {
    return concatenated((this.levels[0] ?? []).slice(0, width));
  }
}

function concatenated(hashes: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(hashes.length * 32);
  for (const [index, hash] of hashes.entries()) out.set(hash, index * 32);
  return out;
}

/** The number of hashes on a tile level when the tree has `size` leaves: floor(size / 256^level). */
export function tileLevelSize(size: number, level: number): number {
  return Math.floor(size / TILE_WIDTH ** level);
}

/**
 * An append-only Merkle tree (RFC 6962) held as tiles: the right edge in memory, the rest read from published tiles as needed.
 * It knows nothing of entries, databases or keys.
 */
export class TileTree {
  readonly #crypto: Crypto;
  readonly #source: TileSource;
  readonly #kept: KeptNodes | undefined;
  /** Complete tiles of leaves by index, of which some nodes are made; the oldest first. */
  readonly #sparse = new Map<number, SparseTile>();
  /** Tiles by "level/index". Those at or after `#pinned` are not evicted: they are not published yet. */
  readonly #tiles = new Map<string, Tile>();
  #size = 0;
  #published = 0;
  /** How many tiles there may be before some are forgotten. */
  #evictAt = 2 * CACHED_LEAF_TILES;

  private constructor(crypto: Crypto, source: TileSource, size: number, kept: KeptNodes | undefined) {
    this.#crypto = crypto;
    this.#source = source;
    this.#kept = kept;
    this.#size = size;
    this.#published = size;
  }

  /**
   * Opens a tree of `size` leaves over its published tiles.
   *
   * @param kept what spares a reader of proofs most of the hashing.
   * @throws ServerError `log-inconsistent` when a tile is missing or of the wrong size.
   */
  static open(crypto: Crypto, source: TileSource, size: number, kept?: KeptNodes): TileTree {
    return new TileTree(crypto, source, size, kept);
  }

  get size(): number {
    return this.#size;
  }

  /** Adds a leaf hash (already domain-separated, RFC 6962 section 2.1). */
  append(leaf: Uint8Array): void {
    let hash: Uint8Array | undefined = leaf;
    for (let level = 0; hash !== undefined; level += 1) {
      const position = tileLevelSize(this.#size, level);
      const tile = this.#tile(level, Math.floor(position / TILE_WIDTH), position % TILE_WIDTH);
      hash = tile.push(this.#crypto, hash);
    }
    this.#size += 1;
  }

  /** Undoes appends back to `size`, which is at least the published size. */
  truncate(size: number): void {
    for (const [key, tile] of this.#tiles) {
      const [level = 0, index = 0] = key.split("/").map(Number);
      const keep = tileLevelSize(size, level) - index * TILE_WIDTH;
      if (keep <= 0) this.#tiles.delete(key);
      else if (keep < tile.width) tile.truncate(keep);
    }
    this.#sparse.clear();
    this.#size = size;
  }

  /** The root hash over the first `size` leaves (default: all). */
  root(size: number = this.#size): Uint8Array {
    return size === 0 ? emptyRoot(this.#crypto) : rootHash(this.#crypto, size, this.nodeAt);
  }

  /** The inclusion proof of leaf `index` in the tree of `size` leaves (default: all). */
  inclusion(index: number, size: number = this.#size): Uint8Array[] {
    return inclusionProof(this.#crypto, index, size, this.nodeAt);
  }

  /** The hash of the complete subtree over leaves [index * 2^level, (index + 1) * 2^level). */
  readonly nodeAt = (level: number, index: number): Uint8Array => {
    const tileLevel = Math.floor(level / TILE_HEIGHT);
    const height = level % TILE_HEIGHT;
    const perTile = TILE_WIDTH >> height;
    const tileIndex = Math.floor(index / perTile);
    const width = Math.min(TILE_WIDTH, tileLevelSize(this.#size, tileLevel) - tileIndex * TILE_WIDTH);
    const known = tileLevel === 0 && width === TILE_WIDTH ? this.#sparseTile(tileIndex) : undefined;
    const hash =
      known?.nodeAt(height, index % perTile) ??
      this.#tile(tileLevel, tileIndex, width).levels[height]?.[index % perTile];
    if (hash === undefined) {
      throw new ServerError("log-inconsistent", `no node ${index} on level ${level} of a tree of ${this.#size} leaves`);
    }
    return hash;
  };

  /**
   * The tiles that differ between the trees of the first `from` and the first `to` leaves, with their bytes; of complete tiles of leaves also the
   * nodes that are to be kept of them.
   */
  *tilesBetween(
    from: number,
    to: number,
  ): Generator<{ level: number; index: number; width: number; bytes: Uint8Array; kept?: Uint8Array }> {
    for (let level = 0; tileLevelSize(to, level) > 0; level += 1) {
      const end = tileLevelSize(to, level);
      const start = tileLevelSize(from, level);
      if (start === end) continue;
      for (let index = Math.floor(start / TILE_WIDTH); index * TILE_WIDTH < end; index += 1) {
        const width = Math.min(TILE_WIDTH, end - index * TILE_WIDTH);
        const tile = this.#tile(level, index, width);
        const found = { level, index, width, bytes: tile.bytes(width) };
        const kept = level === 0 && width === TILE_WIDTH ? tile.levels[KEPT_HEIGHT] : undefined;
        yield kept === undefined ? found : { ...found, kept: concatenated(kept) };
      }
    }
  }

  /** The first `width` hashes of a tile; undefined when the tree has fewer there. */
  tileBytes(level: number, index: number, width: number): Uint8Array | undefined {
    if (index * TILE_WIDTH + width > tileLevelSize(this.#size, level)) return undefined;
    const whole = Math.min(TILE_WIDTH, tileLevelSize(this.#size, level) - index * TILE_WIDTH);
    return this.#tile(level, index, whole).bytes(width);
  }

  /** Says that tiles up to `size` leaves can be read back from the source, so that they may leave memory. */
  markPublished(size: number): void {
    this.#published = size;
    this.#evict();
  }

  /** A complete tile of leaves over what was kept of it; undefined when it is in memory whole, or nothing good was kept. */
  #sparseTile(index: number): SparseTile | undefined {
    const known = this.#sparse.get(index);
    if (known !== undefined || this.#kept === undefined || this.#tiles.has(`0/${index}`)) return known;
    const kept = this.#kept(index);
    if (kept?.length !== KEPT_BYTES) return undefined;
    const leaves = this.#source(0, index, TILE_WIDTH);
    const tile = leaves && SparseTile.of(this.#crypto, leaves, kept, this.nodeAt(TILE_HEIGHT, index));
    if (tile === undefined) return undefined;
    this.#sparse.set(index, tile);
    const [oldest] = this.#sparse.keys();
    if (this.#sparse.size > CACHED_LEAF_TILES && oldest !== undefined) this.#sparse.delete(oldest);
    return tile;
  }

  #tile(level: number, index: number, width: number): Tile {
    const key = `${level}/${index}`;
    let tile = this.#tiles.get(key);
    if (tile === undefined) {
      tile = new Tile();
      if (width > 0) this.#load(tile, level, index, width);
      if (this.#tiles.size > this.#evictAt) this.#evict();
      this.#tiles.set(key, tile);
    }
    return tile;
  }

  #load(tile: Tile, level: number, index: number, width: number): void {
    const bytes = this.#source(level, index, width);
    if (bytes === undefined || bytes.length !== width * 32) {
      throw new ServerError(
        "log-inconsistent",
        `tile ${index} on level ${level} (${width} hashes) is missing or damaged`,
        {
          hint: "run `assay server check`; tiles are rebuilt from the record by `assay server rebuild`",
        },
      );
    }
    for (let offset = 0; offset < bytes.length; offset += 32)
      tile.push(this.#crypto, bytes.subarray(offset, offset + 32));
  }

  /** Forgets the oldest complete, published tiles beyond what is kept; the right edge always stays. */
  #evict(): void {
    const kept = { leaf: 0, inner: 0 };
    // From the newest, so that those beyond the bounds are the oldest.
    for (const [key, tile] of [...this.#tiles].toReversed()) {
      const [level = 0, index = 0] = key.split("/").map(Number);
      const complete = tile.width === TILE_WIDTH && (index + 1) * TILE_WIDTH <= tileLevelSize(this.#published, level);
      if (!complete) continue;
      const kind = level === 0 ? "leaf" : "inner";
      kept[kind] += 1;
      if (kept[kind] > (level === 0 ? CACHED_LEAF_TILES : CACHED_INNER_TILES)) this.#tiles.delete(key);
    }
    // Some room, so that not each new tile looks through all of them.
    this.#evictAt = this.#tiles.size + CACHED_LEAF_TILES;
  }
}
