import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { asBytePath, bytePath, cleanPath, displayPath, isUtf8 } from "../src/fingerprint/bytepath.ts";
import { ContentHasher } from "../src/fingerprint/content.ts";
import { fingerprintDirectory } from "../src/fingerprint/directory.ts";
import { parseExcludeList, parseIgnoreFile } from "../src/fingerprint/exclusions.ts";
import { checkPattern, matchName } from "../src/fingerprint/pattern.ts";
import { encodeEntry, StructureDigest, type TreeEntry } from "../src/fingerprint/tree-digests.ts";
import { VECTORS } from "./fingerprint-vectors.ts";
import { containing, runAssay } from "./run.ts";
import { makeTree, type TreeSpec, temporaryFolder } from "./tree.ts";

const EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

describe("the Kosli fingerprint of a directory", () => {
  for (const { name, tree, excludes = [], root = "t", inside, folder = "t", fingerprint } of VECTORS) {
    it(`equals the Kosli CLI's: ${name}`, async () => {
      const above = makeTree(tree, folder);
      // In a process of its own, because the spelling of a relative root has a meaning.
      const flags = excludes.flatMap((exclude) => ["--exclude", exclude]);
      const ended = await runAssay(["fingerprint", root, "-t", "dir", ...flags], {
        cwd: inside ? join(above, folder) : above,
      });
      expect({ stdout: ended.stdout.trim(), exit: ended.exit }).toEqual({ stdout: fingerprint, exit: 0 });
    });
  }

  it("refuses a link as root rather than give the fingerprint of nothing", async () => {
    const above = makeTree({ f: "1" });
    symlinkSync("t", join(above, "l"));
    await expect(fingerprintDirectory(join(above, "l"), [], { structure: false })).rejects.toMatchObject({
      code: "directory-is-link",
    });
    const through = await fingerprintDirectory(`${join(above, "l")}/`, [], { structure: false });
    expect(through.fingerprint).toBe(
      (await fingerprintDirectory(join(above, "t"), [], { structure: false })).fingerprint,
    );
  });

  it("refuses a malformed exclusion and names it", async () => {
    const above = makeTree({ f: "1" });
    await expect(fingerprintDirectory(join(above, "t"), ["[a"], { structure: false })).rejects.toMatchObject({
      code: "pattern-malformed",
      message: containing("[a"),
    });
  });

  it("reports a broken link and names it", async () => {
    const above = makeTree({ l: { link: "nowhere" } });
    await expect(fingerprintDirectory(join(above, "t"), [], { structure: false })).rejects.toMatchObject({
      code: "file-missing",
      exit: 3,
      message: containing("t/l"),
    });
  });

  it("warns when a flag leaves out the ignore file", async () => {
    const above = makeTree({ f: "1", ".kosli_ignore": "f" });
    const found = await fingerprintDirectory(join(above, "t"), [".kosli_ignore"], { structure: false });
    expect(found).toMatchObject({ fingerprint: EMPTY, warnings: [{ code: "ignore-file-excluded" }] });
  });

  it("handles names that are not UTF-8", async () => {
    const root = temporaryFolder();
    writeFileSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0x66, 0xff])]), "1");
    const { structure } = await fingerprintDirectory(root, [], { structure: true });
    const [entry] = structure?.entries ?? [];
    expect(entry?.path).toBe("f\xff");
    expect(isUtf8(asBytePath("f\xff"))).toBe(false);
    expect((await fingerprintDirectory(root, ["f?"], { structure: false })).fingerprint).toBe(EMPTY);
  });
});

describe("the structure digest", () => {
  const digestOf = async (tree: TreeSpec): Promise<string | undefined> =>
    (await fingerprintDirectory(join(makeTree(tree), "t"), [], { structure: true })).structure?.digest;

  it("tells apart trees that the Kosli fingerprint does not", async () => {
    const trees: TreeSpec[] = [
      { "a/f": "1" },
      { a: null, f: "1" },
      { "a/b": null },
      { a: null, b: null },
      { f: "1" },
      { f: { executable: "1" } },
      { f: "1", l: { link: "f" } },
      { f: "1", l: "1" },
      { f: "1", l: { link: "./f" } },
    ];
    const digests = await Promise.all(trees.map(digestOf));
    expect(new Set(digests).size).toBe(trees.length);
  });

  it("is the SHA-256 of the documented encoding", async () => {
    expect(encodeEntry({ kind: "directory", path: bytePath("a") }).toString("hex")).toBe("0000000702000000000161");
    expect(encodeEntry({ kind: "link", path: bytePath("l"), target: bytePath("a") }).toString("hex")).toBe(
      "0000000c030000000001" + "6c0000000161",
    );
    expect(
      encodeEntry({ kind: "file", path: bytePath("f"), size: 1, executable: true, content: EMPTY }).toString("hex"),
    ).toBe(`0000002f010100000001660000000000000001${EMPTY}`);
    expect(new StructureDigest().digest()).toBe(await digestOf({}));
  });

  it("lists what it binds, in walk order, relative to the root", async () => {
    const above = makeTree({ "b/x": "12", a: { executable: "1" }, "b/l": { link: "x" } });
    const { structure } = await fingerprintDirectory(join(above, "t"), [], { structure: true });
    expect(structure?.entries.map((entry) => `${entry.kind} ${entry.path}`)).toEqual([
      "file a",
      "directory b",
      "link b/l",
      "file b/x",
    ]);
  });

  it("is injective: different entries have different encodings, none a prefix of another's", () => {
    const path = fc.string({ minLength: 1, maxLength: 6 }).map(bytePath);
    const entry: fc.Arbitrary<TreeEntry> = fc.oneof(
      fc.record({ kind: fc.constant("directory" as const), path }),
      fc.record({ kind: fc.constant("link" as const), path, target: path }),
      fc.record({
        kind: fc.constant("file" as const),
        path,
        size: fc.nat(),
        executable: fc.boolean(),
        content: fc.constantFrom(EMPTY, EMPTY.replace("e", "0")),
      }),
    );
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 4 }), fc.array(entry, { maxLength: 4 }), (a, b) => {
        const [left, right] = [Buffer.concat(a.map(encodeEntry)), Buffer.concat(b.map(encodeEntry))];
        expect(left.equals(right)).toBe(JSON.stringify(a) === JSON.stringify(b));
      }),
    );
  });
});

describe("the content of files", () => {
  it("is hashed the same whatever its size and the way it is read", async () => {
    const folder = temporaryFolder();
    const { createHash } = await import("node:crypto");
    const hasher = new ContentHasher(true);
    for (const size of [0, 1, (1 << 18) - 1, 1 << 18, (1 << 18) + 1, (1 << 20) + (1 << 18), 3_000_001]) {
      const bytes = Buffer.alloc(size, `${size}|`);
      const path = join(folder, String(size));
      writeFileSync(path, bytes, { mode: 0o640 });
      const expected = { sha256: createHash("sha256").update(bytes).digest("hex"), size, mode: 0o640 };
      expect(await hasher.hash(bytePath(path), false)).toEqual(expected);
    }
  });

  it("is not looked for behind a link that took a file's place", () => {
    const folder = makeTree({ l: { link: "f" }, f: "1" });
    expect(() => new ContentHasher().hash(bytePath(join(folder, "t", "l")), false)).toThrow(/link/);
  });

  it("names the file that cannot be read", () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, "d"));
    expect(() => new ContentHasher().hash(bytePath(join(folder, "d")), false)).toThrow(/d is a directory/);
  });
});

describe("patterns", () => {
  const match = (pattern: string, name: string): boolean => matchName(bytePath(pattern), bytePath(name));

  it.each([
    ["*", "abc", true],
    ["*", "a/c", false],
    ["a*c", "abbc", true],
    ["a*c", "abbcd", false],
    ["*b*d", "abcd", true],
    ["?", "é", true],
    ["??", "é", false],
    ["[a-c]", "b", true],
    ["[^a-c]", "b", false],
    ["[c-a]", "b", false],
    ["[é-ü]", "ê", true],
    ["\\*", "*", true],
    ["\\*", "a", false],
    ["[\\]]", "]", true],
    ["[*]", "*", true],
  ])("%s on %s is %s", (pattern, name, expected) => {
    expect(match(pattern, name)).toBe(expected);
  });

  it.each(["[", "[]", "[]a]", "[-]", "[a-]", "[^", "a\\", "[\\", "[x-"])("%s is refused", (pattern) => {
    expect(() => checkPattern(bytePath(pattern))).toThrow(/not a valid pattern/);
  });

  it("match any name as a star does, and themselves when escaped", () => {
    fc.assert(
      fc.property(
        fc.string({ maxLength: 20 }).filter((name) => !name.includes("/")),
        (name) => {
          expect(match("*", name)).toBe(true);
          expect(match(name.replace(/[*?[\\]/g, "\\$&"), name)).toBe(true);
        },
      ),
    );
  });

  it("never fail on arbitrary text otherwise than by being refused", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (pattern, name) => {
        const fails = (action: () => unknown): boolean => {
          try {
            action();
            return false;
          } catch (error) {
            return error instanceof Error;
          }
        };
        expect(fails(() => match(pattern, name)) && !fails(() => checkPattern(bytePath(pattern)))).toBe(false);
      }),
    );
  });
});

describe("lists of exclusions", () => {
  it.each<[string, string[]]>([
    ["", []],
    ["a", ["a"]],
    ["a,b", ["a", "b"]],
    ["a,,b,", ["a", "", "b", ""]],
    ['"a,b",c', ["a,b", "c"]],
    ['"a""b"', ['a"b']],
  ])("%j is %j", (argument, expected) => expect(parseExcludeList(argument)).toEqual(expected));

  it.each(['a"b', '"a', '"a"b', 'a,"b'])("%j is refused", (argument) =>
    expect(() => parseExcludeList(argument)).toThrow(/out of place/),
  );

  it("skip comments and blanks in an ignore file", () => {
    expect(parseIgnoreFile("# c\n a \n\nb#c\r\n\xc2\xa0d\xe2\x80\x83\n\t")).toEqual(["a", "b", "d"]);
  });

  it("refuse an ignore file with an endless line", () => {
    expect(() => parseIgnoreFile("a".repeat(70_000))).toThrow(/more than/);
  });
});

describe("paths", () => {
  it.each([
    ["", "."],
    ["a//b/", "a/b"],
    ["./a/../b", "b"],
    ["../a", "../a"],
    ["/../a", "/a"],
    ["a/..", "."],
    ["/", "/"],
    ["../..", "../.."],
  ])("%j cleans to %j", (path, expected) => expect(cleanPath(bytePath(path))).toBe(expected));

  it("keep every byte and show what can be shown", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        expect(displayPath(bytePath(text))).toBe(text.toWellFormed());
      }),
    );
  });
});
