/** Who signed a document with OpenPGP: forms, versions, several signatures in one file. */
import * as library from "openpgp";
import { describe, expect, test } from "vitest";
import { openPgp } from "../openpgp/index.ts";
import { parseCertificate } from "../openpgp/certificate.ts";
import { ask, DOCUMENT, inChunks, PROVEN, provenAt, verdict } from "./openpgp-asking.ts";
import {
  armor,
  BIRTH,
  canonical,
  certificate,
  COMPROMISED,
  ED25519,
  join,
  keyRevocation,
  packet,
  plainCertificate,
  RSA,
  signature,
  signatureBody,
  TestKey,
  u32,
  userIdPackets,
} from "./openpgp-builder.ts";

const key = new TestKey();
const rsa = new TestKey({ algorithm: RSA });
const six = new TestKey({ version: 6, algorithm: ED25519 });
const trusted = plainCertificate(key);

describe("a detached signature", () => {
  test.each([
    ["version 4, Ed25519", key, {}],
    ["version 4, RSA", rsa, {}],
    ["version 3, RSA", rsa, { version: 3 }],
    ["version 6, Ed25519", six, {}],
    ["version 4, SHA-512", key, { hash: 10 }],
  ] as const)("%s is good over its document and no other", async (_name, by, spec) => {
    const made = signature(by, DOCUMENT, spec);
    const result = await ask(made, plainCertificate(by));
    expect(result).toMatchObject({
      outcome: "good",
      fingerprint: by.hex,
      signingKey: by.hex,
      created: (BIRTH + 100) * 1000,
    });
    expect(await verdict(made, plainCertificate(by), { document: new TextEncoder().encode("else") })).toBe(
      "signature-invalid",
    );
    expect(await verdict(made, plainCertificate(by), { document: new Uint8Array(0) })).toBe("signature-invalid");
  });

  test("is the same armoured", async () => {
    const made = signature(key, DOCUMENT);
    expect(await verdict(armor("SIGNATURE", made), trusted)).toBe("good");
    expect(await verdict(armor("SIGNATURE", made, { checksum: false }), trusted)).toBe("good");
    expect(await verdict(armor("SIGNATURE", made).replaceAll("\n", "\r\n"), trusted)).toBe("good");
    expect(
      await verdict(armor("SIGNATURE", made).replace("\n\n", "\nVersion: GnuPG\nComment: x: y\n\n"), trusted),
    ).toBe("good");
  });

  test("in armour that is not whole, or has something around it, is malformed", async () => {
    const text = armor("SIGNATURE", signature(key, DOCUMENT));
    for (const bad of [
      `before\n${text}`,
      `${text}behind\n`,
      text.replace("-----END PGP SIGNATURE-----\n", ""),
      text.replace(/\n=.{4}\n/, "\n=AAAA\n"),
      text.replace("\n\n", "\nPay: 1000\n\n"),
      text.replace("\n\n", "\n\n!!!\n"),
      text.replaceAll("SIGNATURE", "MESSAGE"),
      trusted,
    ]) {
      expect(await verdict(bad, trusted), bad).toBe("malformed");
    }
  });

  test("by a version 3 packet is never silently no signature", async () => {
    const made = signature(rsa, DOCUMENT, { version: 3 });
    expect(await verdict(made, trusted)).toBe("unknown-signer");
    expect(await verdict(made, [])).toBe("unknown-signer");
  });

  test("of versions and algorithms that are not known is unsupported or malformed, not good", async () => {
    const body = signatureBody(key, DOCUMENT);
    for (const [at, value] of [
      [0, 5],
      [0, 2],
      [2, 105],
      [3, 99],
    ] as const) {
      const altered = body.slice();
      altered[at] = value;
      expect(["unsupported", "malformed"]).toContain(await verdict(packet(2, altered), trusted));
    }
  });

  test("as a text is good with either kind of line ending, however the document comes", async () => {
    const text = new TextEncoder().encode("one\r\ntwo\nthree");
    const made = signature(key, canonical("one\ntwo\nthree"), { type: 1 });
    for (const size of [1, 2, 3, 4, 5, 100]) {
      expect(await verdict(made, trusted, { document: inChunks(text, size) }), `${size}`).toBe("good");
    }
  });

  test.each(["a\rb", "a\r\r\nb", "a\r", "\r"])(
    "as a text is not judged over %j: readers differ on its lines",
    async (text) => {
      for (const size of [1, 100]) {
        const document = inChunks(new TextEncoder().encode(text), size);
        expect(await verdict(signature(key, canonical(text), { type: 1 }), trusted, { document })).toBe("unsupported");
      }
    },
  );

  test("of a large document is checked as it streams by", async () => {
    const chunk = new Uint8Array(64 * 1024).fill(65);
    const whole = new Uint8Array(chunk.length * 32).fill(65);
    async function* chunks(): AsyncGenerator<Uint8Array> {
      for (let i = 0; i < 32; i++) yield chunk;
    }
    expect(await verdict(signature(key, whole), trusted, { document: chunks() })).toBe("good");
  });

  test.each([0x02, 0x10, 0x13, 0x18, 0x19, 0x1f, 0x20, 0x28, 0x30, 0x40, 0x50])(
    "of type 0x%s is not one of a document",
    async (type) => {
      expect(await verdict(signature(key, DOCUMENT, { type }), trusted)).toBe("unsupported");
    },
  );

  test.each([
    [1, "MD5"],
    [2, "SHA1"],
  ] as const)("by hash %s (%s) is weak", async (hash, _name) => {
    expect(await verdict(signature(rsa, DOCUMENT, { hash }), plainCertificate(rsa))).toBe("weak-algorithm");
    expect(await verdict(signature(rsa, DOCUMENT, { hash, version: 3 }), plainCertificate(rsa))).toBe("weak-algorithm");
  });

  test("by a short RSA key is weak", async () => {
    const short = new TestKey({ algorithm: RSA, bits: 1024 });
    expect(await verdict(signature(short, DOCUMENT), plainCertificate(short))).toBe("weak-algorithm");
  });

  test("with something critical that is not understood is unsupported, uncritical it is good", async () => {
    const notation = join([0x80, 0, 0, 0], [0, 1, 0, 1], [97, 98]);
    for (const [type, body] of [
      [99, Uint8Array.of(1)],
      [20, notation],
    ] as const) {
      expect(await verdict(signature(key, DOCUMENT, { hashed: [{ type, body, critical: true }] }), trusted)).toBe(
        "unsupported",
      );
      expect(await verdict(signature(key, DOCUMENT, { hashed: [{ type, body }] }), trusted)).toBe("good");
    }
  });

  test("that contradicts itself is malformed or nobody's", async () => {
    expect(await verdict(signature(key, DOCUMENT, { hashed: [{ type: 2, body: u32(BIRTH) }] }), trusted)).toBe(
      "malformed",
    );
    expect(await verdict(signature(key, DOCUMENT, { onlyHashed: [] }), trusted)).toBe("malformed");
    expect(
      await verdict(signature(key, DOCUMENT, { unhashed: [{ type: 16, body: rsa.keyId }] }), [
        trusted,
        plainCertificate(rsa),
      ]),
    ).toBe("unknown-signer");
  });
});

describe("several signatures", () => {
  test("are judged each by itself, and the first good one counts", async () => {
    const both = join(signature(rsa, DOCUMENT), signature(key, DOCUMENT));
    expect(await ask(both, trusted)).toMatchObject({ outcome: "good", fingerprint: key.hex });
    expect(await ask(both, [trusted, plainCertificate(rsa)])).toMatchObject({ outcome: "good", fingerprint: rsa.hex });
    expect(await verdict(both, plainCertificate(six))).toBe("unknown-signer");
  });

  test("in several armoured blocks are several signatures", async () => {
    const text = armor("SIGNATURE", signature(rsa, DOCUMENT)) + armor("SIGNATURE", signature(key, DOCUMENT));
    expect(await ask(text, trusted)).toMatchObject({ outcome: "good", fingerprint: key.hex });
  });

  test("report the closest miss, and every one in the steps, the same one once", async () => {
    const wrong = signature(key, "else");
    const result = await ask(join(signature(rsa, DOCUMENT), wrong, wrong), trusted);
    expect(result).toMatchObject({ outcome: "bad", code: "signature-invalid" });
    expect(result.steps.filter(({ check }) => check === "openpgp-signature")).toHaveLength(2);
  });

  test("too many are refused", async () => {
    const many = join(...Array.from({ length: 17 }, (_, i) => signature(key, DOCUMENT, { created: BIRTH + i })));
    expect(await verdict(many, trusted)).toBe("malformed");
  });

  test("among packets of another kind are refused", async () => {
    expect(await verdict(join(signature(key, DOCUMENT), packet(10, new TextEncoder().encode("PGP"))), trusted)).toBe(
      "malformed",
    );
    expect(await verdict(join(signature(key, DOCUMENT), [0]), trusted)).toBe("malformed");
  });

  test("no signature at all is a failure", async () => {
    for (const nothing of [new Uint8Array(0), "", "\n\n", armor("SIGNATURE", new Uint8Array(0)), "text", "{}"]) {
      expect(await verdict(nothing, trusted)).toBe("malformed");
    }
  });
});

describe("certificates", () => {
  test("are read with their fingerprints and names", () => {
    expect(openPgp.readCertificate(trusted)).toEqual({
      fingerprint: key.hex,
      fingerprints: [key.hex],
      userIds: ["Test <test@example.org>"],
    });
    expect(openPgp.readCertificate(plainCertificate(six)).fingerprint).toMatch(/^[0-9a-f]{64}$/);
  });

  test.each([
    ["nothing", ""],
    ["a signature", armor("SIGNATURE", signature(key, DOCUMENT))],
    ["two blocks", trusted + plainCertificate(rsa)],
    ["two keys in one block", certificate(key, packet(6, rsa.body))],
    ["a packet that is no part of one", certificate(key, packet(11, Uint8Array.of(1)))],
    ["a private key", armor("PRIVATE KEY BLOCK", packet(5, key.body))],
    ["a key of version 3", armor("PUBLIC KEY BLOCK", packet(6, Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 1)))],
    ["a certificate cut short", armor("PUBLIC KEY BLOCK", packet(6, key.body).subarray(0, 20))],
    ["what is too large", "a".repeat(2_000_000)],
  ])("are refused when they are %s", async (_name, text) => {
    expect(() => openPgp.readCertificate(text)).toThrow(expect.objectContaining({ name: "EvidenceError" }));
    await expect(ask(signature(key, DOCUMENT), text)).rejects.toMatchObject({ name: "EvidenceError" });
  });

  test("of one key in several copies are one: what one copy says is revoked is not trusted by another", async () => {
    const revoked = certificate(
      key,
      keyRevocation(key, COMPROMISED, BIRTH + 1),
      userIdPackets(key, "Test <test@example.org>"),
    );
    const made = signature(key, DOCUMENT);
    expect(await verdict(made, trusted)).toBe("good");
    for (const certificates of [
      [trusted, revoked],
      [revoked, trusted],
      [trusted, revoked, trusted],
    ]) {
      expect(await verdict(made, certificates)).toBe("key-revoked");
    }
    expect(await verdict(made, trusted)).toBe("good");
  });

  test("keep what others say of them out of sight", () => {
    const stranger = packet(2, signatureBody(rsa, key.hashed, { type: 0x13 }));
    const { users } = parseCertificate(certificate(key, userIdPackets(key, "a"), stranger));
    expect(users[0]?.signatures).toHaveLength(1);
  });
});

describe("the library's own keys and signatures", () => {
  test.each([
    ["version 6", { type: "curve25519", config: { v6Keys: true } }],
    ["version 6, Ed448", { type: "curve448", config: { v6Keys: true } }],
    ["version 4, Ed25519", { type: "curve25519" }],
    ["version 4, P-384", { type: "ecc", curve: "nistP384" }],
  ] as const)("of %s are good, detached and clear-signed", async (_name, options) => {
    const date = new Date(BIRTH * 1000);
    const { privateKey, publicKey } = await library.generateKey({
      ...options,
      userIDs: [{ name: "A" }],
      date,
      format: "object",
    });
    const at = new Date((BIRTH + 100) * 1000);
    const message = await library.createMessage({ binary: DOCUMENT });
    const detached: unknown = await library.sign({
      message,
      signingKeys: privateKey,
      detached: true,
      format: "binary",
      date: at,
    });
    if (!(detached instanceof Uint8Array)) throw new Error("The library made no signature.");
    const result = await ask(detached, publicKey.armor());
    expect(result).toMatchObject({ outcome: "good", fingerprint: publicKey.getFingerprint() });
    const text = await library.createCleartextMessage({ text: "one\n- two  \nthree" });
    const clear = await library.sign({ message: text, signingKeys: privateKey, date: at });
    expect(await verdict(clear, publicKey.armor(), { document: new Uint8Array(0) })).toBe("good");
    expect(await verdict(clear.replace("one", "eno"), publicKey.armor(), { document: new Uint8Array(0) })).toBe(
      "signature-invalid",
    );
  });
});

test("every verdict explains itself, and a good one has no failed step", async () => {
  const good = await openPgp.verify({
    signature: signature(key, DOCUMENT),
    document: DOCUMENT,
    certificates: [trusted],
    times: provenAt(PROVEN),
  });
  expect(good.steps.map(({ check, outcome }) => [check, outcome])).toEqual([
    ["openpgp-format", "passed"],
    ["openpgp-signature", "passed"],
  ]);
  expect(good.steps[1]?.steps?.map(({ check, outcome }) => [check, outcome])).toEqual([
    ["signature-packet", "passed"],
    ["issuer", "passed"],
    ["arithmetic", "passed"],
    ["time", "passed"],
    ["signing-key", "passed"],
  ]);
  const bad = await ask(signature(key, "else"), trusted);
  expect(bad.steps.at(-1)?.outcome).toBe("failed");
});

test("a document is hashed in few ways, however many signatures ask for it: one way too many is not looked at", async () => {
  const bad = [
    { type: 0, hash: 8 },
    { type: 1, hash: 8 },
    { type: 0, hash: 10 },
    { type: 1, hash: 10 },
  ].map((spec) => signature(key, "else", spec));
  const good = signature(six, DOCUMENT);
  const certificates = [trusted, plainCertificate(six)];
  expect(await verdict(join(...bad.slice(1), good), certificates)).toBe("good");
  expect(await verdict(join(good, ...bad), certificates)).toBe("good");
  const result = await ask(join(...bad, good), certificates);
  expect(result).toMatchObject({ outcome: "bad", code: "signature-invalid" });
  expect(JSON.stringify(result.steps)).toContain("more than 4 ways");
});
