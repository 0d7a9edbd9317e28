import { existsSync } from "node:fs";
import { join } from "node:path";
import { decodeEntries, leafHash } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { writeLateTiles } from "../src/log/late-tiles.ts";
import { TileFiles } from "../src/log/tile-files.ts";
import { TileTree } from "../src/log/tree.ts";
import { temporaryDirectory } from "./core.ts";

const PAGE = 4 * 256;

let directory: { path: string; dispose(): Promise<void> };
let files: TileFiles;

beforeEach(async () => {
  directory = await temporaryDirectory();
  files = new TileFiles(join(directory.path, "logs", "test"));
  await files.create();
});

afterEach(() => directory.dispose());

function entry(index: number): Uint8Array {
  return new TextEncoder().encode(`entry ${index}`);
}

const readTile = (level: number, index: number, width: number) => files.readTile(level, index, width);

/** The tree over the first `size` entries, in memory. */
function grown(size: number): TileTree {
  const tree = TileTree.open(nodeCrypto, () => undefined, 0);
  for (let index = 0; index < size; index += 1) tree.append(leafHash(nodeCrypto, entry(index)));
  return tree;
}

/** A log of `size` entries of which the first `published` have tiles. */
async function late(published: number, size: number) {
  const before = grown(published);
  await files.writeTiles(before.tilesBetween(0, published), []);
  const asked: number[] = [];
  return {
    asked,
    log: {
      crypto: nodeCrypto,
      origin: "example.com/log",
      files,
      page: PAGE,
      tree: TileTree.open(nodeCrypto, readTile, published),
      size,
      root: grown(size).root(),
      entries: async (from: number, to: number) => {
        asked.push(to - from);
        return Array.from({ length: to - from }, (_, index) => entry(from + index));
      },
    },
  };
}

describe("tiles that are late", () => {
  it.each([
    [0, 2 * PAGE + 300],
    [0, 2 * PAGE],
    [1, PAGE + 2],
    [700, 2 * PAGE + 1],
    [PAGE - 100, 2 * PAGE + 5],
  ])(
    "are written from %i published entries to the last whole page of %i, as the tree gives them",
    async (published, size) => {
      const { log, asked } = await late(published, size);
      const written = await writeLateTiles(log);
      expect(written).toBe(Math.floor((size - 1) / PAGE) * PAGE);
      expect(Math.max(...asked)).toBeLessThanOrEqual(PAGE);
      const reopened = TileTree.open(nodeCrypto, readTile, written);
      expect(reopened.root()).toEqual(grown(written).root());
      for (const index of [published, Math.floor(written / 2), written - 1]) {
        expect(reopened.inclusion(index)).toEqual(log.tree.inclusion(index));
        const bundle = await files.readEntries(Math.floor(index / 256), 256);
        expect(decodeEntries(bundle ?? new Uint8Array())[index % 256]).toEqual(entry(index));
      }
      expect(existsSync(join(files.directory, "tile", "0", "000.p"))).toBe(false);
      // What comes after them goes on from where they end.
      for (let index = written; index < size; index += 1) log.tree.append(leafHash(nodeCrypto, entry(index)));
      expect(log.tree.root()).toEqual(log.root);
    },
  );

  it("are not written of leaves that do not have the committed root", async () => {
    const { log } = await late(0, PAGE + 300);
    const damaged = (from: number, to: number) =>
      log.entries(from, to).then((entries) => entries.with(-1, entry(from)));
    await expect(writeLateTiles({ ...log, entries: damaged })).rejects.toMatchObject({ code: "log-inconsistent" });
    expect(existsSync(join(files.directory, "tile"))).toBe(false);
  });

  it("are not written when leaves are missing", async () => {
    const { log } = await late(0, PAGE + 300);
    const short = (from: number, to: number) => log.entries(from, to).then((entries) => entries.slice(1));
    await expect(writeLateTiles({ ...log, entries: short })).rejects.toMatchObject({ code: "log-inconsistent" });
    expect(existsSync(join(files.directory, "tile"))).toBe(false);
  });
});
