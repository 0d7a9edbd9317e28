/** The container of a detached OpenPGP signature, and telling forms apart. */
import { describe, expect, test } from "vitest";
import {
  formatOpenPgpSignature,
  type JsonObject,
  parseJson,
  parseOpenPgpSignature,
  recogniseOpenPgp,
  utf8Encode,
} from "../src/index.ts";
import { DOCUMENT } from "./openpgp-asking.ts";
import {
  armor,
  clearSigned,
  ED25519,
  join,
  plainCertificate,
  RSA,
  signature,
  TestKey,
  u32,
} from "./openpgp-builder.ts";
import { sha256Of } from "./virtual.ts";

const key = new TestKey();
const made = signature(key, DOCUMENT);
const armored = utf8Encode(armor("SIGNATURE", made));
const subject = sha256Of("the document");

describe("the container", () => {
  test.each([
    ["binary", made],
    ["armoured", armored],
  ] as const)("gives back what was put in: %s", (_form, bytes) => {
    const container = formatOpenPgpSignature({ subject, signature: bytes });
    expect(parseOpenPgpSignature(container)).toEqual({ subject, signature: bytes });
    expect(formatOpenPgpSignature(parseOpenPgpSignature(container))).toEqual(container);
  });

  const good = parseJson(formatOpenPgpSignature({ subject, signature: made })) as JsonObject;
  test.each([
    ["no media type", { ...good, mediaType: undefined }],
    ["another media type", { ...good, mediaType: "application/json" }],
    ["no subject", { ...good, subject: undefined }],
    ["a subject that is no digest", { ...good, subject: "sha256:abc" }],
    ["a subject by another algorithm", { ...good, subject: subject.replace("sha256", "sha512") }],
    ["no signature", { ...good, signature: undefined }],
    ["an empty signature", { ...good, signature: "" }],
    ["a signature that is not base64", { ...good, signature: "!" }],
    ["a signature that is none", { ...good, signature: Buffer.from("text").toString("base64") }],
    ["a clear-signed text", { ...good, signature: Buffer.from(clearSigned(key, "a\n")).toString("base64") }],
    ["a certificate", { ...good, signature: Buffer.from(plainCertificate(key)).toString("base64") }],
    ["a member more", { ...good, keyId: "1" }],
  ])("with %s is refused", (_name, members) => {
    expect(() => parseOpenPgpSignature(utf8Encode(JSON.stringify(members)))).toThrow(
      expect.objectContaining({ code: "openpgp-invalid" }),
    );
  });

  test("that is not an object is refused", () => {
    for (const text of ["[]", "1", "null"])
      expect(() => parseOpenPgpSignature(utf8Encode(text))).toThrow(
        expect.objectContaining({ code: "openpgp-invalid" }),
      );
  });
});

describe("forms are told apart", () => {
  const rsa = new TestKey({ algorithm: RSA });
  const six = new TestKey({ version: 6, algorithm: ED25519 });
  test.each([
    ["binary", made],
    ["binary", signature(rsa, DOCUMENT)],
    ["binary", signature(rsa, DOCUMENT, { version: 3 })],
    ["binary", signature(six, DOCUMENT)],
    ["binary", join([0x88, made.length - 2], made.subarray(2))],
    ["binary", join([0xc2, 0xff], u32(made.length - 2), made.subarray(2))],
    ["armored", armored],
    ["armored", utf8Encode(`\r\n\n${armor("SIGNATURE", made)}`)],
    ["clear-signed", utf8Encode(clearSigned(key, "a\n"))],
    [undefined, utf8Encode(plainCertificate(key))],
    [undefined, utf8Encode("{}")],
    [undefined, utf8Encode("-----BEGIN CERTIFICATE-----")],
    [undefined, new Uint8Array(0)],
    [undefined, Uint8Array.of(0xd2, 0x84, 0x43)],
    [undefined, Uint8Array.of(0xc2)],
    ["binary", join(made, signature(rsa, DOCUMENT))],
    [undefined, made.subarray(0, -1)],
    [undefined, join(made, [0])],
    // Bare Ed25519 signatures may begin like packets, whatever length those then say.
    [undefined, join([0xc2, 0x20, 4], new Uint8Array(61))],
    [undefined, join([0xc2, 0xff, 0, 0, 0, 0, 4], new Uint8Array(57))],
    [undefined, join([0x88, 0xf0, 4], new Uint8Array(61))],
    [undefined, join([0x89, 0x20, 0, 4], new Uint8Array(60))],
    [undefined, join([0x8a, 0xff, 0xff, 0xff, 0xff, 6], new Uint8Array(58))],
    [undefined, utf8Encode("text\n-----BEGIN PGP SIGNATURE-----")],
  ])("%s", (form, bytes) => {
    expect(recogniseOpenPgp(bytes)).toBe(form);
  });
});
