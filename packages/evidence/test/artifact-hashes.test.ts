/** Artifacts as signatures ask for them to be hashed: by what, how they are read as texts, and what that counts as. */
import { randomBytes } from "node:crypto";
import { nodeCrypto } from "@assay/evidence/node";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hashAlgorithm } from "../openpgp/algorithms.ts";
import { ArtifactHashes, type ReadingTerms } from "../src/artifact-hashes.ts";
import { digestOf, type HashedDocument, hashDocument, type HashWay, toHex, utf8Encode } from "../src/index.ts";
import { canonical } from "./openpgp-builder.ts";
import { inChunks } from "./openpgp-asking.ts";

/** All hashes by their numbers that a signature over a document may rest on. */
const algorithms = Array.from({ length: 256 }, (_, id) => hashAlgorithm(id)).filter(
  (hash) => hash?.fit === "documents",
);

const shaOf = (hashed: HashedDocument | undefined): string =>
  toHex(hashed?.hasher.clone().digest() ?? new Uint8Array());

function hashesOf(bytes: Uint8Array, terms?: ReadingTerms): ArtifactHashes {
  return new ArtifactHashes(nodeCrypto, digestOf(nodeCrypto, bytes), {
    size: bytes.length,
    read: () => inChunks(bytes, 1000),
    ...(terms === undefined ? {} : { terms }),
  });
}

test("every hash that OpenPGP allows for documents is the host's own, and says what plain JavaScript says", async () => {
  const bytes = randomBytes(5000);
  const prefix = randomBytes(32);
  const known = algorithms.flatMap((hash) => (hash === undefined ? [] : [hash]));
  expect(known.map(({ id }) => id)).toEqual([8, 9, 10, 11, 12, 14]);
  const ways = known.map(({ name, create }) => ({ algorithm: name, create, prefix, isText: false }));
  const plain = await hashDocument(ways, [bytes]);
  const refusing = ways.map(
    (way): HashWay => ({
      ...way,
      create: () => {
        throw new Error(`${way.algorithm} is hashed in plain JavaScript`);
      },
    }),
  );
  const native = await hashesOf(bytes).of(refusing);
  expect(native.map(shaOf)).toEqual(plain.map(shaOf));
});

test("bytes that are not the artifact's are its host's fault where it says so, and else the giver's", async () => {
  const way: HashWay = {
    algorithm: "SHA512",
    create: () => expect.fail("not the host's"),
    prefix: randomBytes(1),
    isText: false,
  };
  const artifact = digestOf(nodeCrypto, utf8Encode("the artifact"));
  for (const given of ["another thing", "THE artifact", "the artifac"]) {
    const source = { size: 12, read: () => inChunks(utf8Encode(given), 5) };
    const damaged = { ...source, altered: () => new Error("damaged") };
    await expect(new ArtifactHashes(nodeCrypto, artifact, source).of([way])).rejects.toMatchObject({
      code: "subject-mismatch",
    });
    await expect(new ArtifactHashes(nodeCrypto, artifact, damaged).of([way])).rejects.toThrow("damaged");
  }
});

describe("a text", () => {
  const [sha512] = algorithms.flatMap((hash) => (hash?.name === "SHA512" ? [hash] : []));
  const way = (isText: boolean, salt: number): HashWay => ({
    algorithm: "SHA512",
    create: sha512?.create ?? expect.fail("SHA-512 is not known"),
    prefix: Uint8Array.of(salt),
    isText,
  });

  test("is hashed in several ways at once as in each by itself, and as its bytes beside them, however it comes", async () => {
    const texts = fc.array(fc.constantFrom("a", "\n", "\r\n", "bc"), { maxLength: 40 }).map((parts) => parts.join(""));
    await fc.assert(
      fc.asyncProperty(texts, fc.integer({ min: 1, max: 9 }), async (text, size) => {
        const bytes = utf8Encode(text);
        const together = await hashDocument([way(true, 1), way(false, 2), way(true, 3)], inChunks(bytes, size));
        const lines = utf8Encode(text.replaceAll("\r\n", "\n").replaceAll("\n", "\r\n"));
        const alone = [await hashDocument([way(false, 1)], [lines]), await hashDocument([way(false, 2)], [bytes])];
        expect(together.map(shaOf)).toEqual([
          ...alone.map(([hashed]) => shaOf(hashed)),
          shaOf((await hashDocument([way(false, 3)], [lines]))[0]),
        ]);
        expect(together.every(({ isFit }) => isFit)).toBe(true);
      }),
    );
  });

  test("counts as twice its bytes in what a question may cost: made of line ends, it is as long when it is hashed", async () => {
    const taken: number[] = [];
    const terms: ReadingTerms = {
      recall: () => undefined,
      remember: () => undefined,
      affords: () => true,
      take: (bytes) => taken.push(bytes) > 0,
      turn: (reading) => reading(),
    };
    await hashesOf(utf8Encode("\n".repeat(1000)), terms).of([way(true, 1), way(false, 2), way(true, 3)]);
    expect(taken.reduce((sum, bytes) => sum + bytes, 0)).toBe(5000);
  });

  test("of more than one piece, all line ends, is hashed whole", async () => {
    const text = "\n".repeat(200_001);
    const [hashed] = await hashDocument([way(true, 1)], [utf8Encode(text)]);
    const [expected] = await hashDocument([way(false, 1)], [canonical(text)]);
    expect(shaOf(hashed)).toBe(shaOf(expected));
  });

  test("with a bare carriage return cannot be judged as one, and as bytes it can", async () => {
    for (const text of ["a\rb", "a\r", `${"x".repeat(65_535)}\ry`]) {
      const hashed = await hashDocument([way(true, 1), way(false, 1)], [utf8Encode(text)]);
      expect(
        hashed.map(({ isFit }) => isFit),
        JSON.stringify(text.slice(-3)),
      ).toEqual([false, true]);
    }
  });
});
