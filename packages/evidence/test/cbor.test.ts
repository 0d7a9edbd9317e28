/** CBOR as COSE needs it: everything that decoders might read in two ways is refused. Examples are those of RFC 8949 Appendix A. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cborArrayHead, cborBytes, cborText, parseCbor } from "../src/cbor.ts";
import { concatBytes, fromHex, LIMITS, toHex } from "../src/index.ts";
import { code } from "./failure.ts";
import { cbor, type HeaderValue } from "./virtual-notation.ts";

const read = (hex: string): unknown => parseCbor(fromHex(hex));

describe("CBOR is read", () => {
  test.each<[string, unknown]>([
    ["00", 0],
    ["17", 23],
    ["1818", 24],
    ["1903e8", 1_000],
    ["1a000f4240", 1_000_000],
    ["1b000000e8d4a51000", 1_000_000_000_000],
    ["20", -1],
    ["3903e7", -1_000],
    ["f4", false],
    ["f5", true],
    ["f6", null],
    ["f7", undefined],
    ["40", new Uint8Array(0)],
    ["4401020304", Uint8Array.of(1, 2, 3, 4)],
    ["60", ""],
    ["62c3bc", "ü"],
    ["80", []],
    ["8301820203820405", [1, [2, 3], [4, 5]]],
    ["a0", new Map()],
    [
      "a201020304",
      new Map([
        [1, 2],
        [3, 4],
      ]),
    ],
    [
      "a26161016162820203",
      new Map<string, unknown>([
        ["a", 1],
        ["b", [2, 3]],
      ]),
    ],
    ["c11a514b67b0", { tag: 1, value: 1_363_896_240 }],
    ["1b001ffffffffffffe", Number.MAX_SAFE_INTEGER - 1],
    ["3b001ffffffffffffe", -Number.MAX_SAFE_INTEGER],
  ])("%s", (hex, value) => {
    expect(read(hex)).toEqual(value);
  });

  test("with map keys that are names of JavaScript's own", () => {
    const map = read("a1695f5f70726f746f5f5f01");
    expect(map).toEqual(new Map([["__proto__", 1]]));
  });

  test("as the writer writes it", () => {
    expect(toHex(concatBytes(cborArrayHead(2), cborText("ü"), cborBytes(Uint8Array.of(1))))).toBe("8262c3bc4101");
    for (const length of [0, 23, 24, 255, 256, 65_535, 65_536]) {
      expect(parseCbor(cborBytes(new Uint8Array(length)))).toEqual(new Uint8Array(length));
    }
  });

  test("and what was written comes back, whatever it is", () => {
    const { value } = fc.letrec<{ value: HeaderValue }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 4 },
        fc.integer({ min: -(2 ** 45), max: 2 ** 45 }),
        fc.string({ unit: "grapheme" }),
        fc.boolean(),
        fc.constant(null),
        fc.uint8Array({ maxLength: 40 }),
        fc.array(tie("value") as fc.Arbitrary<HeaderValue>, { maxLength: 4 }),
      ),
    }));
    fc.assert(
      fc.property(value, (any) => {
        expect(parseCbor(cbor(any))).toEqual(any);
      }),
    );
  });
});

describe("CBOR is refused", () => {
  test.each([
    ["nothing", ""],
    ["a number longer than need be, 1", "1817"],
    ["a number longer than need be, 2", "1900ff"],
    ["a number longer than need be, 3", "1a0000ffff"],
    ["a number longer than need be, 4", "1b00000000ffffffff"],
    ["a number beyond 2^53-1", "1bffffffffffffffff"],
    ["a length longer than need be", "580101"],
    ["a length beyond the end", "42ff"],
    ["a length far beyond the end", "5b001ffffffffffffe"],
    ["an array cut off", "8201"],
    ["a map cut off", "a201"],
    ["bytes of indefinite length", "5f42010243030405ff"],
    ["text of indefinite length", "7f657374726561646d696e67ff"],
    ["an array of indefinite length", "9fff"],
    ["a map of indefinite length", "bfff"],
    ["a break alone", "ff"],
    ["a reserved length", "1c"],
    ["a repeated key", "a201020103"],
    ["a repeated key of text", "a2616101616102"],
    ["a key that is bytes", "a1410001"],
    ["a key that is an array", "a1800001"],
    ["half a number", "f93c00"],
    ["a single", "fa47c35000"],
    ["a double", "fb3ff199999999999a"],
    ["a simple value of no meaning", "f0"],
    ["a simple value of two bytes", "f818"],
    ["text that is not UTF-8", "61ff"],
    ["something after the value", "0000"],
    ["a tag without value", "c1"],
  ])("%s", (_, hex) => {
    expect(() => read(hex)).toThrow(code("cbor-invalid"));
  });

  test("beyond its limits, before anything is made of it", () => {
    const deep = (levels: number): Uint8Array => Uint8Array.from([...Array<number>(levels).fill(0x81), 0x00]);
    expect(() => parseCbor(deep(LIMITS.cborDepth))).not.toThrow();
    expect(() => parseCbor(deep(LIMITS.cborDepth + 1))).toThrow(code("too-large"));
    expect(() => parseCbor(cbor(Array<number>(LIMITS.cborValues).fill(0)))).toThrow(code("too-large"));
    expect(() => parseCbor(new Uint8Array(LIMITS.notationBytes + 1))).toThrow(code("too-large"));
    // A head that claims 2^53 elements costs nothing.
    const started = performance.now();
    expect(() => read("9b001ffffffffffffe")).toThrow(code("cbor-invalid"));
    expect(performance.now() - started).toBeLessThan(1_000);
  });
});
