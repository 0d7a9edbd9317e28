/** CMS, timestamps, CBOR and Notary Project envelopes: whatever arrives, their readers fail by typed errors only, and at once. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { nodeCrypto } from "../node/index.ts";
import { parseCbor } from "../src/cbor.ts";
import { parseSignedData } from "../src/cms.ts";
import { derValue } from "../src/der.ts";
import { digestOf, EvidenceError, LIMITS } from "../src/index.ts";
import { verifyNotation } from "../src/notation-verify.ts";
import { parseNotation } from "../src/notation.ts";
import { parseTimestamp, verifyTimestamp } from "../src/timestamp.ts";
import { readSignerBinding } from "../src/timestamp-signer.ts";
import { x509Root } from "../src/trust-root.ts";
import { fixture, fixtureBytes } from "./fixtures.ts";
import { receivedAt } from "./virtual.ts";

const LIMIT_MS = 1_000;
const root = x509Root("acme", [fixture("notation/root.pem")], [fixture("notation/tsa-root.pem")]);
const artifact = digestOf(nodeCrypto, fixtureBytes("notation/manifest.oci"));
const message = fixtureBytes("artifact.txt");

const readers: ((bytes: Uint8Array) => unknown)[] = [
  parseSignedData,
  parseTimestamp,
  parseCbor,
  parseNotation,
  (bytes) => readSignerBinding(new Map([["1.2.840.113549.1.9.16.2.47", bytes]])),
];

/** Runs all readers; only typed errors may pass. Gives the longest that one took, in ms. */
function read(bytes: Uint8Array): number {
  let longest = 0;
  for (const reader of readers) {
    const started = performance.now();
    try {
      reader(bytes);
    } catch (error) {
      if (!(error instanceof EvidenceError)) throw error;
    }
    longest = Math.max(longest, performance.now() - started);
  }
  return longest;
}

const fixtures = [
  "timestamp/response.tsr",
  "timestamp/token.tst",
  "notation/p256.jws",
  "notation/p256.cose",
  "notation/stamped.jws",
  "notation/stamped.cose",
].map(fixtureBytes);

/** One of the fixtures with some runs of bytes replaced, dropped, repeated or put elsewhere. */
const damaged = fc
  .tuple(
    fc.constantFrom(...fixtures),
    fc.array(
      fc.record({
        at: fc.nat(),
        length: fc.nat({ max: 40 }),
        to: fc.nat(),
        bytes: fc.uint8Array({ maxLength: 8 }),
        edit: fc.constantFrom("replace", "drop", "repeat", "move", "cut"),
      }),
      { minLength: 1, maxLength: 4 },
    ),
  )
  .map(([fixtureOf, edits]) => {
    let bytes = [...fixtureOf];
    for (const { at, length, to, bytes: other, edit } of edits) {
      const from = at % (bytes.length + 1);
      const run = bytes.slice(from, from + length);
      if (edit === "replace") bytes.splice(from, other.length, ...other);
      if (edit === "drop") bytes.splice(from, length);
      if (edit === "repeat") bytes.splice(from, 0, ...run);
      if (edit === "move") bytes.splice(to % (bytes.length + 1), 0, ...bytes.splice(from, length));
      if (edit === "cut") bytes = bytes.slice(0, from);
    }
    return Uint8Array.from(bytes);
  });

/** DER that is well formed and means nothing: nested values of the tags that CMS uses. */
const der = fc.letrec<{ value: Uint8Array }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 6 },
    fc
      .tuple(fc.constantFrom(0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0c, 0x18, 0x80), fc.uint8Array({ maxLength: 12 }))
      .map(([tag, contents]) => derValue(tag, contents)),
    fc
      .tuple(
        fc.constantFrom(0x30, 0x31, 0xa0, 0xa1),
        fc.array(tie("value") as fc.Arbitrary<Uint8Array>, { maxLength: 5 }),
      )
      .map(([tag, values]) => derValue(tag, ...values)),
  ),
})).value;

describe("readers of envelopes fail by typed errors only", () => {
  test("on random bytes, also after the first byte of each form", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.constantFrom(undefined, 0xd2, 0x30, 0x7b), (bytes, first) => {
        expect(read(first === undefined ? bytes : Uint8Array.from([first, ...bytes]))).toBeLessThan(LIMIT_MS);
      }),
      { numRuns: 2_000 },
    );
  });

  test("on well-formed DER", () => {
    fc.assert(
      fc.property(der, (bytes) => {
        expect(read(bytes)).toBeLessThan(LIMIT_MS);
      }),
      { numRuns: 1_000 },
    );
  });

  test("on damaged envelopes and tokens", () => {
    fc.assert(
      fc.property(damaged, (bytes) => {
        expect(read(bytes)).toBeLessThan(LIMIT_MS);
      }),
      { numRuns: 1_500 },
    );
  });

  test("on the worst that fits the limits", () => {
    const full = [0x81, 0x30, 0xa1, 0xd2, 0xd8].map((byte) => new Uint8Array(LIMITS.notationBytes).fill(byte));
    full.push(new Uint8Array(LIMITS.timestampBytes).fill(0x30));
    // Nested far deeper than any reader goes.
    let deep: Uint8Array = new Uint8Array(0);
    while (deep.length < 4_000) deep = derValue(0x30, deep);
    for (const bytes of [...full, deep]) expect(read(bytes)).toBeLessThan(LIMIT_MS);
  });
});

describe("verification of envelopes refuses, and never throws on", () => {
  test("damaged ones", async () => {
    await fc.assert(
      fc.asyncProperty(damaged, async (bytes) => {
        const started = performance.now();
        const stamped = await verifyTimestamp(nodeCrypto, bytes, { message, authorities: root.timestampAuthorities });
        const signed = await verifyNotation(nodeCrypto, {
          bytes,
          root,
          times: [receivedAt(Date.parse("2026-12-01"))],
          artifact,
        });
        expect(performance.now() - started).toBeLessThan(LIMIT_MS);
        expect([typeof stamped.ok, typeof signed.ok]).toEqual(["boolean", "boolean"]);
      }),
      { numRuns: 500 },
    );
  });
});
