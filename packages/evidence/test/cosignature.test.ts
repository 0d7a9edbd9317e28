import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { nodeCrypto as crypto } from "../node/index.ts";
import {
  cosignatureLine,
  cosignedBytes,
  formatCheckpoint,
  formatNote,
  formatVkey,
  NOTE_COSIGNATURE_ED25519,
  NOTE_COSIGNATURE_ML_DSA_44,
  NOTE_ED25519,
  type NoteKey,
  nobleCrypto,
  noteKey,
  noteSignatureLine,
  openNote,
  parseVkey,
  utf8Decode,
  verifyCosignatures,
} from "../src/index.ts";
import { code } from "./failure.ts";
import { keyOf } from "./virtual.ts";

const vectors = JSON.parse(readFileSync(new URL("fixtures/cosignatures.go.json", import.meta.url), "utf8")) as {
  log: string;
  witnesses: [string, string];
  plain: string;
  extended: string;
};

const rawKey = (name: string): Uint8Array => keyOf(name, "ed25519").publicKey.spki.slice(-32);
const witnessKey = (name: string): NoteKey => noteKey(name, NOTE_COSIGNATURE_ED25519, rawKey(name));
const cosign = (name: string, time: number, text: string): string =>
  cosignatureLine(witnessKey(name), time, keyOf(name, "ed25519").sign(cosignedBytes(time, text)));

const text = formatCheckpoint({ origin: "log.example", size: 7, root: new Uint8Array(32).fill(7), extensions: [] });

describe("what Go implementations cosigned", () => {
  const [w1, w2] = vectors.witnesses.map(parseVkey);
  if (w1 === undefined || w2 === undefined) throw new Error("two witnesses");

  test.each(["plain", "extended"] as const)("verifies, by torchwood and by transparency-dev (%s)", async (name) => {
    for (const port of [crypto, nobleCrypto]) {
      const found = await verifyCosignatures(port, vectors[name], [w1, w2]);
      expect(found.map(({ key }) => key.name)).toEqual(["witness.example/w1", "witness.example/w2"]);
      for (const { time } of found) expect(time).toBeGreaterThan(1_700_000_000);
    }
  });

  test("has vkeys that are read and written", () => {
    for (const vkey of vectors.witnesses) {
      const key = parseVkey(vkey);
      expect(key.algorithm).toBe(NOTE_COSIGNATURE_ED25519);
      expect(formatVkey(key.name, key.algorithm, key.publicKey)).toBe(vkey);
    }
  });

  test("carries the log's own signature beside, and neither is taken for the other", async () => {
    const log = parseVkey(vectors.log);
    expect((await openNote(crypto, vectors.plain, [log, w1, w2])).verifiedBy).toEqual([log]);
    expect(await verifyCosignatures(crypto, vectors.plain, [log])).toEqual([]);
  });

  test("cannot lose or change an extension line", async () => {
    await expect(verifyCosignatures(crypto, vectors.extended.replace("an extension line\n", ""), [w1])).rejects.toThrow(
      code("note-signature-invalid"),
    );
    await expect(verifyCosignatures(crypto, vectors.extended.replace("extension", "other"), [w2])).rejects.toThrow(
      code("note-signature-invalid"),
    );
  });
});

describe("the cosigned message", () => {
  test("is the one of the specification", () => {
    const example = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
    expect(utf8Decode(cosignedBytes(1679315147, example))).toBe(`cosignature/v1\ntime 1679315147\n${example}`);
  });

  test.each([0, -1, 1.5, Number.NaN, 2 ** 53])("has no time %s", (time) => {
    expect(() => cosignedBytes(time, text)).toThrow(code("time-invalid"));
  });

  test("is of a checkpoint and nothing else", () => {
    expect(() => cosignedBytes(1, "any other text\n")).toThrow(code("checkpoint-invalid"));
  });
});

describe("cosignatures", () => {
  test("are found per key, the newest of each, whoever else signed", async () => {
    const note = formatNote(text, [
      noteSignatureLine(noteKey("log.example", NOTE_ED25519, rawKey("log")), new Uint8Array(64)),
      cosign("a", 10, text),
      cosign("b", 5, text),
      cosign("a", 30, text),
      cosign("a", 20, text),
      cosign("stranger", 7, text),
    ]);
    const found = await verifyCosignatures(crypto, note, ["a", "b", "absent"].map(witnessKey));
    expect(found.map(({ key, time }) => [key.name, time])).toEqual([
      ["a", 30],
      ["b", 5],
    ]);
  });

  test.each([
    ["a signature over another text", cosign("a", 1, text.replace("7", "8"))],
    ["a plain signature", noteSignatureLine(witnessKey("a"), keyOf("a", "ed25519").sign(cosignedBytes(1, text)))],
    ["another time", cosignatureLine(witnessKey("a"), 2, keyOf("a", "ed25519").sign(cosignedBytes(1, text)))],
    ["the time 0", noteSignatureLine(witnessKey("a"), new Uint8Array(72))],
    ["a time beyond 2^53", noteSignatureLine(witnessKey("a"), new Uint8Array(72).fill(255))],
    ["a byte too much", noteSignatureLine(witnessKey("a"), new Uint8Array(73).fill(1))],
  ])("with %s under a known key are refused", async (_, line) => {
    const note = formatNote(text, [cosign("b", 1, text), line]);
    await expect(verifyCosignatures(crypto, note, [witnessKey("a")])).rejects.toThrow(code("note-signature-invalid"));
    expect(await verifyCosignatures(crypto, note, [witnessKey("b")])).toHaveLength(1);
  });

  test("of ML-DSA-44 keys are known for what they are, and verify nothing", async () => {
    const key = noteKey("a", NOTE_COSIGNATURE_ML_DSA_44, new Uint8Array(1312).fill(3));
    expect(parseVkey(formatVkey("a", key.algorithm, key.publicKey))).toEqual(key);
    const note = formatNote(text, [noteSignatureLine(key, new Uint8Array(8 + 2420).fill(1))]);
    expect(await verifyCosignatures(crypto, note, [key])).toEqual([]);
    expect(() => noteKey("a", NOTE_COSIGNATURE_ML_DSA_44, new Uint8Array(32))).toThrow(code("note-key-invalid"));
  });

  test("keys of type 4 are held to the same rules as the log's", () => {
    expect(() => noteKey("a", NOTE_COSIGNATURE_ED25519, new Uint8Array(32))).toThrow(code("note-key-invalid"));
    expect(() => noteKey("a", NOTE_COSIGNATURE_ED25519, new Uint8Array(31))).toThrow(code("note-key-invalid"));
  });

  test("no bit of a cosigned checkpoint or its cosignature can be changed", async () => {
    const line = cosign("a", 1_700_000_000, text);
    const note = formatNote(text, [line]);
    await fc.assert(
      fc.asyncProperty(fc.nat(note.length - 1), fc.integer({ min: 1, max: 0x7f }), async (at, change) => {
        const changed = note.slice(0, at) + String.fromCharCode(note.charCodeAt(at) ^ change) + note.slice(at + 1);
        // Refused, or, where the line is no longer the key's own, not counted.
        const found = await verifyCosignatures(crypto, changed, [witnessKey("a")]).catch(() => []);
        expect(found).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  test("are read back whatever the checkpoint and time", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(),
        fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        async (size, time, root) => {
          const any = formatCheckpoint({ origin: "log.example", size, root, extensions: [] });
          const found = await verifyCosignatures(crypto, formatNote(any, [cosign("a", time, any)]), [witnessKey("a")]);
          expect(found.map((each) => each.time)).toEqual([time]);
        },
      ),
      { numRuns: 50 },
    );
  });
});
