import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { canonicalJson, EvidenceError, type JsonValue, parseJson, utf8Encode } from "../src/index.ts";
import { code } from "./failure.ts";

const limits = { maxBytes: 1000, maxDepth: 4 };

describe("parseJson", () => {
  test("agrees with JSON.parse on every document", () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 5 }), (text) => {
        fc.pre(!text.includes("__proto__") && text.isWellFormed() && !/\\ud[89a-f]/i.test(text));
        expect(parseJson(text)).toEqual(JSON.parse(text));
        expect(parseJson(utf8Encode(JSON.stringify(JSON.parse(text), null, 2)))).toEqual(JSON.parse(text));
      }),
    );
  });

  test("refuses whatever JSON.parse refuses", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(...'{}[]":,0123.eE+-truefalsn \\u/\n\t\u0001\u00e9'.split("")) }),
        (text) => {
          const refusedBy = (parse: (text: string) => unknown): boolean => {
            try {
              parse(text);
              return false;
            } catch (error) {
              if (!(error instanceof SyntaxError || error instanceof EvidenceError)) throw error;
              return true;
            }
          };
          // Ours refuses more (repeated members, lone surrogates), never less.
          expect(!refusedBy(JSON.parse) || refusedBy(parseJson)).toBe(true);
        },
      ),
      { numRuns: 3000 },
    );
  });

  test.each([
    "",
    " ",
    "{",
    "[1,]",
    '{"a":1,}',
    "01",
    "1.",
    ".5",
    "+1",
    "- 1",
    "1e",
    "NaN",
    "'a'",
    "[1 2]",
    "tru",
    '"\t"',
    '"\\x"',
    '"\\u12"',
    "1 1",
    "\ufeff1",
    "/**/1",
    '"a',
    '"\\',
    "\u00a01",
  ])("refuses %j", (text) => {
    expect(() => parseJson(text)).toThrow(code("json-invalid"));
  });

  test("refuses a member written twice, also when one is escaped", () => {
    expect(() => parseJson('{"a":1,"b":{"a":2},"a":3}')).toThrow(code("json-duplicate-key"));
    expect(() => parseJson('{"a":1,"\\u0061":2}')).toThrow(code("json-duplicate-key"));
    expect(parseJson('{"a":1,"b":{"a":2}}')).toEqual({ a: 1, b: { a: 2 } });
  });

  test("refuses members named __proto__ and gives objects without a prototype", () => {
    expect(() => parseJson('{"__proto__":{"admin":true}}')).toThrow(code("json-invalid"));
    expect(() => parseJson('{"\\u005f_proto__":1}')).toThrow(code("json-invalid"));
    const object = parseJson('{"a":1}');
    expect(Object.getPrototypeOf(object)).toBeNull();
    expect(parseJson('{"constructor":1,"toString":2,"hasOwnProperty":3}')).toEqual({
      constructor: 1,
      toString: 2,
      hasOwnProperty: 3,
    });
  });

  test("refuses numbers beyond a double and lone surrogates", () => {
    expect(() => parseJson("1e999")).toThrow(code("json-invalid"));
    expect(() => parseJson('"\\ud800"')).toThrow(code("json-invalid"));
    expect(parseJson('"\\ud83d\\ude00"')).toBe("\u{1f600}");
  });

  test("refuses invalid UTF-8", () => {
    expect(() => parseJson(Uint8Array.of(0x22, 0xff, 0x22))).toThrow(code("encoding-invalid"));
    expect(() => parseJson(Uint8Array.of(0x22, 0xc0, 0x80, 0x22))).toThrow(code("encoding-invalid"));
    expect(() => parseJson(Uint8Array.of(0xef, 0xbb, 0xbf, 0x31))).toThrow(code("json-invalid"));
  });

  test("holds its limits exactly", () => {
    expect(parseJson("[[[[]]]]", limits)).toEqual([[[[]]]]);
    expect(() => parseJson("[[[[[]]]]]", limits)).toThrow(code("json-too-deep"));
    expect(() => parseJson(`{"a":`.repeat(100_000), { maxBytes: 1e6, maxDepth: 64 })).toThrow(code("json-too-deep"));
    expect(parseJson(`"${"a".repeat(998)}"`, limits)).toHaveLength(998);
    expect(() => parseJson(`"${"a".repeat(999)}"`, limits)).toThrow(code("too-large"));
    expect(() => parseJson(`"${"\u00e9".repeat(500)}"`, limits)).toThrow(code("too-large"));
  });
});

describe("canonicalJson", () => {
  test("is the example of RFC 8785 §3.2.3", () => {
    const value = parseJson(
      '{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],' +
        '"string":"\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/","literals":[null,true,false]}',
    );
    expect(canonicalJson(value)).toBe(
      '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    );
  });

  test("sorts by UTF-16 code units: RFC 8785 §3.2.3's second example", () => {
    const value = { "\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\u{1f600}": 5, "\u0080": 6, "\u00f6": 7 };
    expect(canonicalJson(value)).toBe('{"\\r":2,"1":4,"\u0080":6,"\u00f6":7,"\u20ac":1,"\u{1f600}":5,"\ufb33":3}');
  });

  test("does not depend on the order of members, and is a fixed point", () => {
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.string().filter((key) => key !== "__proto__"),
          fc.jsonValue() as fc.Arbitrary<JsonValue>,
        ),
        (object) => {
          const text = canonicalJson(object);
          expect(canonicalJson(Object.fromEntries(Object.entries(object).reverse()))).toBe(text);
          fc.pre(!text.includes("__proto__"));
          expect(canonicalJson(parseJson(text))).toBe(text);
        },
      ),
    );
  });

  test.each([
    ["NaN", Number.NaN],
    ["infinity", Number.POSITIVE_INFINITY],
    ["a lone surrogate", "\ud800"],
    ["undefined", undefined],
    ["undefined in an array", [undefined]],
    ["undefined in an object", { a: undefined }],
    ["a date", new Date(0)],
    ["a bigint", 1n],
    ["a hole", Array.from({ length: 2 })],
  ])("refuses %s", (_, value) => {
    expect(() => canonicalJson(value as JsonValue)).toThrow(code("json-uncanonical"));
  });

  test("refuses circular and bottomless values", () => {
    const circle: JsonValue[] = [];
    circle.push(circle);
    expect(() => canonicalJson(circle)).toThrow(code("json-too-deep"));
  });

  test("writes negative zero as zero", () => {
    expect(canonicalJson(-0)).toBe("0");
  });
});
