import { nodeCrypto } from "@assay/evidence/node";
import { TILE_WIDTH } from "@assay/evidence";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TileFiles } from "../src/log/tile-files.ts";
import { TileTree } from "../src/log/tree.ts";
import { temporaryDirectory } from "./core.ts";

const TILES = 300;
const SIZE = TILES * TILE_WIDTH;

/** A tree of complete and partial tiles, as it is published, with what is kept beside it. */
function publishedTree(size: number) {
  const tiles = new Map<string, Uint8Array>();
  const kept = new Map<number, Uint8Array>();
  const grown = TileTree.open(nodeCrypto, () => undefined, 0);
  for (let leaf = 0; leaf < size; leaf += 1)
    grown.append(nodeCrypto.sha256(Uint8Array.of(leaf >> 16, leaf >> 8, leaf)));
  for (const tile of grown.tilesBetween(0, size)) {
    tiles.set(`${tile.level}/${tile.index}`, tile.bytes);
    if (tile.kept !== undefined) kept.set(tile.index, tile.kept);
  }
  return { grown, tiles, kept };
}

it("proofs all over a large tree read each tile above the leaves once, and forget tiles of leaves", () => {
  const { grown, tiles: published } = publishedTree(SIZE);
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

describe("nodes that were kept of a complete tile of leaves", () => {
  const size = 5 * TILE_WIDTH + 77;
  const { grown, tiles, kept } = publishedTree(size);
  const right = Array.from({ length: size }, (_, leaf) => grown.inclusion(leaf));
  type Tiles = ReadonlyMap<string, Uint8Array>;
  type Kept = ReadonlyMap<number, Uint8Array>;
  const none: Kept = new Map();
  const over = (nodes: Kept, published: Tiles = tiles, crypto = nodeCrypto): TileTree =>
    TileTree.open(
      crypto,
      (level, index, width) => published.get(`${level}/${index}`)?.subarray(0, width * 32),
      size,
      (index) => nodes.get(index),
    );

  it("are those of complete ones only, and change no proof and no root", () => {
    expect([...kept.keys()]).toEqual([0, 1, 2, 3, 4]);
    for (const nodes of [none, kept]) {
      const tree = over(nodes);
      for (const [leaf, proof] of right.entries()) expect(tree.inclusion(leaf)).toEqual(proof);
      for (let count = 1; count <= size; count += 1) expect(tree.root(count)).toEqual(grown.root(count));
    }
  });

  it("spare most of the hashing of a proof", () => {
    const hashed = (nodes: Kept): number => {
      let count = 0;
      const counting = { ...nodeCrypto, sha256: (data: Uint8Array) => ((count += 1), nodeCrypto.sha256(data)) };
      over(nodes, tiles, counting).inclusion(3);
      return count;
    };
    // What lies at the edge is made either way; of this tile 255 nodes, or 15 and 15.
    expect(hashed(none) - hashed(kept)).toBe(255 - 30);
  });

  it("are believed for nothing: damaged, of another tile, cut off or made up, they change no proof", () => {
    fc.assert(
      fc.property(
        fc.nat({ max: 4 }),
        fc.nat({ max: 511 }),
        fc.integer({ min: 1, max: 255 }),
        fc.constantFrom("flip", "other", "short", "random"),
        fc.nat({ max: 5 * TILE_WIDTH - 1 }),
        (index, at, flip, how, leaf) => {
          const bytes = new Uint8Array(kept.get(index) ?? []);
          bytes[at] = (bytes[at] ?? 0) ^ flip;
          const given = {
            flip: bytes,
            other: kept.get((index + 1) % 5) ?? bytes,
            short: bytes.subarray(0, at),
            random: nodeCrypto.sha256(bytes),
          }[how];
          const tree = over(new Map([...kept, [index, given]]));
          const inside = index * TILE_WIDTH + (at % TILE_WIDTH);
          for (const each of [leaf, inside]) expect(tree.inclusion(each)).toEqual(right[each]);
        },
      ),
      { numRuns: 300 },
    );
  });

  it("hide no damaged leaf: what is proved is what the leaves give, as without them", () => {
    const leaves = new Uint8Array(tiles.get("0/2") ?? []);
    leaves[37 * 32] = (leaves[37 * 32] ?? 0) ^ 1;
    const damaged = new Map([...tiles, ["0/2", leaves] as const]);
    const leaf = 2 * TILE_WIDTH + 36;
    expect(over(kept, damaged).inclusion(leaf)).toEqual(over(none, damaged).inclusion(leaf));
    expect(over(kept, damaged).inclusion(leaf)).not.toEqual(right[leaf]);
  });

  it("lie in one file beside the tiles, each in its place; of what is not there is nothing to be had", async () => {
    const { path, dispose } = await temporaryDirectory();
    const files = new TileFiles(path);
    expect(files.readKept(0)).toBeUndefined();
    // The later tile first, as another host may: what is between is there and believed by nobody.
    for (const tile of [...grown.tilesBetween(0, size)].toReversed()) await files.writeTiles([tile], []);
    for (const [index, nodes] of kept) expect(files.readKept(index)).toEqual(nodes);
    expect(files.readKept(5)).toBeUndefined();
    const tree = TileTree.open(
      nodeCrypto,
      (...tile) => files.readTile(...tile),
      size,
      (index) => files.readKept(index),
    );
    for (const leaf of [0, 255, 256, 700, size - 1]) expect(tree.inclusion(leaf)).toEqual(right[leaf]);
    await dispose();
  });
});
