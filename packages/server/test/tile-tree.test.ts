import { nodeCrypto } from "@assay/evidence/node";
import { TILE_WIDTH } from "@assay/evidence";
import { expect, it } from "vitest";
import { TileTree } from "../src/log/tree.ts";

const TILES = 300;
const SIZE = TILES * TILE_WIDTH;

it("proofs all over a large tree read each tile above the leaves once, and forget tiles of leaves", () => {
  const published = new Map<string, Uint8Array>();
  const grown = TileTree.open(nodeCrypto, () => undefined, 0);
  for (let leaf = 0; leaf < SIZE; leaf += 1)
    grown.append(nodeCrypto.sha256(Uint8Array.of(leaf >> 16, leaf >> 8, leaf)));
  for (const { level, index, bytes } of grown.tilesBetween(0, SIZE)) published.set(`${level}/${index}`, bytes);

  const reads = { leaf: 0, inner: new Map<string, number>() };
  const read = (level: number, index: number, width: number): Uint8Array | undefined => {
    const name = `${level}/${index}`;
    if (level === 0) reads.leaf += 1;
    else reads.inner.set(name, (reads.inner.get(name) ?? 0) + 1);
    return published.get(name)?.subarray(0, width * 32);
  };
  const tree = TileTree.open(nodeCrypto, read, SIZE);
  const ROUNDS = 3;
  for (let round = 0; round < ROUNDS; round += 1) {
    for (let tile = 0; tile < TILES; tile += 1) {
      const leaf = tile * TILE_WIDTH + ((tile * 7) % TILE_WIDTH);
      expect(tree.inclusion(leaf)).toEqual(grown.inclusion(leaf));
    }
  }
  expect([...reads.inner.keys()]).toContain("1/0");
  expect([...reads.inner.values()].every((times) => times === 1)).toBe(true);
  // What is not kept is read again: the memory for them is bounded.
  expect(reads.leaf).toBeGreaterThan((ROUNDS - 1) * TILES);
});
