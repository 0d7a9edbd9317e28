import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { editDistance, nearest } from "../src/suggest.ts";
import { runAssay } from "./run.ts";

describe("a suggestion", () => {
  it.each([
    ["evidnce", "evidence"],
    ["evidenec", "evidence"],
    ["ley", "key"],
    ["VERIFY", "verify"],
    ["verfiy", "verify"],
    ["xyzzy", undefined],
    ["verify", undefined],
    ["", undefined],
    ["v".repeat(100), undefined],
  ])("for %j is %s", (word, meant) => {
    expect(nearest(word, ["evidence", "key", "verify", "sign"])).toBe(meant);
  });

  it("counts a swap of neighbours as one slip", () => {
    expect(editDistance("ab", "ba", 5)).toBe(1);
    expect(editDistance("kitten", "sitting", 5)).toBe(3);
    expect(editDistance("abc", "xyz", 1)).toBe(2);
  });

  it("is a distance: none to itself, the same both ways, and never above its bound by more than one", () => {
    const word = fc.string({ maxLength: 12 });
    fc.assert(
      fc.property(word, word, fc.nat(6), (a, b, most) => {
        expect(editDistance(a, a, most)).toBe(0);
        expect(editDistance(a, b, most)).toBe(editDistance(b, a, most));
        const whole = editDistance(a, b, 100);
        expect(editDistance(a, b, most)).toBe(Math.min(whole, most + 1));
        expect(whole > 0).toBe(a !== b);
      }),
    );
  });

  it.each([
    [["evidnce"], "evidence", "assay --help"],
    [["key", "genrate"], "generate", "assay key --help"],
    [["evidnce", "--help"], "evidence", "assay --help"],
    [["key", "list", "--outptu", "json"], "--output", "assay key list --help"],
    [["key", "list", "--output", "jsno"], "json", "assay --help"],
    [["fingerprint", "x", "-t", "fiel"], "file", "assay fingerprint --help"],
    [["account", "role", "set", "person", "a", "memebr"], "member", "assay account role set --help"],
  ])("is made for %j: %s", async (words, meant, help) => {
    const ended = await runAssay(words);
    expect(ended).toMatchObject({ exit: 2, stdout: "" });
    expect(ended.stderr).toContain(`Did you mean ${meant}? See \`${help}\`.`);
  });
});
