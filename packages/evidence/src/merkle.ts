/**
 * The Merkle tree of RFC 6962 §2.1 and RFC 9162 §2.1, over SHA-256.
 *
 * The tree is never held here. Whoever has it answers `nodeAt(level, index)`, the hash of the *complete* subtree over the
 * leaves [index·2^level, (index+1)·2^level); a proof asks for O(log n) of them and for none it does not need.
 *
 * Sizes and indexes are safe integers, so arithmetic is by division, never by 32-bit operators.
 */
import type { Crypto } from "./crypto.ts";
import { equalBytes } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { LIMITS } from "./limits.ts";

/** Bytes of every hash in the tree. */
export const HASH_SIZE = 32;

/** The hash of the complete subtree over leaves [index·2^level, (index+1)·2^level). Level 0 are the leaf hashes. */
export type NodeAt = (level: number, index: number) => Uint8Array;

/** Hash of a leaf: SHA-256(0x00 ‖ entry). RFC 9162 §2.1.1. */
export function leafHash(crypto: Crypto, entry: Uint8Array): Uint8Array {
  const input = new Uint8Array(1 + entry.length);
  input.set(entry, 1);
  return crypto.sha256(input);
}

/** What an inner node is hashed from, written anew each time: to allocate it takes as long as to hash it. Nobody keeps what they hash. */
const NODE = Uint8Array.of(1, ...new Uint8Array(2 * HASH_SIZE));

/** Hash of an inner node: SHA-256(0x01 ‖ left ‖ right). RFC 9162 §2.1.1. */
export function nodeHash(crypto: Crypto, left: Uint8Array, right: Uint8Array): Uint8Array {
  // Exactly these bytes, whatever is given: none of a node before may be left in it.
  if (left.length !== HASH_SIZE || right.length !== HASH_SIZE) throw new RangeError("a node is made of two hashes");
  NODE.set(left, 1);
  NODE.set(right, 1 + HASH_SIZE);
  return crypto.sha256(NODE);
}

/** Root of the tree without leaves: SHA-256 of nothing. RFC 9162 §2.1.1. */
export function emptyRoot(crypto: Crypto): Uint8Array {
  return crypto.sha256(new Uint8Array(0));
}

/** Root of the tree over the first `size` leaves. Throws `merkle-range`. */
export function rootHash(crypto: Crypto, size: number, nodeAt: NodeAt): Uint8Array {
  requireSize(size, "size");
  return size === 0 ? emptyRoot(crypto) : rangeHash(crypto, 0, size, nodeAt);
}

/** Audit path of leaf `index` in the tree of `size` leaves, lowest sibling first. RFC 9162 §2.1.3.1. Throws `merkle-range`. */
export function inclusionProof(crypto: Crypto, index: number, size: number, nodeAt: NodeAt): Uint8Array[] {
  requireSize(size, "size");
  requireSize(index, "index");
  if (index >= size) throw new EvidenceError("merkle-range", `Leaf ${index} is not in a tree of ${size} leaves.`);
  const path: Uint8Array[] = [];
  let low = 0;
  let high = size;
  // From the root down; the specification's order is from the leaf up, hence the final reversal.
  while (high - low > 1) {
    const middle = low + largestPowerOfTwoBelow(high - low);
    if (index < middle) {
      path.push(rangeHash(crypto, middle, high, nodeAt));
      high = middle;
    } else {
      path.push(rangeHash(crypto, low, middle, nodeAt));
      low = middle;
    }
  }
  return path.reverse();
}

/**
 * Proof that the tree of `newSize` leaves extends the tree of `oldSize` leaves. RFC 9162 §2.1.4.1. Empty when the sizes are
 * equal or `oldSize` is 0 (every tree extends the empty one). Throws `merkle-range`.
 */
export function consistencyProof(crypto: Crypto, oldSize: number, newSize: number, nodeAt: NodeAt): Uint8Array[] {
  requireSize(oldSize, "old size");
  requireSize(newSize, "new size");
  if (oldSize > newSize)
    throw new EvidenceError("merkle-range", `A tree cannot shrink from ${oldSize} to ${newSize} leaves.`);
  if (oldSize === 0 || oldSize === newSize) return [];
  const path: Uint8Array[] = [];
  let low = 0;
  let high = newSize;
  // Descends to the subtree that ends exactly at oldSize: SUBPROOF of the specification, unrolled.
  while (high !== oldSize) {
    const middle = low + largestPowerOfTwoBelow(high - low);
    if (oldSize <= middle) {
      path.push(rangeHash(crypto, middle, high, nodeAt));
      high = middle;
    } else {
      path.push(rangeHash(crypto, low, middle, nodeAt));
      low = middle;
    }
  }
  // Only a subtree that is not the whole old tree must be told; the verifier knows the old root itself.
  if (low !== 0) path.push(rangeHash(crypto, low, high, nodeAt));
  return path.reverse();
}

/** What an inclusion proof claims: `leafHash` stands at `index` in the tree of `size` leaves with this `root`. */
export type InclusionClaim = {
  readonly index: number;
  readonly size: number;
  readonly leafHash: Uint8Array;
  readonly proof: readonly Uint8Array[];
  readonly root: Uint8Array;
};

/** Verifies an inclusion proof: RFC 9162 §2.1.3.2. Anything malformed is `false`. */
export function verifyInclusion(crypto: Crypto, claim: InclusionClaim): boolean {
  const { index, size, proof, root } = claim;
  if (!isSize(index) || !isSize(size) || index >= size) return false;
  if (!areHashes([claim.leafHash, root]) || proof.length > LIMITS.proofHashes || !areHashes(proof)) return false;
  let fn = index;
  let sn = size - 1;
  let hash = claim.leafHash;
  for (const sibling of proof) {
    if (sn === 0) return false;
    if (fn % 2 === 1 || fn === sn) {
      hash = nodeHash(crypto, sibling, hash);
      while (fn % 2 === 0 && fn !== 0) {
        fn = Math.floor(fn / 2);
        sn = Math.floor(sn / 2);
      }
    } else {
      hash = nodeHash(crypto, hash, sibling);
    }
    fn = Math.floor(fn / 2);
    sn = Math.floor(sn / 2);
  }
  return sn === 0 && equalBytes(hash, root);
}

/** What a consistency proof claims: the tree (`newSize`, `newRoot`) extends the tree (`oldSize`, `oldRoot`). */
export type ConsistencyClaim = {
  readonly oldSize: number;
  readonly newSize: number;
  readonly oldRoot: Uint8Array;
  readonly newRoot: Uint8Array;
  readonly proof: readonly Uint8Array[];
};

/** Verifies a consistency proof: RFC 9162 §2.1.4.2. Anything malformed is `false`. */
export function verifyConsistency(crypto: Crypto, claim: ConsistencyClaim): boolean {
  const { oldSize, newSize, oldRoot, newRoot, proof } = claim;
  if (!isSize(oldSize) || !isSize(newSize) || oldSize > newSize) return false;
  if (!areHashes([oldRoot, newRoot]) || proof.length > LIMITS.proofHashes || !areHashes(proof)) return false;
  if (oldSize === 0) {
    const newIsEmpty = newSize === 0;
    return (
      proof.length === 0 && equalBytes(oldRoot, emptyRoot(crypto)) && (!newIsEmpty || equalBytes(newRoot, oldRoot))
    );
  }
  if (oldSize === newSize) return proof.length === 0 && equalBytes(oldRoot, newRoot);

  let fn = oldSize - 1;
  let sn = newSize - 1;
  while (fn % 2 === 1) {
    fn = Math.floor(fn / 2);
    sn = Math.floor(sn / 2);
  }
  // An old tree that is one complete subtree is itself the first hash of the path.
  const path = isPowerOfTwo(oldSize) ? [oldRoot, ...proof] : proof;
  const [first, ...rest] = path;
  if (first === undefined) return false;
  let oldHash = first;
  let newHash = first;
  for (const sibling of rest) {
    if (sn === 0) return false;
    if (fn % 2 === 1 || fn === sn) {
      oldHash = nodeHash(crypto, sibling, oldHash);
      newHash = nodeHash(crypto, sibling, newHash);
      while (fn % 2 === 0 && fn !== 0) {
        fn = Math.floor(fn / 2);
        sn = Math.floor(sn / 2);
      }
    } else {
      newHash = nodeHash(crypto, newHash, sibling);
    }
    fn = Math.floor(fn / 2);
    sn = Math.floor(sn / 2);
  }
  return sn === 0 && equalBytes(oldHash, oldRoot) && equalBytes(newHash, newRoot);
}

/**
 * Hash of the subtree over leaves [low, high), which the split of RFC 6962 produced: `low` is a multiple of a power of two
 * not smaller than the range. Its complete subtrees, largest first, are folded from the right.
 */
function rangeHash(crypto: Crypto, low: number, high: number, nodeAt: NodeAt): Uint8Array {
  const complete: Uint8Array[] = [];
  let start = low;
  while (start < high) {
    const width = largestPowerOfTwoUpTo(high - start);
    complete.push(nodeAt(Math.log2(width), start / width));
    start += width;
  }
  return complete.reduceRight((right, left) => nodeHash(crypto, left, right));
}

function largestPowerOfTwoUpTo(value: number): number {
  let power = 1;
  while (power * 2 <= value) power *= 2;
  return power;
}

function largestPowerOfTwoBelow(value: number): number {
  return largestPowerOfTwoUpTo(value - 1);
}

function isPowerOfTwo(value: number): boolean {
  return largestPowerOfTwoUpTo(value) === value;
}

function isSize(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function requireSize(value: number, what: string): void {
  if (!isSize(value))
    throw new EvidenceError("merkle-range", `The ${what} ${value} is not a whole number from 0 to 2^53-1.`);
}

function areHashes(hashes: readonly Uint8Array[]): boolean {
  return hashes.every((hash) => hash.length === HASH_SIZE);
}
