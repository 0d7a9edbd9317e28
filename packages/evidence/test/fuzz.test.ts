/** Nothing that arrives from outside makes a reader fail in any other way than by its typed error, or pass. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { nodeCrypto } from "../node/index.ts";
import {
  decodeEntries,
  decryptCosignKey,
  EvidenceError,
  parseBundle,
  parseCheckpoint,
  parseEvent,
  parseJson,
  parseNote,
  parsePublicKeyPem,
  parseReceipt,
  parseReference,
  parseSpki,
  parseStatement,
  parseTilePath,
  parseTlogPolicy,
  parseTrustFile,
  parseVkey,
  readEvidence,
  utf8Decode,
  utf8Encode,
  verify,
} from "../src/index.ts";
import { artifactOf, entryFor, keyOf, messageBundle, statementBundle, trustIn } from "./virtual.ts";

const { bytes: artifactBytes, digest: artifact } = artifactOf();
const key = keyOf("build");
const trust = trustIn(entryFor(key));

/** Runs a reader and lets only its typed errors pass. */
function onlyTypedErrors(read: () => unknown): void {
  try {
    read();
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
  }
}

const bytesReaders: ((bytes: Uint8Array) => unknown)[] = [
  (bytes) => parseJson(bytes),
  parseBundle,
  parseStatement,
  parseTrustFile,
  parseSpki,
  parseEvent,
  decodeEntries,
  parseTlogPolicy,
  (bytes) => readEvidence(nodeCrypto, bytes),
];
const textReaders: ((text: string) => unknown)[] = [
  (text) => parseJson(text),
  parsePublicKeyPem,
  (text) => decryptCosignKey(text, ""),
  parseNote,
  parseVkey,
  parseCheckpoint,
  parseTilePath,
  parseReference,
];

describe("readers fail by typed errors only", () => {
  test("on random bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) =>
        bytesReaders.forEach((read) => onlyTypedErrors(() => read(bytes))),
      ),
    );
  });

  test("on random text", () => {
    const text = fc.oneof(
      fc.string(),
      fc.string({ unit: "binary" }),
      fc.string({ unit: fc.constantFrom(...'{}[]":,\n\\=+/-\u2014 a0'.split("")) }),
    );
    fc.assert(
      fc.property(text, (value) => textReaders.forEach((read) => onlyTypedErrors(() => read(value)))),
      { numRuns: 500 },
    );
  });

  test("on random JSON of the right member names", () => {
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 5 },
        fc.constantFrom<unknown>(null, 1, "AAAA", "", true),
        tie("array"),
        tie("object"),
      ),
      array: fc.array(tie("value"), { maxLength: 3 }),
      object: fc.dictionary(
        fc.constantFrom(
          "mediaType",
          "verificationMaterial",
          "publicKey",
          "hint",
          "dsseEnvelope",
          "payload",
          "payloadType",
          "signatures",
          "sig",
          "keyid",
          "messageSignature",
          "messageDigest",
          "algorithm",
          "digest",
          "signature",
          "certificate",
          "tlogEntries",
          "subject",
          "_type",
        ),
        tie("value"),
      ),
    }));
    fc.assert(
      fc.property(value, (json) => {
        const withType =
          typeof json === "object" ? { ...json, mediaType: "application/vnd.dev.sigstore.bundle.v0.3+json" } : json;
        for (const document of [json, withType]) {
          const bytes = utf8Encode(JSON.stringify(document));
          for (const read of bytesReaders) onlyTypedErrors(() => read(bytes));
          onlyTypedErrors(() => parseReceipt(parseJson(bytes)));
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("verify refuses, and never throws on", () => {
  const verdictOf = (bundle: Uint8Array) => verify(nodeCrypto, { bundle, artifact, artifactBytes, trust, times: [] });

  test("random bytes", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
        expect((await verdictOf(bytes)).status).toBe("refused");
      }),
    );
  });

  test("bundles with any one byte changed, dropped, inserted or repeated", async () => {
    const bundles = [await statementBundle(key, artifact), await messageBundle(key, artifactBytes)];
    const edit = fc.constantFrom("replace", "drop", "insert", "cut", "swap");
    await fc.assert(
      fc.asyncProperty(
        fc.nat(1),
        fc.nat(),
        fc.integer({ min: 0, max: 255 }),
        edit,
        async (which, position, byte, kind) => {
          const bundle = bundles[which] ?? new Uint8Array();
          const at = position % bundle.length;
          const original = [...bundle];
          const edited = [...bundle];
          if (kind === "replace") edited[at] = byte;
          if (kind === "drop") edited.splice(at, 1);
          if (kind === "insert") edited.splice(at, 0, byte);
          if (kind === "cut") edited.length = at;
          if (kind === "swap") [edited[at], edited[at + 1]] = [edited[at + 1] ?? 0, edited[at] ?? 0];
          const verdict = await verdictOf(Uint8Array.from(edited));
          // White space between tokens is the one thing JSON leaves free: the same document, hence the same verdict.
          let same = edited.join() === original.join();
          try {
            same ||= JSON.stringify(JSON.parse(utf8Decode(Uint8Array.from(edited)))) === utf8Decode(bundle);
          } catch {
            same = false;
          }
          expect(verdict.status).toBe(same ? "verified" : "refused");
        },
      ),
      { numRuns: 2000 },
    );
  });
});
