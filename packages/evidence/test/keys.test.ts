import { generateKeyPairSync } from "node:crypto";
import { describe, expect, test } from "vitest";
import { privateKeyFromPem, privateKeyFromPkcs8 } from "../node/index.ts";
import {
  concatBytes,
  ed25519FromRaw,
  formatPublicKeyPem,
  fromHex,
  keyHint,
  parsePublicKeyPem,
  parseSpki,
  toBase64,
  toHex,
} from "../src/index.ts";
import { derValue } from "../src/der.ts";
import { code } from "./failure.ts";
import { keyOf } from "./virtual.ts";

const p256 = keyOf("keys").publicKey;
const pem = formatPublicKeyPem(p256);
const swap = (text: string, from: string, to: string): Uint8Array => {
  expect(text).toContain(from);
  return fromHex(text.replace(from, to));
};
const hex = toHex(p256.spki);
const point = p256.spki.slice(-65);

test.each(["ecdsa-p256-sha256", "ecdsa-p384-sha384", "ecdsa-p521-sha512", "rsa-pkcs1-sha256", "ed25519"] as const)(
  "a public key of %s survives PEM and names itself by its SPKI's hash",
  (algorithm) => {
    const key = keyOf("keys", algorithm).publicKey;
    const read = parsePublicKeyPem(formatPublicKeyPem(key));
    expect(read.algorithm).toBe(algorithm);
    expect(read.spki).toEqual(key.spki);
    expect(read.keyId).toMatch(/^[0-9a-f]{64}$/);
    expect(keyHint(read)).toBe(toBase64(fromHex(read.keyId)));
  },
);

test("white space around a PEM text and CRLF within are no matter", () => {
  expect(parsePublicKeyPem(`\n ${pem.replaceAll("\n", "\r\n")} \n`).keyId).toBe(p256.keyId);
});

describe("PEM texts are refused", () => {
  test.each([
    ["nothing", ""],
    ["a private key", keyOf("keys").toPem()],
    ["two blocks", pem + pem],
    ["text before it", `key:\n${pem}`],
    ["differing labels", pem.replace("END PUBLIC", "END PRIVATE")],
    ["no base64", pem.replace("M", "*")],
    ["spaces in the base64", pem.replace("MFk", "M Fk")],
    ["headers", pem.replace("KEY-----\n", "KEY-----\nProc-Type: 4\n\n")],
    ["a bit too many", pem.replace("==\n", "=\n")],
  ])("with %s", (_, text) => {
    expect(() => parsePublicKeyPem(text)).toThrow(code("key-invalid"));
  });

  test("beyond any key's length", () => {
    expect(() => parsePublicKeyPem(pem.replace("M", "M".repeat(20_000)))).toThrow(code("too-large"));
  });
});

describe("SPKI is refused", () => {
  const compressed = (): Uint8Array => {
    const bits = concatBytes(Uint8Array.of(0, 2 + ((point[64] ?? 0) & 1)), point.subarray(1, 33));
    return derValue(0x30, p256.spki.subarray(2, 23), derValue(0x03, bits));
  };
  test.each<[string, () => Uint8Array]>([
    ["with a byte after it", () => concatBytes(p256.spki, Uint8Array.of(0))],
    ["cut off", () => p256.spki.subarray(0, -1)],
    ["empty", () => new Uint8Array()],
    [
      "with a length in BER's long form",
      () => concatBytes(Uint8Array.of(0x30, 0x81, p256.spki[1] ?? 0), p256.spki.subarray(2)),
    ],
    [
      "with an indefinite length",
      () => concatBytes(Uint8Array.of(0x30, 0x80), p256.spki.subarray(2), Uint8Array.of(0, 0)),
    ],
    ["with unused bits", () => swap(hex, "034200", "034201")],
    ["with a compressed point", compressed],
    ["with a hybrid point", () => swap(hex, "03420004", "03420006")],
    ["with a point off its curve", () => p256.spki.with(-1, (p256.spki.at(-1) ?? 0) ^ 1)],
    ["with the point at infinity", () => derValue(0x30, p256.spki.subarray(2, 23), fromHex("03020000"))],
    [
      "with a coordinate beyond the field",
      () => concatBytes(p256.spki.subarray(0, 27), fromHex("ff".repeat(32)), p256.spki.subarray(59)),
    ],
    [
      "with a P-256 point under P-384's name",
      () =>
        derValue(
          0x30,
          derValue(0x30, fromHex("06072a8648ce3d0201"), fromHex("06052b81040022")),
          p256.spki.subarray(23),
        ),
    ],
    [
      "with explicit curve parameters",
      () => derValue(0x30, derValue(0x30, fromHex("06072a8648ce3d0201"), fromHex("3000")), p256.spki.subarray(23)),
    ],
  ])("%s", (_, make) => {
    expect(() => parseSpki(make())).toThrow(code("key-invalid"));
  });

  test("on curves and of kinds that are not supported", () => {
    for (const { publicKey } of [
      generateKeyPairSync("ec", { namedCurve: "secp256k1" }),
      generateKeyPairSync("ed448"),
      generateKeyPairSync("x25519"),
      generateKeyPairSync("rsa", { modulusLength: 1024 }),
      generateKeyPairSync("rsa-pss", { modulusLength: 2048 }),
    ]) {
      expect(() => parseSpki(publicKey.export({ format: "der", type: "spki" }))).toThrow(code("key-unsupported"));
    }
  });
});

describe("RSA keys", () => {
  const integer = (bytes: Uint8Array): Uint8Array =>
    derValue(0x02, (bytes[0] ?? 0) >= 0x80 ? concatBytes(Uint8Array.of(0), bytes) : bytes);
  const rsa = (modulus: Uint8Array, exponent: Uint8Array, parameters = "0500"): Uint8Array =>
    derValue(
      0x30,
      derValue(0x30, fromHex("06092a864886f70d010101"), fromHex(parameters)),
      derValue(0x03, Uint8Array.of(0), derValue(0x30, integer(modulus), integer(exponent))),
    );
  const odd = (bits: number): Uint8Array => {
    const bytes = new Uint8Array(Math.ceil(bits / 8)).fill(0xff);
    bytes[0] = 2 ** (((bits - 1) % 8) + 1) - 1;
    return bytes;
  };
  const e = fromHex("010001");

  test("have 2048 to 4096 bits", () => {
    for (const bits of [2048, 2049, 3072, 4096])
      expect(parseSpki(rsa(odd(bits), e)).algorithm).toBe("rsa-pkcs1-sha256");
    for (const bits of [1024, 2047, 4097, 8192])
      expect(() => parseSpki(rsa(odd(bits), e))).toThrow(/^The (RSA key has|public key is too long)/);
  });

  test("have an odd modulus, an odd exponent above 2 and of 32 bits, and NULL parameters", () => {
    const n = odd(2048);
    for (const exponent of ["03", "010001", "7fffffff", "ffffffff"])
      expect(parseSpki(rsa(n, fromHex(exponent)))).toBeDefined();
    for (const exponent of ["00", "01", "02", "010000"])
      expect(() => parseSpki(rsa(n, fromHex(exponent)))).toThrow(code("key-invalid"));
    expect(() => parseSpki(rsa(n, fromHex("0100000001")))).toThrow(code("key-unsupported"));
    expect(() => parseSpki(rsa(n.with(-1, 0xfe), e))).toThrow(code("key-invalid"));
    expect(() => parseSpki(rsa(n, e, ""))).toThrow(code("key-invalid"));
    expect(() => parseSpki(rsa(n, e, "050100"))).toThrow(code("key-invalid"));
    expect(() => parseSpki(rsa(concatBytes(Uint8Array.of(0, 0), n), e))).toThrow(code("key-invalid"));
  });
});

describe("Ed25519 keys are refused", () => {
  // The eight points of small order, then encodings beyond the field prime (2^255-19) of points that exist.
  test.each([
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "0200000000000000000000000000000000000000000000000000000000000000",
  ])("%s", (raw) => {
    expect(() => ed25519FromRaw(fromHex(raw))).toThrow(code("key-invalid"));
  });

  test("of another length", () => {
    expect(() => ed25519FromRaw(new Uint8Array(31))).toThrow(code("key-invalid"));
  });
});

describe("private keys", () => {
  test("are read from PEM and PKCS #8", () => {
    const key = keyOf("keys", "ecdsa-p384-sha384");
    expect(privateKeyFromPem(key.toPem()).publicKey.keyId).toBe(key.publicKey.keyId);
    expect(privateKeyFromPkcs8(key.toPkcs8()).publicKey.keyId).toBe(key.publicKey.keyId);
  });

  test("that cannot be read are refused", () => {
    expect(() => privateKeyFromPem("nothing")).toThrow(code("private-key-invalid"));
    expect(() => privateKeyFromPkcs8(new Uint8Array(3))).toThrow(code("private-key-invalid"));
    const weak = generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey.export({
      format: "pem",
      type: "pkcs8",
    });
    expect(() => privateKeyFromPem(weak.toString())).toThrow(code("key-unsupported"));
  });
});
