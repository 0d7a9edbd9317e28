import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { nodeCrypto, PrivateKey } from "../node/index.ts";
import {
  EVIDENCE_ERRORS,
  EvidenceError,
  digestHex,
  digestOf,
  formatReference,
  fromBase64,
  fromHex,
  isDigest,
  nobleCrypto,
  parseDigest,
  parseReference,
  recordCommitment,
  toBase64,
  toHex,
  utf8Decode,
  utf8Encode,
  webCrypto,
} from "../src/index.ts";
import { code } from "./failure.ts";
import { keyOf } from "./virtual.ts";

describe("hex and base64", () => {
  test("agree with Buffer, both ways", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(toHex(bytes)).toBe(Buffer.from(bytes).toString("hex"));
        expect(toBase64(bytes)).toBe(Buffer.from(bytes).toString("base64"));
        expect(fromHex(toHex(bytes))).toEqual(bytes);
        expect(fromBase64(toBase64(bytes))).toEqual(bytes);
      }),
    );
  });

  test("base64 has one spelling: whatever decodes is what would be written", () => {
    const characters = fc.constantFrom(..."ABCDwxyz0189+/=-_ \n".split(""));
    fc.assert(
      fc.property(fc.string({ unit: characters, maxLength: 12 }), (text) => {
        const decoded = (): Uint8Array | undefined => {
          try {
            return fromBase64(text);
          } catch (error) {
            if (!(error instanceof EvidenceError)) throw error;
            return undefined;
          }
        };
        const bytes = decoded();
        expect(bytes === undefined || toBase64(bytes) === text).toBe(true);
      }),
      { numRuns: 3000 },
    );
  });

  test.each([
    "A",
    "AA",
    "AAA",
    "AB==",
    "AAB=",
    "====",
    "=AAA",
    "A===",
    "AA=A",
    "AAAA\n",
    " AAAA",
    "AA A",
    "A-_A",
    "AAAA====",
    "\u0141AAA",
  ])("refuses base64 %j", (text) => {
    expect(() => fromBase64(text)).toThrow(code("encoding-invalid"));
  });

  test.each(["0", "AB", "0g", "0x", "  ", "\u06610"])("refuses hex %j", (text) => {
    expect(() => fromHex(text)).toThrow(code("encoding-invalid"));
  });

  test("text is UTF-8, without loss", () => {
    expect(utf8Decode(utf8Encode("\ufeffa\u{1f600}"))).toBe("\ufeffa\u{1f600}");
    expect(() => utf8Encode("\udc00")).toThrow(code("encoding-invalid"));
    expect(() => utf8Decode(Uint8Array.of(0xed, 0xa0, 0x80))).toThrow(code("encoding-invalid"));
  });
});

describe("digests", () => {
  const abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

  test.each([nodeCrypto, nobleCrypto, webCrypto])("are the same through every crypto port", (crypto) => {
    const digest = digestOf(crypto, utf8Encode("abc"));
    expect(digest).toBe(abc);
    expect(digestHex(digest)).toBe(abc.slice(7));
    expect(crypto.sha256(utf8Encode("abc")).constructor).toBe(Uint8Array);
  });

  test.each([
    "",
    "sha256:",
    abc.toUpperCase(),
    abc.slice(0, -1),
    `${abc}0`,
    `${abc}\n`,
    abc.replace("sha256", "sha512"),
    abc.slice(7),
  ])("%j is none", (text) => {
    expect(isDigest(text)).toBe(false);
    expect(() => parseDigest(text)).toThrow(code("digest-invalid"));
  });

  test("the record's commitment binds salt and event", () => {
    const salt = new Uint8Array(32).fill(7);
    const commitment = recordCommitment(nodeCrypto, salt, utf8Encode("event"));
    const expected = nodeCrypto.sha256(Buffer.concat([Buffer.from("assay/record/v1\n"), salt, Buffer.from("event")]));
    expect(commitment).toEqual(expected);
    expect(() => recordCommitment(nodeCrypto, salt.subarray(1), utf8Encode("event"))).toThrow(code("receipt-invalid"));
  });
});

describe("references", () => {
  const digest = `sha256:${"0".repeat(64)}`;
  test.each([
    ["app", { repository: "app" }],
    ["acme/app:1.2", { repository: "acme/app", tag: "1.2" }],
    ["localhost/app", { host: "localhost", repository: "app" }],
    ["127.0.0.1:8400/acme/app:v1", { host: "127.0.0.1:8400", repository: "acme/app", tag: "v1" }],
    ["[::1]:8400/app", { host: "[::1]:8400", repository: "app" }],
    [`registry.example/a/b/c@${digest}`, { host: "registry.example", repository: "a/b/c", digest }],
    [`r.io/a:t@${digest}`, { host: "r.io", repository: "a", tag: "t", digest }],
  ])("%s", (text, parts) => {
    const reference = parseReference(text);
    expect(reference).toEqual({ host: undefined, tag: undefined, digest: undefined, ...parts });
    expect(formatReference(reference)).toBe(text);
  });

  test.each([
    "",
    "/",
    "a//b",
    "a/",
    "/a",
    "A/b",
    "a:",
    "a:b:c",
    "a@",
    "a@sha256:00",
    `a@sha512:${"0".repeat(128)}`,
    `a@${digest}@${digest}`,
    "r.io/",
    "-r.io/a",
    "a b",
    "a..b",
    "a___b",
    `a:${"t".repeat(129)}`,
    "a".repeat(256),
    "r.io:port/a",
    "a\n",
  ])("refuses %j", (text) => {
    expect(() => parseReference(text)).toThrow(code("reference-invalid"));
  });
});

test("every error says what to do", () => {
  for (const [name, hint] of Object.entries(EVIDENCE_ERRORS)) {
    expect(name).toMatch(/^[a-z0-9-]+$/);
    expect(hint).toMatch(/^[A-Z].*\.$/);
  }
  const cause = new Error("inner");
  const error = new EvidenceError("json-invalid", "Outer.", { cause });
  expect([error.name, error.code, error.hint, error.cause]).toEqual([
    "EvidenceError",
    "json-invalid",
    EVIDENCE_ERRORS["json-invalid"],
    cause,
  ]);
});

test("private keys do not show themselves", () => {
  const key = keyOf("secret");
  expect(key).toBeInstanceOf(PrivateKey);
  expect(JSON.stringify(key)).toBe(JSON.stringify({ algorithm: key.algorithm, keyId: key.publicKey.keyId }));
});
