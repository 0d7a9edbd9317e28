/** Nothing that arrives from outside makes the OpenPGP readers crash, hang, take much memory, or say "good". */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { openPgp, readGitObject, readRpm } from "../openpgp/index.ts";
import { readPackets } from "../openpgp/packets.ts";
import { readSignaturePacket } from "../openpgp/signature-packet.ts";
import {
  EvidenceError,
  parseClearSigned,
  parseOpenPgpSignature,
  readArmorBlocks,
  recogniseOpenPgp,
} from "../src/index.ts";
import { DOCUMENT, verdict } from "./openpgp-asking.ts";
import { armor, clearSigned, packet, plainCertificate, RSA, signature, TestKey } from "./openpgp-builder.ts";

const key = new TestKey();
const rsa = new TestKey({ algorithm: RSA });
const trusted = [plainCertificate(key), plainCertificate(rsa)];
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Runs a reader, lets only its typed errors pass, and holds it to a second. */
function expectBounded(read: () => unknown): void {
  const started = performance.now();
  try {
    read();
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
  }
  expect(performance.now() - started).toBeLessThan(1_000);
}

const readers: ((bytes: Uint8Array) => unknown)[] = [
  recogniseOpenPgp,
  parseClearSigned,
  parseOpenPgpSignature,
  (bytes) => readArmorBlocks(bytes, "SIGNATURE"),
  (bytes) => readPackets(bytes, 16),
  readSignaturePacket,
  readRpm,
  (bytes) => readGitObject("commit", bytes),
  (bytes) => readGitObject("tag", bytes),
  (bytes) => openPgp.readCertificate(armor("PUBLIC KEY BLOCK", bytes)),
  (bytes) => openPgp.readCertificate(new TextDecoder().decode(bytes)),
];

const seeds = [
  signature(key, DOCUMENT),
  signature(rsa, DOCUMENT, { version: 3 }),
  encode(armor("SIGNATURE", signature(key, DOCUMENT))),
  encode(clearSigned(key, "a\n- b\n")),
  encode(plainCertificate(key)),
];

/** Good bytes with some of them replaced, cut out, or put in twice. */
const damaged = fc
  .tuple(
    fc.constantFrom(...seeds),
    fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }), fc.nat({ max: 2 })), { minLength: 1, maxLength: 8 }),
  )
  .map(([seed, changes]) => {
    let bytes = [...seed];
    for (const [at, value, kind] of changes) {
      const i = bytes.length === 0 ? 0 : at % bytes.length;
      if (kind === 0) bytes[i] = value;
      else if (kind === 1) bytes = [...bytes.slice(0, i), ...bytes.slice(i + (value % 16))];
      else bytes = [...bytes.slice(0, i), ...bytes.slice(Math.max(0, i - (value % 64)))];
    }
    return Uint8Array.from(bytes);
  });

describe("whatever the bytes", () => {
  test("readers end in a second, with a result or a typed error", () => {
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), damaged), (bytes) => {
        for (const read of readers) expectBounded(() => read(bytes));
      }),
      { numRuns: 400 },
    );
  });

  test("a verdict is never good over another document", async () => {
    const document = encode("another document");
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 300 }), damaged), async (bytes) => {
        const code = await verdict(bytes, trusted, { document });
        expect(code).not.toBe("good");
      }),
      { numRuns: 300 },
    );
  });

  test("packets that claim to be large are not made room for", () => {
    const before = process.memoryUsage().arrayBuffers;
    for (const bytes of [
      Uint8Array.of(0xc2, 0xff, 0xff, 0xff, 0xff, 0xff, 4),
      Uint8Array.of(0x8a, 0x7f, 0xff, 0xff, 0xff, 4),
      Uint8Array.of(0xc2, 0xe1, 4, 0, 0),
      Uint8Array.of(0x8b, 4, 0, 0),
      packet(2, Uint8Array.of(4, 0, 22, 8, 0xff, 0xff)),
      packet(2, Uint8Array.of(6, 0, 27, 8, 0xff, 0xff, 0xff, 0xff)),
      packet(2, Uint8Array.of(4, 0, 1, 8, 0, 6, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0)),
    ]) {
      for (const read of readers) expectBounded(() => read(bytes));
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 * 1024 * 1024);
  });

  test("long texts of one kind of line are read in a time that grows with their length only", () => {
    for (const line of [
      "\n",
      "- \n",
      "-----BEGIN PGP SIGNATURE-----\n",
      " \n",
      "Hash: SHA256\n",
      "Version: 1\n",
      "AAAA\n",
      "=AAAA\n",
      "\t".repeat(2_000),
      " ".repeat(1_000),
    ]) {
      const body = line.repeat(Math.floor(1_000_000 / line.length));
      for (const head of [
        "",
        "-----BEGIN PGP SIGNED MESSAGE-----\n\n",
        "-----BEGIN PGP SIGNATURE-----\n\n",
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n",
      ]) {
        const bytes = encode(head + body);
        for (const read of [readers[0], readers[1], readers[3], readers[7], readers[8], readers[10]])
          expectBounded(() => read?.(bytes));
      }
    }
  });
});
