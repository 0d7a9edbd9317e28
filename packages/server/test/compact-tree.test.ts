import { equalBytes, leafHash, nodeHash, rootHash, toHex, utf8Encode } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CompactTree } from "../src/log/compact-tree.ts";
import { foldTile } from "../src/log/tile-judge.ts";
import { TileTree } from "../src/log/tree.ts";

const leaf = (index: number): Uint8Array => leafHash(nodeCrypto, utf8Encode(`entry ${index}`));

/** Complete subtrees by plain recursion over the leaves: the specification, said once more. */
function nodeAt(level: number, index: number): Uint8Array {
  if (level === 0) return leaf(index);
  return nodeHash(nodeCrypto, nodeAt(level - 1, 2 * index), nodeAt(level - 1, 2 * index + 1));
}

const sizes = fc.integer({ min: 0, max: 1_200 });

describe("a compact tree", () => {
  it("has the root of RFC 6962 at every size, in one go or continued from what was kept at any size before", () => {
    fc.assert(
      fc.property(sizes, sizes, (one, other) => {
        const [kept, size] = [Math.min(one, other), Math.max(one, other)];
        const first = new CompactTree(nodeCrypto);
        while (first.size < kept) first.append(leaf(first.size));
        expect(toHex(first.root())).toBe(toHex(rootHash(nodeCrypto, kept, nodeAt)));
        const second = new CompactTree(nodeCrypto, first.state());
        for (const tree of [first, second]) while (tree.size < size) tree.append(leaf(tree.size));
        expect(second.state()).toEqual(first.state());
        expect(toHex(second.root())).toBe(toHex(rootHash(nodeCrypto, size, nodeAt)));
      }),
      { numRuns: 40 },
    );
  });

  it("tells each node once, when it becomes complete, with the hash the specification gives it", () => {
    const seen = new Map<string, string>();
    const tree = new CompactTree(nodeCrypto);
    const counts: number[] = [];
    while (tree.size < 300) {
      tree.append(leaf(tree.size), (height, hash) => {
        const index = counts[height] ?? 0;
        counts[height] = index + 1;
        seen.set(`${height}/${index}`, toHex(hash));
      });
    }
    expect(counts).toEqual([300, 150, 75, 37, 18, 9, 4, 2, 1]);
    for (const [at, hash] of seen) {
      const [height = 0, index = 0] = at.split("/").map(Number);
      expect(toHex(nodeAt(height, index)), at).toBe(hash);
    }
  });

  it("gives what the tiles of the published tree fold to", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 256 }), (width) => {
        const tree = new CompactTree(nodeCrypto);
        while (tree.size < width) tree.append(leaf(tree.size));
        const hashes = Array.from({ length: width }, (_, index) => leaf(index));
        const folded = foldTile(hashes, (left, right) => nodeHash(nodeCrypto, left, right));
        expect(folded.map(toHex)).toEqual(tree.state().peaks.map(toHex));
        const tiles = TileTree.open(nodeCrypto, () => undefined, 0);
        for (const hash of hashes) tiles.append(hash);
        expect(equalBytes(tiles.root(), tree.root())).toBe(true);
      }),
      { numRuns: 30 },
    );
  });

  it.each([
    ["too few subtrees", { size: 3, peaks: [leaf(0)] }],
    ["too many", { size: 4, peaks: [leaf(0), leaf(1)] }],
    ["one that is no hash", { size: 1, peaks: [new Uint8Array(31)] }],
    ["no size", { size: -1, peaks: [] }],
    ["a size that is no whole number", { size: 1.5, peaks: [leaf(0)] }],
  ])("refuses a state with %s", (_what, state) => {
    expect(() => new CompactTree(nodeCrypto, state)).toThrowError(
      expect.objectContaining({ code: "log-inconsistent" }),
    );
  });
});
