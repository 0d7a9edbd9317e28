/** What every crypto port must accept and refuse when the signed format names the algorithm: any hash, PSS, Ed25519ph. */
import { constants, createPrivateKey, generateKeyPairSync, privateEncrypt, sign as nodeSign } from "node:crypto";
import { ed25519ph } from "@noble/curves/ed25519.js";
import { sha256, sha384, sha512 } from "@noble/hashes/sha2.js";
import { describe, expect, test } from "vitest";
import { nodeCrypto } from "../node/index.ts";
import {
  type Crypto,
  concatBytes,
  ed25519FromRaw,
  fromHex,
  nobleCrypto,
  type PublicKey,
  parseSpki,
  type SignatureScheme,
  utf8Encode,
  verifyDigest,
  webCrypto,
} from "../src/index.ts";
import { passingBy } from "./passing-by.ts";
import { recorded } from "./recorded.ts";
import { keyOf } from "./virtual.ts";

const ports: [string, Crypto][] = [
  ["node", recorded(nodeCrypto)],
  ["web", webCrypto],
  ["noble", nobleCrypto],
];
const message = utf8Encode("what was signed");
const HASHES = { sha256, sha384, sha512 } as const;
const HASH_NAMES = ["sha256", "sha384", "sha512"] as const;
const SCHEMES: readonly SignatureScheme[] = [
  ...HASH_NAMES.map((hash) => `ecdsa-${hash}` as const),
  ...HASH_NAMES.map((hash) => `rsa-pkcs1-${hash}` as const),
  ...HASH_NAMES.map((hash) => `rsa-pss-${hash}` as const),
  "ed25519",
  "ed25519ph",
];

async function answers(key: PublicKey, scheme: SignatureScheme, signature: Uint8Array, data = message) {
  const given = new Set<boolean>();
  for (const [, port] of ports) given.add(await port.verifyAs(key, scheme, signature, data));
  for (const answer of passingBy(key, scheme, signature, data)) given.add(answer);
  if (scheme !== "ed25519") {
    const hash = scheme === "ed25519ph" ? sha512 : HASHES[scheme.slice(-6) as (typeof HASH_NAMES)[number]];
    given.add(verifyDigest(key, scheme, signature, hash(data)) === true);
  }
  return [...given];
}

/** Good under `scheme`, and under no other scheme, for no other data, and not after a bit was turned. */
async function expectOnly(key: PublicKey, scheme: SignatureScheme, signature: Uint8Array): Promise<void> {
  for (const other of SCHEMES) {
    expect([other, await answers(key, other, signature)]).toEqual([other, [other === scheme]]);
  }
  expect(await answers(key, scheme, signature, utf8Encode("what was not signed"))).toEqual([false]);
  const middle = signature.length >> 1;
  expect(await answers(key, scheme, signature.with(middle, (signature[middle] ?? 0) ^ 1))).toEqual([false]);
}

describe.each(["ecdsa-p256-sha256", "ecdsa-p384-sha384", "ecdsa-p521-sha512"] as const)("%s", (algorithm) => {
  test.each(HASH_NAMES)("signs with %s, also where the hash is longer or shorter than the order", async (hash) => {
    const key = keyOf("schemes", algorithm);
    const signature = Uint8Array.from(nodeSign(hash, message, { key: createPrivateKey(key.toPem()) }));
    await expectOnly(key.publicKey, `ecdsa-${hash}`, signature);
  });

  test("refuses SHA-1 under every name", async () => {
    const key = keyOf("schemes", algorithm);
    const signature = Uint8Array.from(nodeSign("sha1", message, { key: createPrivateKey(key.toPem()) }));
    for (const scheme of SCHEMES) expect(await answers(key.publicKey, scheme, signature)).toEqual([false]);
  });
});

describe("RSA", () => {
  // 2049 bits: the encoded message of PSS is then a byte shorter than the modulus.
  const keys = [2048, 2049, 3072].map((modulusLength) => generateKeyPairSync("rsa", { modulusLength }));
  const parsed = keys.map(({ publicKey }) => parseSpki(publicKey.export({ format: "der", type: "spki" })));
  const each = keys.flatMap(({ privateKey }, i) => HASH_NAMES.map((hash) => ({ privateKey, i, hash })));

  test.each(each)("PKCS #1 v1.5 and PSS of key $i with $hash", async ({ privateKey, i, hash }) => {
    const key = parsed[i];
    if (key === undefined) throw new Error("no key");
    await expectOnly(key, `rsa-pkcs1-${hash}`, Uint8Array.from(nodeSign(hash, message, privateKey)));
    const pss = {
      key: privateKey,
      padding: constants.RSA_PKCS1_PSS_PADDING,
      saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
    };
    await expectOnly(key, `rsa-pss-${hash}`, Uint8Array.from(nodeSign(hash, message, pss)));
  });

  const { privateKey } = keys[0] ?? generateKeyPairSync("rsa", { modulusLength: 2048 });
  const key = parsed[0] ?? parseSpki(new Uint8Array());
  const salted = (saltLength: number): Uint8Array =>
    Uint8Array.from(
      nodeSign("sha256", message, { key: privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength }),
    );

  test.each([0, 8, 20, 31, 33, 48, 222])("refuses PSS with a salt of %i bytes instead of the hash's 32", async (n) => {
    expect(await answers(key, "rsa-pss-sha256", salted(n))).toEqual([false]);
  });

  /** The signature whose encoded message is as PSS makes it, after one change. */
  function pssWith(change: (db: Uint8Array, encoded: (masked: Uint8Array) => Uint8Array) => Uint8Array): Uint8Array {
    const salt = sha256(utf8Encode("salt"));
    const h = sha256(concatBytes(new Uint8Array(8), sha256(message), salt));
    const db = new Uint8Array(256 - 33);
    db[db.length - 33] = 1;
    db.set(salt, db.length - 32);
    const mask = concatBytes(
      ...Array.from({ length: 7 }, (_, i) => sha256(concatBytes(h, Uint8Array.of(0, 0, 0, i)))),
    ).subarray(0, db.length);
    const encoded = (plain: Uint8Array): Uint8Array => {
      const masked = plain.map((byte, i) => byte ^ (mask[i] ?? 0));
      masked[0] = (masked[0] ?? 0) & 0x7f;
      return concatBytes(masked, h, Uint8Array.of(0xbc));
    };
    const block = change(db, encoded);
    return Uint8Array.from(privateEncrypt({ key: privateKey, padding: constants.RSA_NO_PADDING }, block));
  }

  test("PSS built by hand is good, and is not after any change of its form", async () => {
    expect(
      await answers(
        key,
        "rsa-pss-sha256",
        pssWith((db, encoded) => encoded(db)),
      ),
    ).toEqual([true]);
    const damaged: [string, Uint8Array][] = [
      ["another trailer", pssWith((db, encoded) => encoded(db).with(255, 0xcc))],
      ["padding that is not all zero", pssWith((db, encoded) => encoded(db.with(5, 1)))],
      ["no one before the salt", pssWith((db, encoded) => encoded(db.with(db.length - 33, 0)))],
      ["another hash", pssWith((db, encoded) => encoded(db).with(240, 0))],
    ];
    for (const [name, signature] of damaged)
      expect([name, await answers(key, "rsa-pss-sha256", signature)]).toEqual([name, [false]]);
  });
});

describe("ed25519ph", () => {
  // RFC 8032 §7.3.
  const raw = "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf";
  const vector =
    "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae4131f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406";
  const abc = utf8Encode("abc");

  test("accepts RFC 8032's vector, and not as pure Ed25519", async () => {
    const key = ed25519FromRaw(fromHex(raw));
    expect(await answers(key, "ed25519ph", fromHex(vector), abc)).toEqual([true]);
    expect(await answers(key, "ed25519", fromHex(vector), abc)).toEqual([false]);
  });

  test("accepts its signature, and refuses one with a context or a pure one", async () => {
    const secret = new Uint8Array(32).fill(7);
    const key = ed25519FromRaw(ed25519ph.getPublicKey(secret));
    await expectOnly(key, "ed25519ph", ed25519ph.sign(message, secret));
    const contextual = ed25519ph.sign(message, secret, { context: utf8Encode("x") });
    expect(await answers(key, "ed25519ph", contextual)).toEqual([false]);
    await expectOnly(keyOf("schemes", "ed25519").publicKey, "ed25519", keyOf("schemes", "ed25519").sign(message));
  });
});
