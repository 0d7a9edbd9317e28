import { type Crypto, equalBytes, nodeHash, TILE_HEIGHT, TILE_WIDTH } from "@assay/evidence";

/** Height of the nodes that are kept of each complete tile of leaves: those over 16 leaves each. */
export const KEPT_HEIGHT = 4;

/** Leaves under a kept node. */
const GROUP = 2 ** KEPT_HEIGHT;

/** Bytes of a tile's kept nodes. */
export const KEPT_BYTES = (TILE_WIDTH / GROUP) * 32;

/** The nodes over a row of nodes, pair by pair; one without another to its right has none. */
export function nodesAbove(
  row: readonly Uint8Array[],
  node: (left: Uint8Array, right: Uint8Array) => Uint8Array,
): Uint8Array[] {
  const above: Uint8Array[] = [];
  for (let at = 0; at < row.length; at += 2) {
    const [left, right] = [row[at], row[at + 1]];
    if (left !== undefined && right !== undefined) above.push(node(left, right));
  }
  return above;
}

/** Rows of nodes over some hashes, as many as a power of two: the hashes themselves, then what they make pair by pair, up to one. */
function rowsOver(crypto: Crypto, hashes: Uint8Array): Uint8Array[][] {
  let row = Array.from({ length: hashes.length / 32 }, (_, index) => hashes.subarray(index * 32, index * 32 + 32));
  const rows = [row];
  while (row.length > 1) {
    row = nodesAbove(row, (left, right) => nodeHash(crypto, left, right));
    rows.push(row);
  }
  return rows;
}

/**
 * A complete tile of leaves of which only those nodes are made that are asked for, with the help of nodes that were kept: the path of one leaf
 * takes 30 hashes so, and 255 without.
 *
 * INVARIANT: what was kept is believed for nothing. It has to give the tile's hash, which stands in the tile above, and each group of leaves has
 * to give its kept node; where one does not, there is no answer here, and the whole tile is made from its leaves.
 */
export class SparseTile {
  readonly #crypto: Crypto;
  readonly #leaves: Uint8Array;
  /** From {@link KEPT_HEIGHT} to the tile's own hash. */
  readonly #upper: readonly Uint8Array[][];
  readonly #groups = new Map<number, readonly Uint8Array[][]>();

  private constructor(crypto: Crypto, leaves: Uint8Array, upper: readonly Uint8Array[][]) {
    this.#crypto = crypto;
    this.#leaves = leaves;
    this.#upper = upper;
  }

  /**
   * @param leaves the tile as published, 256 hashes.
   * @param kept its nodes of {@link KEPT_HEIGHT}, 16 hashes.
   * @param hash the tile's, as the tile above has it.
   * @returns undefined when these are not of one tile.
   */
  static of(crypto: Crypto, leaves: Uint8Array, kept: Uint8Array, hash: Uint8Array): SparseTile | undefined {
    if (leaves.length !== TILE_WIDTH * 32 || kept.length !== KEPT_BYTES) return undefined;
    const upper = rowsOver(crypto, kept);
    const top = upper.at(-1)?.[0];
    return top !== undefined && equalBytes(top, hash) ? new SparseTile(crypto, leaves, upper) : undefined;
  }

  /** The node `index` of a height within the tile, 0 being the leaves; undefined where the leaves do not give what was kept. */
  nodeAt(height: number, index: number): Uint8Array | undefined {
    if (height >= KEPT_HEIGHT) return height > TILE_HEIGHT ? undefined : this.#upper[height - KEPT_HEIGHT]?.[index];
    const perGroup = GROUP >> height;
    const group = Math.floor(index / perGroup);
    let rows = this.#groups.get(group);
    if (rows === undefined) {
      rows = rowsOver(this.#crypto, this.#leaves.subarray(group * GROUP * 32, (group + 1) * GROUP * 32));
      const [top, kept] = [rows[KEPT_HEIGHT]?.[0], this.#upper[0]?.[group]];
      if (top === undefined || kept === undefined || !equalBytes(top, kept)) return undefined;
      this.#groups.set(group, rows);
    }
    return rows[height]?.[index % perGroup];
  }
}
