import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { nodeCrypto as crypto } from "../node/index.ts";
import {
  consistencyProof,
  emptyRoot,
  fromHex,
  inclusionProof,
  leafHash,
  type NodeAt,
  nodeHash,
  rootHash,
  toHex,
  verifyConsistency,
  verifyInclusion,
} from "../src/index.ts";
import { code } from "./failure.ts";

// The definitions of RFC 6962 §2.1, word for word and as slow as that.
const split = (n: number): number => 2 ** (Math.ceil(Math.log2(n)) - 1);
function mth(leaves: readonly Uint8Array[]): Uint8Array {
  if (leaves.length === 0) return new Uint8Array(createHash("sha256").digest());
  if (leaves.length === 1) return leafHash(crypto, leaves[0] ?? new Uint8Array());
  const k = split(leaves.length);
  return nodeHash(crypto, mth(leaves.slice(0, k)), mth(leaves.slice(k)));
}
function path(m: number, leaves: readonly Uint8Array[]): Uint8Array[] {
  if (leaves.length <= 1) return [];
  const k = split(leaves.length);
  return m < k
    ? [...path(m, leaves.slice(0, k)), mth(leaves.slice(k))]
    : [...path(m - k, leaves.slice(k)), mth(leaves.slice(0, k))];
}
function subproof(m: number, leaves: readonly Uint8Array[], whole: boolean): Uint8Array[] {
  if (m === leaves.length) return whole ? [] : [mth(leaves)];
  const k = split(leaves.length);
  return m <= k
    ? [...subproof(m, leaves.slice(0, k), whole), mth(leaves.slice(k))]
    : [...subproof(m - k, leaves.slice(k), false), mth(leaves.slice(0, k))];
}

const leavesOf = (n: number): Uint8Array[] => Array.from({ length: n }, (_, i) => Uint8Array.of(i & 255, i >> 8));
const nodesOf =
  (leaves: readonly Uint8Array[], calls: string[] = []): NodeAt =>
  (level, index) => {
    calls.push(`${level}/${index}`);
    const width = 2 ** level;
    expect((index + 1) * width).toBeLessThanOrEqual(leaves.length);
    return mth(leaves.slice(index * width, (index + 1) * width));
  };

describe("RFC 6962 test vectors", () => {
  // The eight leaves and roots that Certificate Transparency's own implementations are tested with.
  const leaves = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
  ].map(fromHex);
  const roots = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
  ];

  test("roots of every size from 0 to 8", () => {
    roots.forEach((root, size) => expect(toHex(rootHash(crypto, size, nodesOf(leaves)))).toBe(root));
    expect(toHex(emptyRoot(crypto))).toBe(roots[0]);
  });

  test("the audit path of leaf 5 of 8", () => {
    expect(inclusionProof(crypto, 5, 8, nodesOf(leaves)).map(toHex)).toEqual([
      "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
      "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
      "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]);
  });
});

describe("against the recursive definition", () => {
  const sizes = fc.integer({ min: 1, max: 70 });

  test("roots, inclusion and consistency proofs are those of the definition, and verify", () => {
    fc.assert(
      fc.property(sizes, fc.nat(), fc.nat(), (size, a, b) => {
        const leaves = leavesOf(size);
        const nodeAt = nodesOf(leaves);
        const root = rootHash(crypto, size, nodeAt);
        expect(root).toEqual(mth(leaves));

        const index = a % size;
        const proof = inclusionProof(crypto, index, size, nodeAt);
        expect(proof).toEqual(path(index, leaves));
        const leaf = leafHash(crypto, leaves[index] ?? new Uint8Array());
        expect(verifyInclusion(crypto, { index, size, leafHash: leaf, proof, root })).toBe(true);

        const oldSize = 1 + (b % size);
        const oldRoot = mth(leaves.slice(0, oldSize));
        const growth = consistencyProof(crypto, oldSize, size, nodeAt);
        expect(growth).toEqual(subproof(oldSize, leaves, true));
        expect(verifyConsistency(crypto, { oldSize, newSize: size, oldRoot, newRoot: root, proof: growth })).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  test("a claim with anything changed is refused", () => {
    const damage = (bytes: Uint8Array, at: number): Uint8Array =>
      bytes.map((byte, i) => (i === at % 32 ? byte ^ 1 : byte));
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 70 }), fc.nat(), fc.nat(), (size, a, at) => {
        const leaves = leavesOf(size);
        const nodeAt = nodesOf(leaves);
        const index = a % size;
        const proof = inclusionProof(crypto, index, size, nodeAt);
        const claim = {
          index,
          size,
          leafHash: leafHash(crypto, leaves[index] ?? new Uint8Array()),
          proof,
          root: mth(leaves),
        };
        const refused = (changes: Partial<typeof claim>): void =>
          expect(verifyInclusion(crypto, { ...claim, ...changes })).toBe(false);
        refused({ root: damage(claim.root, at) });
        refused({ leafHash: damage(claim.leafHash, at) });
        refused({ proof: proof.slice(1) });
        refused({ proof: [...proof, proof[0] ?? claim.root] });
        proof.forEach((hash, i) => refused({ proof: proof.with(i, damage(hash, at)) }));
        refused({ index: (index + 1) % size });
        refused({ index: size });
        refused({ index: -1 });
        refused({ root: claim.root.subarray(1) });

        const oldSize = 1 + (a % (size - 1));
        const oldRoot = mth(leaves.slice(0, oldSize));
        const growth = consistencyProof(crypto, oldSize, size, nodeAt);
        const consistency = { oldSize, newSize: size, oldRoot, newRoot: claim.root, proof: growth };
        const torn = (changes: Partial<typeof consistency>): void =>
          expect(verifyConsistency(crypto, { ...consistency, ...changes })).toBe(false);
        torn({ oldRoot: damage(oldRoot, at) });
        torn({ newRoot: damage(claim.root, at) });
        torn({ proof: growth.slice(1) });
        torn({ proof: [...growth, claim.root] });
        growth.forEach((hash, i) => torn({ proof: growth.with(i, damage(hash, at)) }));
        torn({ oldSize: size, newSize: oldSize });
      }),
      { numRuns: 100 },
    );
  });

  test("every tree extends the empty one, and only an empty proof says so", () => {
    const newRoot = mth(leavesOf(3));
    const claim = { oldSize: 0, newSize: 3, oldRoot: emptyRoot(crypto), newRoot, proof: [] };
    expect(verifyConsistency(crypto, claim)).toBe(true);
    expect(verifyConsistency(crypto, { ...claim, oldRoot: newRoot })).toBe(false);
    expect(verifyConsistency(crypto, { ...claim, proof: [newRoot] })).toBe(false);
    expect(verifyConsistency(crypto, { ...claim, newSize: 0 })).toBe(false);
    expect(consistencyProof(crypto, 0, 3, nodesOf(leavesOf(3)))).toEqual([]);
  });
});

describe("the cost of a proof", () => {
  const hash = new Uint8Array(32);
  const counting =
    (calls: [number, number][]): NodeAt =>
    (level, index) => {
      calls.push([level, index]);
      return hash;
    };

  test("asks for each node once and for O(log n) of them, also beyond 32 bits", () => {
    const size = 2 ** 45 + 12_345;
    for (const index of [0, 1, 2 ** 31, 2 ** 33 + 5, 2 ** 45, size - 1]) {
      const calls: [number, number][] = [];
      const proof = inclusionProof(crypto, index, size, counting(calls));
      expect(proof.length).toBeLessThanOrEqual(46);
      expect(calls.length).toBeLessThanOrEqual(60);
      expect(new Set(calls.map(String)).size).toBe(calls.length);
      for (const [level, at] of calls) expect((at + 1) * 2 ** level).toBeLessThanOrEqual(size);
    }
    const calls: [number, number][] = [];
    consistencyProof(crypto, 2 ** 40 + 3, size, counting(calls));
    expect(calls.length).toBeLessThanOrEqual(100);
  });

  test("the root of a full tree is one node", () => {
    const calls: [number, number][] = [];
    rootHash(crypto, 2 ** 40, counting(calls));
    expect(calls).toEqual([[40, 0]]);
  });

  test("what lies outside the tree is an error, not a proof", () => {
    expect(() => inclusionProof(crypto, 3, 3, counting([]))).toThrow(code("merkle-range"));
    expect(() => inclusionProof(crypto, -1, 3, counting([]))).toThrow(code("merkle-range"));
    expect(() => consistencyProof(crypto, 4, 3, counting([]))).toThrow(code("merkle-range"));
    expect(() => rootHash(crypto, 2 ** 53, counting([]))).toThrow(code("merkle-range"));
    expect(() => rootHash(crypto, 1.5, counting([]))).toThrow(code("merkle-range"));
  });
});
