/**
 * What every crypto port must accept and refuse, alike. The cases are the kinds that are known to divide libraries: forms of
 * DER, ranges, malleability, small and mixed order, padding. Each is made here, so that it can be read.
 */
import { constants, createPrivateKey, generateKeyPairSync, privateEncrypt, sign as nodeSign } from "node:crypto";
import { ed25519 } from "@noble/curves/ed25519.js";
import { sha512 } from "@noble/hashes/sha2.js";
import { describe, expect, test } from "vitest";
import { nodeCrypto, type PrivateKey } from "../node/index.ts";
import {
  type Crypto,
  concatBytes,
  ecdsaToDer,
  ed25519FromRaw,
  fromHex,
  nobleCrypto,
  type PublicKey,
  parseSpki,
  utf8Encode,
  webCrypto,
} from "../src/index.ts";
import { derValue } from "../src/der.ts";
import { EC_CURVES } from "../src/keys.ts";
import { verifyMessageHash } from "../src/noblecrypto.ts";
import { ownScheme } from "../src/scheme.ts";
import { decodeSignature, fromBigInt, toBigInt } from "../src/signature.ts";
import { passingBy } from "./passing-by.ts";
import { recorded } from "./recorded.ts";
import { keyOf } from "./virtual.ts";

const ports: [string, Crypto][] = [
  ["node", recorded(nodeCrypto)],
  ["web", webCrypto],
  ["noble", nobleCrypto],
];
const message = utf8Encode("what was signed");

async function expectAll(key: PublicKey, signature: Uint8Array, data: Uint8Array, accepted: boolean): Promise<void> {
  for (const [name, port] of ports) expect([name, await port.verify(key, signature, data)]).toEqual([name, accepted]);
  expect(new Set(passingBy(key, ownScheme(key.algorithm), signature, data))).toEqual(new Set([accepted]));
  // From the digest alone the answer is the same, for the keys that sign a SHA-256 digest; for others it is none.
  const signsSha256 = key.algorithm === "ecdsa-p256-sha256" || key.algorithm === "rsa-pkcs1-sha256";
  const fromDigest = verifyMessageHash(key, ownScheme(key.algorithm), signature, nodeCrypto.sha256(data));
  expect(["digest", fromDigest]).toEqual(["digest", signsSha256 && accepted]);
}

describe.each(["ecdsa-p256-sha256", "ecdsa-p384-sha384", "ecdsa-p521-sha512"] as const)("%s", (algorithm) => {
  const key: PrivateKey = keyOf("corpus", algorithm);
  const { bytes: width, order } = EC_CURVES[algorithm];
  const der = key.sign(message);
  const rs = decodeSignature(key.publicKey, ownScheme(algorithm), der) ?? new Uint8Array();
  const r = toBigInt(rs.subarray(0, width));
  const s = toBigInt(rs.subarray(width));
  const integer = (bytes: Uint8Array): Uint8Array => derValue(0x02, bytes);
  const unsigned = (value: bigint): Uint8Array => {
    const hex = value.toString(16);
    const bytes = fromHex(hex.padStart(hex.length + (hex.length % 2), "0"));
    return (bytes[0] ?? 0) >= 0x80 ? concatBytes(Uint8Array.of(0), bytes) : bytes;
  };
  const pair = (a: Uint8Array, b: Uint8Array, ...rest: Uint8Array[]): Uint8Array => derValue(0x30, a, b, ...rest);
  const numbers = (a: bigint, b: bigint): Uint8Array => pair(integer(unsigned(a)), integer(unsigned(b)));
  const body = concatBytes(integer(unsigned(r)), integer(unsigned(s)));

  test("accepts its signature, and the one with the other s", async () => {
    expect(numbers(r, s)).toEqual(der);
    expect(ecdsaToDer(rs)).toEqual(der);
    await expectAll(key.publicKey, der, message, true);
    await expectAll(key.publicKey, numbers(r, order - s), message, true);
  });

  test.each<[string, Uint8Array]>([
    ["r = 0", numbers(0n, s)],
    ["s = 0", numbers(r, 0n)],
    ["r = s = 0", numbers(0n, 0n)],
    ["r = n", numbers(order, s)],
    ["s = n", numbers(r, order)],
    ["r + n", numbers(r + order, s)],
    ["s + n", numbers(r, s + order)],
    ["r and s exchanged", numbers(s, r)],
    ["r negated", pair(integer(concatBytes(Uint8Array.of(0xff), unsigned(r))), integer(unsigned(s)))],
    ["a needless zero before r", pair(integer(concatBytes(Uint8Array.of(0, 0), unsigned(r))), integer(unsigned(s)))],
    ["an empty integer", pair(integer(new Uint8Array()), integer(unsigned(s)))],
    ["a third integer", pair(integer(unsigned(r)), integer(unsigned(s)), integer(Uint8Array.of(1)))],
    ["one integer only", derValue(0x30, integer(unsigned(r)))],
    ["a byte after the sequence", concatBytes(der, Uint8Array.of(0))],
    ["a length in BER's long form", concatBytes(Uint8Array.of(0x30, 0x82, 0, body.length), body)],
    ["an indefinite length", concatBytes(Uint8Array.of(0x30, 0x80), body, Uint8Array.of(0, 0))],
    ["a set instead of a sequence", der.with(0, 0x31)],
    ["raw r and s", rs],
    ["the last byte missing", der.subarray(0, -1)],
    ["nothing", new Uint8Array()],
    ["zeros", new Uint8Array(2 * width)],
    ["a long length and no more", Uint8Array.of(0x30, 0x84, 0xff, 0xff, 0xff, 0xff)],
  ])("refuses %s", async (_, signature) => {
    await expectAll(key.publicKey, signature, message, false);
  });

  test("refuses it over other data and under another key", async () => {
    await expectAll(key.publicKey, der, utf8Encode("what was not signed"), false);
    await expectAll(keyOf("corpus-other", algorithm).publicKey, der, message, false);
  });
});

describe("ed25519", () => {
  const key = keyOf("corpus", "ed25519");
  const signature = key.sign(message);
  const order = ed25519.Point.Fn.ORDER;
  const little = (value: bigint): Uint8Array => fromBigInt(value, 32).reverse();
  const s = toBigInt(signature.slice(32).reverse());
  const withS = (value: bigint): Uint8Array => concatBytes(signature.subarray(0, 32), little(value));

  // RFC 8032 §7.1, tests 1 to 3.
  test.each([
    [
      "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
      "",
      "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ],
    [
      "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
      "72",
      "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ],
    [
      "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
      "af82",
      "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ],
  ])("accepts RFC 8032's vector of key %s", async (raw, data, vector) => {
    await expectAll(ed25519FromRaw(fromHex(raw)), fromHex(vector), fromHex(data), true);
  });

  test("accepts its signature", async () => {
    await expectAll(key.publicKey, signature, message, true);
  });

  test.each<[string, Uint8Array]>([
    ["S + L", withS(s + order)],
    ["S + 2L", withS(s + 2n * order)],
    ["S = L", withS(order)],
    ["S with its highest bit set", withS(s + 2n ** 255n)],
    ["R of small order", concatBytes(little(1n), little(0n))],
    ["R with its sign changed", signature.with(31, (signature[31] ?? 0) ^ 0x80)],
    ["R not on the curve", concatBytes(little(2n), signature.subarray(32))],
    ["R not canonical", concatBytes(fromHex(`${"ee"}${"ff".repeat(30)}7f`), signature.subarray(32))],
    ["63 bytes", signature.subarray(0, 63)],
    ["65 bytes", concatBytes(signature, Uint8Array.of(0))],
    ["nothing", new Uint8Array()],
    ["zeros", new Uint8Array(64)],
  ])("refuses %s", async (_, damaged) => {
    await expectAll(key.publicKey, damaged, message, false);
  });

  test("decides a key of mixed order without the cofactor, as OpenSSL does", async () => {
    // A' = aB + T with T of order 8: [8]SB = [8](R + kA') always holds, SB = R + kA' only when 8 divides k.
    const torsion = ed25519.Point.fromHex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05");
    const mixed = ed25519.Point.BASE.multiply(12_345n).add(torsion).toBytes();
    const mixedKey = ed25519FromRaw(mixed);
    const seen = new Set<boolean>();
    for (let i = 0; seen.size < 2; i++) {
      const data = utf8Encode(`message ${i}`);
      const r = ed25519.Point.BASE.multiply(678n).toBytes();
      const k = toBigInt(sha512(concatBytes(r, mixed, data)).reverse()) % order;
      const divides = k % 8n === 0n;
      if (seen.has(divides)) continue;
      seen.add(divides);
      await expectAll(mixedKey, concatBytes(r, little((678n + k * 12_345n) % order)), data, divides);
    }
  });
});

describe("rsa-pkcs1-sha256", () => {
  const made = [
    [2048, 65537],
    [2048, 3],
    [3072, 65537],
    [4096, 65537],
  ] as const;
  test.each(made)("accepts a signature of a %i-bit key with exponent %i", async (modulusLength, publicExponent) => {
    const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength, publicExponent });
    const key = parseSpki(publicKey.export({ format: "der", type: "spki" }));
    const signature = nodeSign("sha256", message, privateKey);
    await expectAll(key, signature, message, true);
    await expectAll(key, signature, utf8Encode("other"), false);
  });

  const key = keyOf("corpus", "rsa-pkcs1-sha256");
  const privateKey = createPrivateKey(key.toPem());
  const size = 3072 / 8;
  const modulus = key.publicKey.material.kind === "rsa" ? toBigInt(key.publicKey.material.modulus) : 0n;
  const signature = key.sign(message);
  const digestInfo = fromHex("3031300d060960864801650304020105000420");
  const hash = nodeCrypto.sha256(message);
  /** The signature that decrypts to exactly this block. */
  const over = (...parts: Uint8Array[]): Uint8Array => {
    const block = concatBytes(...parts);
    expect(block.length).toBe(size);
    return new Uint8Array(privateEncrypt({ key: privateKey, padding: constants.RSA_NO_PADDING }, block));
  };
  const ff = (count: number): Uint8Array => new Uint8Array(count).fill(0xff);
  const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

  test("accepts the block that RFC 8017 §9.2 builds", async () => {
    const block = over(bytes(0, 1), ff(size - 54), bytes(0), digestInfo, hash);
    expect(block).toEqual(signature);
    await expectAll(key.publicKey, block, message, true);
  });

  const withoutNull = fromHex("302f300b0609608648016503040201");
  test.each<[string, () => Uint8Array]>([
    ["parameters left out", () => over(bytes(0, 1), ff(size - 52), bytes(0), withoutNull, fromHex("0420"), hash)],
    [
      "short padding and bytes after the hash",
      () => over(bytes(0, 1), ff(8), bytes(0), digestInfo, hash, new Uint8Array(size - 62)),
    ],
    ["block type 2", () => over(bytes(0, 2), ff(size - 54), bytes(0), digestInfo, hash)],
    ["block type 0", () => over(bytes(0, 0), new Uint8Array(size - 54), bytes(0), digestInfo, hash)],
    ["padding that is not all ones", () => over(bytes(0, 1), ff(size - 55), bytes(0xfe, 0), digestInfo, hash)],
    ["a bare hash", () => over(bytes(0, 1), ff(size - 35), bytes(0), hash)],
    [
      "a DigestInfo in BER",
      () => over(bytes(0, 1), ff(size - 55), bytes(0), fromHex("308131300d060960864801650304020105000420"), hash),
    ],
    ["SHA-1", () => nodeSign("sha1", message, privateKey)],
    ["SHA-512", () => nodeSign("sha512", message, privateKey)],
    ["PSS", () => nodeSign("sha256", message, { key: privateKey, padding: constants.RSA_PKCS1_PSS_PADDING })],
    ["the signature as a number not below the modulus", () => fromBigInt(modulus, size)],
    ["a zero byte before it", () => concatBytes(bytes(0), signature)],
    ["its first byte missing", () => signature.subarray(1)],
    ["a byte after it", () => concatBytes(signature, bytes(0))],
    ["zero", () => new Uint8Array(size)],
    ["one", () => new Uint8Array(size).with(size - 1, 1)],
    ["nothing", () => new Uint8Array()],
  ])("refuses %s", async (_, make) => {
    await expectAll(key.publicKey, Uint8Array.from(make()), message, false);
  });

  test("refuses the signature plus the modulus", async () => {
    const small = over(new Uint8Array(size).with(size - 1, 2));
    const sum = toBigInt(small) + modulus;
    if (sum < 2n ** BigInt(size * 8)) await expectAll(key.publicKey, fromBigInt(sum, size), message, false);
    await expectAll(key.publicKey, small, message, false);
  });
});
