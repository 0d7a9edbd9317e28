import { describe, expect, test } from "vitest";
import { privateKeyFromPkcs8 } from "../node/index.ts";
import { decryptCosignKey, encryptCosignKey, formatPublicKeyPem, utf8Encode } from "../src/index.ts";
import { formatPem, parsePem } from "../src/pem.ts";
import { code } from "./failure.ts";
import { fixture } from "./fixtures.ts";
import { keyOf } from "./virtual.ts";

const LABEL = "ENCRYPTED SIGSTORE PRIVATE KEY";

describe("an encrypted key file", () => {
  const key = keyOf("file");
  const pem = encryptCosignKey(key.toPkcs8(), "pässwörd");
  type KeyFile = { kdf: { params: object }; cipher: object; ciphertext: string };
  const file = JSON.parse(new TextDecoder().decode(parsePem(pem, [LABEL], "cosign-key-invalid"))) as KeyFile;
  const written = (json: unknown, label = LABEL): string => formatPem(label, utf8Encode(JSON.stringify(json)));

  test("opens with its password and with no other", () => {
    expect(decryptCosignKey(pem, "pässwörd")).toEqual(key.toPkcs8());
    expect(() => decryptCosignKey(pem, "password")).toThrow(code("cosign-key-password"));
  });

  test("is read under cosign's former label too", () => {
    expect(decryptCosignKey(written(file, "ENCRYPTED COSIGN PRIVATE KEY"), "pässwörd")).toEqual(key.toPkcs8());
  });

  test("has a fresh salt and nonce each time", () => {
    expect(encryptCosignKey(key.toPkcs8(), "")).not.toBe(encryptCosignKey(key.toPkcs8(), ""));
  });

  test("that was altered does not open", () => {
    const ciphertext = `${file.ciphertext[0] === "A" ? "B" : "A"}${file.ciphertext.slice(1)}`;
    expect(() => decryptCosignKey(written({ ...file, ciphertext }), "pässwörd")).toThrow(code("cosign-key-password"));
  });

  const params = (changes: object): object => ({
    ...file,
    kdf: { ...file.kdf, params: { ...file.kdf.params, ...changes } },
  });
  test.each<[string, () => string]>([
    ["of another label", () => written(file, "PRIVATE KEY")],
    ["asking for too much memory", () => written(params({ N: 2 ** 30 }))],
    ["asking for too little work", () => written(params({ N: 1024 }))],
    ["with another r", () => written(params({ r: 1024 }))],
    ["with another p", () => written(params({ p: 1024 }))],
    ["with another kdf", () => written({ ...file, kdf: { ...file.kdf, name: "pbkdf2" } })],
    ["with another cipher", () => written({ ...file, cipher: { ...file.cipher, name: "aes" } })],
    ["with a short nonce", () => written({ ...file, cipher: { ...file.cipher, nonce: "AAAA" } })],
    ["with a short salt", () => written({ ...file, kdf: { ...file.kdf, salt: "AAAA" } })],
    ["without ciphertext", () => written({ ...file, ciphertext: "" })],
    ["with an unknown member", () => written({ ...file, extra: 1 })],
  ])("%s is refused before any work is done", (_, make) => {
    const start = performance.now();
    expect(() => decryptCosignKey(make(), "pässwörd")).toThrow(code("cosign-key-invalid"));
    expect(performance.now() - start).toBeLessThan(50);
  });

  test("that is no JSON is refused", () => {
    expect(() => decryptCosignKey(formatPem(LABEL, utf8Encode("{")), "")).toThrow(code("json-invalid"));
  });
});

test("a key file that cosign wrote opens, and is the key of the public file beside it", () => {
  const opened = privateKeyFromPkcs8(decryptCosignKey(fixture("cosign.key"), ""));
  expect(formatPublicKeyPem(opened.publicKey)).toBe(fixture("cosign.pub"));
});
