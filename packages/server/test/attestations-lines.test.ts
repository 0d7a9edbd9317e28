/** Lines of evidence in groups: what is worked on at once. */
import { expect, test } from "vitest";
import { lineGroups, type NumberedLine } from "../src/attestations/lines.ts";

async function groups(sizes: readonly (number | undefined)[]): Promise<number[]> {
  async function* lines(): AsyncGenerator<NumberedLine> {
    for (const [index, size] of sizes.entries()) {
      yield { line: index + 1, bytes: size === undefined ? undefined : new Uint8Array(size) };
    }
  }
  const counts: number[] = [];
  for await (const group of lineGroups(lines(), { count: 4, maxBytes: 10 })) counts.push(group.length);
  return counts;
}

test("small lines go together, at most so many", async () => {
  expect(await groups([1, 1, 1, 1, 1, 1])).toEqual([4, 2]);
  expect(await groups([])).toEqual([]);
});

test("large lines go in fewer, so that no more than one is held behind the bound", async () => {
  expect(await groups([10, 10, 10])).toEqual([1, 1, 1]);
  expect(await groups([9, 9, 1, 1, 1, 1])).toEqual([2, 4]);
  expect(await groups([undefined, undefined, 10, undefined])).toEqual([3, 1]);
});
