import { type Crypto, emptyRoot, nodeHash } from "@assay/evidence";
import { ServerError } from "../errors.ts";

/** A tree's size and its complete subtrees, largest first: all that is needed to go on appending. */
export interface CompactState {
  readonly size: number;
  readonly peaks: readonly Uint8Array[];
}

/** How many complete subtrees a tree of `size` leaves consists of: the ones in `size` written in binary. */
function peakCount(size: number): number {
  let count = 0;
  for (let rest = size; rest > 0; rest = Math.floor(rest / 2)) count += rest % 2;
  return count;
}

/**
 * An append-only Merkle tree (RFC 6962) of which only the complete subtrees on the right edge are kept: 54 hashes at most, whatever
 * its size. It gives its root and hears of each node that becomes complete; it proves nothing.
 */
export class CompactTree {
  readonly #crypto: Crypto;
  /** By height; a peak stands where the size has a one. */
  readonly #peaks: (Uint8Array | undefined)[] = [];
  #size = 0;

  /** Goes on from `state`, or begins empty. @throws ServerError `log-inconsistent` when the peaks are not those of a tree of its size. */
  constructor(crypto: Crypto, state: CompactState = { size: 0, peaks: [] }) {
    this.#crypto = crypto;
    const { size, peaks } = state;
    if (!Number.isSafeInteger(size) || size < 0 || peaks.length !== peakCount(size)) {
      throw new ServerError("log-inconsistent", `${peaks.length} subtrees are not those of a tree of ${size} leaves`);
    }
    let next = peaks.length - 1;
    for (let height = 0, rest = size; rest > 0; height += 1, rest = Math.floor(rest / 2)) {
      if (rest % 2 === 0) continue;
      const peak = peaks[next];
      if (peak?.length !== 32) throw new ServerError("log-inconsistent", "a subtree's hash has 32 bytes");
      this.#peaks[height] = peak;
      next -= 1;
    }
    this.#size = size;
  }

  get size(): number {
    return this.#size;
  }

  /**
   * Adds a leaf hash (already domain-separated, RFC 6962 section 2.1).
   *
   * @param completed hears of each node this completes, from the leaf (height 0) upwards.
   */
  append(leaf: Uint8Array, completed?: (height: number, hash: Uint8Array) => void): void {
    let hash = leaf;
    let height = 0;
    completed?.(0, hash);
    for (let rest = this.#size; rest % 2 === 1; rest = (rest - 1) / 2) {
      const left = this.#peaks[height];
      if (left === undefined) throw new ServerError("internal", `a tree of ${this.#size} leaves lacks a subtree`);
      hash = nodeHash(this.#crypto, left, hash);
      this.#peaks[height] = undefined;
      height += 1;
      completed?.(height, hash);
    }
    this.#peaks[height] = hash;
    this.#size += 1;
  }

  /** The root hash over all leaves so far. */
  root(): Uint8Array {
    let root: Uint8Array | undefined;
    for (const peak of this.#peaks) {
      if (peak !== undefined) root = root === undefined ? peak : nodeHash(this.#crypto, peak, root);
    }
    return root ?? emptyRoot(this.#crypto);
  }

  /** What {@link CompactTree} goes on from. */
  state(): CompactState {
    return { size: this.#size, peaks: this.#peaks.filter((peak) => peak !== undefined).reverse() };
  }
}
