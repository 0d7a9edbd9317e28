/** What values of strict DER mean, and which are refused. */
import { describe, expect, test } from "vitest";
import { fromHex, utf8Encode } from "../src/index.ts";
import {
  bitNumbers,
  booleanValue,
  oidText,
  smallNumber,
  stringValue,
  TAG_BMP_STRING,
  TAG_GENERALIZED_TIME,
  TAG_IA5_STRING,
  TAG_NUMERIC_STRING,
  TAG_PRINTABLE_STRING,
  TAG_TELETEX_STRING,
  TAG_UNIVERSAL_STRING,
  TAG_UTC_TIME,
  TAG_UTF8_STRING,
  timeValue,
} from "../src/asn1.ts";
import { contextTag, DerReader, derValue } from "../src/der.ts";
import { readSignatureAlgorithm } from "../src/signature-algorithm.ts";
import { code } from "./failure.ts";
import { keyOf } from "./virtual.ts";
import { algorithmOf, integer, oid, oidBytes, sequence } from "./virtual-ca.ts";

const REFUSED = code("der-invalid");

describe("values in values", () => {
  test("are read with any tag, and in place", () => {
    const reader = new DerReader(fromHex("0201058001ff"));
    expect(reader.tag).toBe(0x02);
    expect(reader.optional(0x04)).toBeUndefined();
    expect(reader.next()).toEqual({ tag: 2, contents: fromHex("05"), encoded: fromHex("020105") });
    expect(reader.optional(contextTag(0, false))).toEqual(fromHex("ff"));
    expect(reader.tag).toBeUndefined();
    expect(() => reader.next()).toThrow(REFUSED);
  });

  test.each(["0000", "1f8100", "bf2000", "3080", "308100", "30820000", "0281", "028101", "0202ff"])(
    "are refused as %s",
    (hex) => {
      expect(() => new DerReader(fromHex(hex)).next()).toThrow(REFUSED);
    },
  );

  test("are refused beyond a depth", () => {
    let nested = sequence();
    for (let i = 0; i < 40; i++) nested = sequence(nested);
    expect(() => {
      let reader = new DerReader(nested);
      for (let i = 0; i < 40; i++) reader = reader.sequence();
    }).toThrow(REFUSED);
  });
});

describe("object identifiers", () => {
  test.each(["1.2.840.113549.1.1.11", "2.5.29.15", "2.999.3", "0.9.2342.19200300.100.1.25", "1.3.6.1.4.1.57264.1.8"])(
    "%s",
    (text) => {
      expect(oidText(oidBytes(text))).toBe(text);
    },
  );
  test("with an arc larger than a double holds", () => {
    expect(oidText(fromHex("6983dbd3eaa5c7b9d6a3c2e1b0f87f"))).toMatch(/^2\.25\.\d{20,}$/);
  });
  test.each(["", "2a80", "2a8001", "80", `2a${"01".repeat(64)}`])("are refused as %s", (hex) => {
    expect(() => oidText(fromHex(hex))).toThrow(REFUSED);
  });
});

describe("times", () => {
  const utc = (text: string) => timeValue(TAG_UTC_TIME, utf8Encode(text));
  const general = (text: string, options = {}) => timeValue(TAG_GENERALIZED_TIME, utf8Encode(text), options);

  test("are read in UTC, two-digit years between 1950 and 2049", () => {
    expect(utc("260228120000Z")).toBe(Date.parse("2026-02-28T12:00:00Z"));
    expect(utc("500101000000Z")).toBe(Date.parse("1950-01-01T00:00:00Z"));
    expect(utc("491231235959Z")).toBe(Date.parse("2049-12-31T23:59:59Z"));
    expect(general("20240229000000Z")).toBe(Date.parse("2024-02-29T00:00:00Z"));
    expect(general("99991231235959Z")).toBe(Date.parse("9999-12-31T23:59:59Z"));
  });

  test("have fractions only where those are asked for, cut off below a millisecond", () => {
    expect(general("20260101000000.1239Z", { fraction: true })).toBe(Date.parse("2026-01-01T00:00:00.123Z"));
    expect(general("20260101000000.5Z", { fraction: true })).toBe(Date.parse("2026-01-01T00:00:00.500Z"));
    expect(() => general("20260101000000.5Z")).toThrow(REFUSED);
    expect(() => general("20260101000000.50Z", { fraction: true })).toThrow(REFUSED);
    expect(() => general("20260101000000.Z", { fraction: true })).toThrow(REFUSED);
  });

  test.each([
    "2602281200Z",
    "260228120000",
    "260228120000+0000",
    "260230120000Z",
    "260228240000Z",
    "260228120060Z",
    "x",
  ])("are refused as %s", (text) => {
    expect(() => utc(text)).toThrow(REFUSED);
  });
  test("are refused under another tag, and when none of the calendar", () => {
    expect(() => timeValue(0x02, utf8Encode("260228120000Z"))).toThrow(REFUSED);
    expect(() => general("20230229000000Z")).toThrow(REFUSED);
    expect(() => general("260228120000Z")).toThrow(REFUSED);
  });
});

describe("texts", () => {
  test("are read by their type", () => {
    expect(stringValue(TAG_UTF8_STRING, utf8Encode("J\u00fcrgen"))).toBe("J\u00fcrgen");
    expect(stringValue(TAG_PRINTABLE_STRING, utf8Encode("Acme, Inc. (a) *@&_"))).toBe("Acme, Inc. (a) *@&_");
    expect(stringValue(TAG_NUMERIC_STRING, utf8Encode("1 2"))).toBe("1 2");
    expect(stringValue(TAG_IA5_STRING, utf8Encode("a@example.com"))).toBe("a@example.com");
    expect(stringValue(TAG_BMP_STRING, fromHex("004100fc"))).toBe("A\u00fc");
    expect(stringValue(TAG_UNIVERSAL_STRING, fromHex("0001f600"))).toBe("\u{1f600}");
    expect(stringValue(TAG_TELETEX_STRING, fromHex("41fc"))).toBeUndefined();
  });

  test.each([
    [TAG_UTF8_STRING, "ff", "encoding-invalid"],
    [TAG_UTF8_STRING, "4100", "der-invalid"],
    [TAG_UTF8_STRING, "c285", "der-invalid"],
    [TAG_PRINTABLE_STRING, "3c", "der-invalid"],
    [TAG_NUMERIC_STRING, "41", "der-invalid"],
    [TAG_IA5_STRING, "c3bc", "der-invalid"],
    [TAG_IA5_STRING, "0a", "der-invalid"],
    [TAG_BMP_STRING, "0041d8", "der-invalid"],
    [TAG_BMP_STRING, "d800", "der-invalid"],
    [TAG_UNIVERSAL_STRING, "00110000", "der-invalid"],
    [0x04, "41", "der-invalid"],
  ] as const)("of type %i are refused as %s", (tag, hex, failure) => {
    expect(() => stringValue(tag, fromHex(hex))).toThrow(code(failure));
  });
});

test("truth, flags and numbers have one form each", () => {
  expect([booleanValue(fromHex("ff")), booleanValue(fromHex("00"))]).toEqual([true, false]);
  for (const hex of ["", "01", "ffff"]) expect(() => booleanValue(fromHex(hex))).toThrow(REFUSED);
  expect(bitNumbers(fromHex("0106"))).toEqual([5, 6]);
  expect(bitNumbers(fromHex("070080"))).toEqual([8]);
  expect(bitNumbers(fromHex("00"))).toEqual([]);
  for (const hex of ["", "01", "0880", "0181", "000000000001"]) expect(() => bitNumbers(fromHex(hex))).toThrow(REFUSED);
  expect(smallNumber(fromHex("0102"))).toBe(258);
  expect(() => smallNumber(new Uint8Array(7).fill(1))).toThrow(REFUSED);
});

describe("signature algorithms", () => {
  const rsa = keyOf("chain", "rsa-pkcs1-sha256");
  const hash = (dotted: string): Uint8Array => sequence(oid(dotted));
  const pss = (...fields: Uint8Array[]): Uint8Array => sequence(oid("1.2.840.113549.1.1.10"), sequence(...fields));
  const field = (number: number, value: Uint8Array): Uint8Array => derValue(contextTag(number, true), value);
  const mgf = (dotted: string): Uint8Array => sequence(oid("1.2.840.113549.1.1.8"), hash(dotted));
  const SHA256 = "2.16.840.1.101.3.4.2.1";
  const SHA384 = "2.16.840.1.101.3.4.2.2";
  const SHA1 = "1.3.14.3.2.26";

  test.each<[string, Uint8Array, string]>([
    ["ECDSA", algorithmOf(keyOf("chain"), "sha384"), "ecdsa-sha384"],
    ["RSA", algorithmOf(rsa, "sha512"), "rsa-pkcs1-sha512"],
    ["PSS", algorithmOf(rsa, "pss-sha256"), "rsa-pss-sha256"],
    [
      "PSS with absent hash parameters",
      pss(field(0, hash(SHA384)), field(1, mgf(SHA384)), field(2, integer(48))),
      "rsa-pss-sha384",
    ],
    ["Ed25519", algorithmOf(keyOf("chain", "ed25519"), "sha256"), "ed25519"],
    ["ECDSA over SHA-1", algorithmOf(keyOf("chain"), "sha1"), "weak"],
    ["RSA over SHA-1", algorithmOf(rsa, "sha1"), "weak"],
    ["RSA over MD5", sequence(oid("1.2.840.113549.1.1.4"), derValue(5)), "weak"],
    ["PSS of defaults, which are SHA-1", pss(), "weak"],
    ["PSS over SHA-1", pss(field(0, hash(SHA1)), field(1, mgf(SHA1)), field(2, integer(20))), "weak"],
    ["PSS without parameters", sequence(oid("1.2.840.113549.1.1.10")), "unsupported"],
    ["PSS with another salt", pss(field(0, hash(SHA256)), field(1, mgf(SHA256)), field(2, integer(20))), "unsupported"],
    ["PSS with the salt left out", pss(field(0, hash(SHA256)), field(1, mgf(SHA256))), "unsupported"],
    ["PSS with two hashes", pss(field(0, hash(SHA256)), field(1, mgf(SHA384)), field(2, integer(32))), "unsupported"],
    [
      "PSS with another trailer",
      pss(field(0, hash(SHA256)), field(1, mgf(SHA256)), field(2, integer(32)), field(3, integer(2))),
      "unsupported",
    ],
    ["ECDSA with parameters", sequence(oid("1.2.840.10045.4.3.2"), derValue(5)), "unsupported"],
    ["RSA without its NULL", sequence(oid("1.2.840.113549.1.1.11")), "unsupported"],
    ["DSA", sequence(oid("2.16.840.1.101.3.4.3.2")), "unsupported"],
  ])("%s", (_, encoded, answer) => {
    const algorithm = readSignatureAlgorithm(encoded);
    expect(algorithm.kind === "scheme" ? algorithm.scheme : algorithm.kind).toBe(answer);
  });

  test("are refused when malformed", () => {
    expect(() => readSignatureAlgorithm(sequence(oid("1.2.3"), derValue(5), derValue(5)))).toThrow(REFUSED);
    expect(() => readSignatureAlgorithm(pss(field(1, mgf(SHA256)), field(0, hash(SHA256))))).toThrow(REFUSED);
  });
});
