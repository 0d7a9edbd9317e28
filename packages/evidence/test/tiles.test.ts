import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeEntries, encodeEntries, entriesPath, parseTilePath, tilePath, utf8Encode } from "../src/index.ts";
import { code } from "./failure.ts";

const invalidPath = code("tile-path-invalid");
const invalidEntries = code("entries-invalid");

test("paths are those of the specification", () => {
  expect(tilePath(0, 0)).toBe("tile/0/000");
  expect(tilePath(0, 1234067)).toBe("tile/0/x001/x234/067");
  expect(tilePath(0, 1234, 17)).toBe("tile/0/x001/234.p/17");
  expect(tilePath(3, 999)).toBe("tile/3/999");
  expect(entriesPath(1000)).toBe("tile/entries/x001/000");
  expect(entriesPath(5, 1)).toBe("tile/entries/005.p/1");
});

test("every path is read back as what it was written for", () => {
  const level = fc.oneof(fc.constant("entries" as const), fc.integer({ min: 0, max: 63 }));
  fc.assert(
    fc.property(level, fc.maxSafeNat(), fc.integer({ min: 1, max: 256 }), (level, index, width) => {
      const path = level === "entries" ? entriesPath(index, width) : tilePath(level, index, width);
      expect(parseTilePath(path)).toEqual({ level, index, width });
    }),
  );
});

test.each([
  "",
  "tile",
  "tile/0",
  "tile/0/1",
  "tile/0/0001",
  "tile/00/000",
  "tile/64/000",
  "tile/-1/000",
  "tile/0/x000/001",
  "tile/0/001/002",
  "tile/0/x001",
  "tile/0/000.p/0",
  "tile/0/000.p/256",
  "tile/0/000.p/01",
  "tile/0/000.p",
  "tile/0/000/",
  "/tile/0/000",
  "tile/0/../000",
  "tile/data/000",
  "tile/0/x999/x999/x999/x999/x999/999",
  "tile/0/000\n",
  `tile/0/${"x001/".repeat(50)}000`,
])("refuses the path %j", (path) => {
  expect(() => parseTilePath(path)).toThrow(invalidPath);
});

test("refuses to write paths that are none", () => {
  for (const make of [
    () => tilePath(64, 0),
    () => tilePath(0, -1),
    () => tilePath(0, 0, 0),
    () => tilePath(0, 0, 257),
    () => tilePath(0.5, 0),
  ]) {
    expect(make).toThrow(invalidPath);
  }
});

test("entry bundles hold their entries", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 256 }), (entries) => {
      expect(decodeEntries(encodeEntries(entries))).toEqual(entries);
    }),
    { numRuns: 30 },
  );
  expect(encodeEntries([utf8Encode("ab"), new Uint8Array(0)])).toEqual(Uint8Array.of(0, 2, 0x61, 0x62, 0, 0));
});

test("cut-off, overfull and empty entry bundles are refused", () => {
  const bytes = encodeEntries([utf8Encode("abc"), utf8Encode("d")]);
  for (const end of [1, 3, 4, 6, 7]) expect(() => decodeEntries(bytes.subarray(0, end))).toThrow(invalidEntries);
  expect(() => decodeEntries(new Uint8Array(0))).toThrow(invalidEntries);
  expect(() => decodeEntries(new Uint8Array(2 * 257))).toThrow(invalidEntries);
  expect(() => encodeEntries([])).toThrow(invalidEntries);
  expect(() => encodeEntries([new Uint8Array(65_536)])).toThrow(invalidEntries);
  expect(encodeEntries([new Uint8Array(65_535)]).length).toBe(65_537);
});
