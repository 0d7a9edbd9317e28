import { nodeCrypto } from "@assay/evidence/node";
import { describe, expect, it } from "vitest";
import { parseDuration, parsePolicy } from "../src/index.ts";
import type { PolicyError } from "../src/index.ts";
import { digest } from "./world.ts";

const GOOD = `version: 1
name: production
rules:
  - id: signed
    evidence:
      predicateType: https://sigstore.dev/cosign/sign/v1
      identities: [release-key]
`;

function errors(text: string): readonly PolicyError[] {
  const parsed = parsePolicy(text);
  if (parsed.ok) throw new Error("accepted");
  return parsed.errors;
}

/** The errors as `line:column path message`. */
function shown(text: string): string[] {
  return errors(text).map(({ line, column, path, message }) =>
    `${line}:${column} ${path} ${message}`.replace("  ", " "),
  );
}

const replaced = (from: string, to: string): string[] => shown(GOOD.replace(from, to));

describe("a good policy", () => {
  it("is read into plain data, and named by the digest of its bytes", () => {
    const parsed = parsePolicy(GOOD);
    expect(parsed).toEqual({
      ok: true,
      digest: digest(GOOD),
      policy: {
        version: 1,
        name: "production",
        rules: [
          {
            id: "signed",
            kind: "evidence",
            predicateType: "https://sigstore.dev/cosign/sign/v1",
            identities: [{ kind: "entry", name: "release-key" }],
            except: [],
            atLeast: 1,
            maximumAge: null,
          },
        ],
      },
    });
    expect(parsePolicy(GOOD, nodeCrypto)).toEqual(parsed);
  });

  it("may be JSON, begin with a byte order mark, have comments and other line ends", () => {
    const json = JSON.stringify({ version: 1, name: "x", rules: [{ id: "a", tests: { identities: ["ci"] } }] });
    for (const text of [json, `\ufeff${GOOD}`, `# hello\n---\n${GOOD}# ✔️ bye\n`, GOOD.replaceAll("\n", "\r\n")]) {
      expect(parsePolicy(text)).toMatchObject({ ok: true });
    }
  });

  it("is another policy if its text is another, even in a comment", () => {
    const [one, other] = [parsePolicy(GOOD), parsePolicy(`${GOOD}#`)];
    expect(one.ok && other.ok && one.digest !== other.digest).toBe(true);
  });
});

describe("errors tell line, column, path and what to do", () => {
  it("at an unknown key, with the nearest known one", () => {
    expect(replaced("identities:", "identites:")).toEqual([
      "5:5 rules[0].evidence.identities `identities` is missing: add it (a list).",
      '7:7 rules[0].evidence.identites Unknown key "identites": did you mean identities? Known here: predicateType, identities, except, atLeast, maximumAge.',
    ]);
    expect(replaced("name:", "Name:")[1]).toContain("did you mean name?");
    expect(shown(`${GOOD}      maximum-age: 7d\n`)[0]).toContain("did you mean maximumAge?");
    expect(shown(`${GOOD}      zzz: 7d\n`)[0]).toContain('Unknown key "zzz": remove it.');
  });

  it("inside a builder", () => {
    const text = GOOD.replace(
      /evidence:[^]*/,
      "provenance:\n      identities: [ci]\n      builders:\n        - id: x:y\n          identity: [ci]\n",
    );
    expect(shown(text)).toEqual([
      '9:11 rules[0].provenance.builders[0].identity Unknown key "identity": did you mean identities? Known here: id, identities, level.',
    ]);
    expect(shown(text.replace(/- id: x:y[^]*/, "- 7\n"))).toEqual([
      "8:11 rules[0].provenance.builders[0] Item 1 of `rules[0].provenance.builders` must be a text or a map of keys and values, but is 7.",
    ]);
  });

  it("at a missing key, at the thing that lacks it", () => {
    expect(replaced("name: production\n", "")).toEqual(["1:1 name `name` is missing: add it (a text)."]);
    expect(replaced("      identities: [release-key]\n", "")[0]).toMatch(
      /^5:5 rules\[0\]\.evidence\.identities `identities` is missing/,
    );
  });

  it("at values of another type", () => {
    expect(replaced("production", "2024")).toEqual([
      "2:7 name `name` is 2024, which YAML reads as a number: put it in quotes.",
    ]);
    expect(replaced("production", "true")).toEqual([
      "2:7 name `name` is true, which YAML reads as a truth value: put it in quotes.",
    ]);
    expect(replaced(" production", "")).toEqual(["2:6 name `name` is empty: give it a text, or remove it."]);
    expect(replaced("[release-key]", "release-key")).toEqual([
      '7:19 rules[0].evidence.identities `identities` must be a list: write ["release-key"].',
    ]);
    expect(shown("- a\n")).toEqual(["1:1 The policy must be a map of keys and values, but is a list of 1."]);
    expect(shown("")).toEqual(["1:1 The policy is empty: give it a map of keys and values, or remove it."]);
    expect(replaced("version: 1", "version: 2")).toEqual(["1:10 version `version` is 2, but must be 1."]);
  });

  it("at a policy without rules, which would allow nothing or everything", () => {
    for (const rules of ["rules: []", "rules:", "rules: {}"]) {
      expect(parsePolicy(`version: 1\nname: x\n${rules}\n`)).toMatchObject({ ok: false });
    }
    expect(shown("version: 1\nname: x\nrules: []\n")).toEqual([
      "3:8 rules `rules` is empty: a policy without rules would allow nothing and explain nothing; add a rule.",
    ]);
  });

  it("at rules that ask for nothing, two things, or have one id", () => {
    expect(shown("version: 1\nname: x\nrules:\n  - id: a\n")[0]).toBe(
      "4:5 rules[0] Item 1 of `rules` asks for nothing: give it one of signature, evidence, age, tests, provenance, summary.",
    );
    expect(shown(`${GOOD}    tests: { identities: [ci] }\n`)).toEqual([
      "8:12 rules[0].tests `tests` is a second thing beside evidence: make it a rule of its own.",
    ]);
    expect(shown(`${GOOD}  - id: signed\n    tests: { identities: [ci] }\n`)).toEqual([
      '8:9 rules[1].id `id` ("signed") names two rules: give each its own.',
    ]);
  });

  it("at numbers and lists that could never be satisfied or say nothing", () => {
    expect(shown(`${GOOD}      atLeast: 2\n`)[0]).toMatch(/^8:16 .* asks for 2 identities but only 1 are listed/);
    expect(shown(`${GOOD}      atLeast: 0\n`)[0]).toMatch(/^8:16 .*must be at least 1/);
    expect(shown(`${GOOD}      atLeast: 1.5\n`)[0]).toMatch(/^8:16 .*must be a whole number/);
    expect(replaced("[release-key]", "[]")[0]).toMatch(/^7:19 .* is empty/);
    expect(replaced("[release-key]", "[a, b, a]")[0]).toMatch(/^7:26 .*twice/);
    expect(shown(`${GOOD}      except: [release-key]\n`)[0]).toMatch(/^8:16 .*decide for one/);
  });

  it("at identities, ages, types, refs and repositories that cannot be meant", () => {
    for (const name of [
      "' ci'",
      "'ci '",
      "''",
      "sha256:abc",
      `SHA256:${"a".repeat(64)}`,
      '"a\\nb"',
      '"a\\u202eb"',
      '"a\\u200bb"',
      "7",
    ]) {
      expect(replaced("[release-key]", `[${name}]`)[0]).toMatch(/^7:20 /);
    }
    for (const age of ["90", "90 d", "d", "-1d", "0d", "1.5d", "90days", "1y", "1M", "1000000d", "999999w", "P90D"]) {
      expect(shown(`${GOOD}      maximumAge: ${age}\n`)[0]).toMatch(/^8:19 /);
    }
    for (const type of [
      "cosign",
      "https://a b",
      "''",
      "https://in-toto.io/attestation/test-result/v0.1",
      "https://slsa.dev/verification_summary/v0.2",
    ]) {
      expect(replaced("https://sigstore.dev/cosign/sign/v1", type)[0]).toMatch(/^6:22 /);
    }
    const source = (fields: string): string[] =>
      shown(
        GOOD.replace(
          /evidence:[^]*/,
          `provenance:\n      identities: [ci]\n      builders: [x:y]\n      source: { ${fields} }\n`,
        ),
      );
    expect(source("repository: https://github.com/x/y/")[0]).toMatch(/^8:29 .*is not a repository address/);
    expect(source("repository: https://github.com/x/y@refs/heads/main")[0]).toMatch(
      /^8:29 .*is not a repository address/,
    );
    expect(source("repository: https://github.com/x/y, ref: main")[0]).toMatch(/^8:58 .*write refs\/heads/);
    expect(source("repository: https://github.com/x/y, ref: [main]")[0]).toMatch(/^8:59 .*write refs\/heads/);
    expect(source("ref: refs/heads/main")[0]).toContain("`repository` is missing");
  });

  it("in the order of the file, and not endlessly", () => {
    const many = errors(`${GOOD}${Array.from({ length: 200 }, (_, index) => `k${index}: 1\n`).join("")}`);
    expect(many.length).toBe(50);
    expect(many.map((error) => error.line)).toEqual(many.map((error) => error.line).toSorted((a, b) => a - b));
  });

  it("without repeating what could steer a terminal", () => {
    const [error] = errors(`${GOOD}"\\e[31m\\u202e": 1\n`);
    expect(error?.message).toContain('"\\u001b[31m\\u{202e}"');
    expect(error?.path).toBe("\\u{1b}[31m\\u{202e}");
  });
});

describe("YAML that a policy must not use is refused with its place", () => {
  it.each([
    ["an anchor", GOOD.replace("production", "&a production"), "2:7 Anchors"],
    ["an anchor on a map", GOOD.replace("evidence:", "evidence: &a"), "5:15 Anchors"],
    ["an alias", GOOD.replace("[release-key]", "*a"), "7:19 Aliases"],
    ["a tag", GOOD.replace("production", "!!str production"), "2:7 Tags"],
    ["a custom tag", GOOD.replace("[release-key]", "!env [X]"), "7:19 Tags"],
    ["a tag on a block text", `${GOOD}description: !x |\n  a\n`, "8:14 Tags"],
    ["a directive", `%YAML 1.1\n---\n${GOOD}`, "1:1 Directives"],
    ["a tag directive", `%TAG ! tag:x,2000:\n---\n${GOOD}`, "1:1 Directives"],
    ["a second document", `${GOOD}---\n${GOOD}`, "8:1 A policy file holds one document"],
    ["a key twice", `${GOOD}name: other\n`, "8:1 This key stands here twice"],
    ["a key twice in a flow map", GOOD.replace("production", "{ a: 1, a: 2 }"), "2:15 This key stands here twice"],
    ["a merge key", `${GOOD}<<: { name: x }\n`, '8:1 << Unknown key "<<"'],
    ["a number as key", `${GOOD}1: x\n`, "8:1 A key must be a word"],
    ["a list as key", `${GOOD}? [a]\n: x\n`, "8:3 A key must be a word"],
    ["__proto__ as key", `${GOOD}__proto__: { name: x }\n`, '8:1 Unknown key "__proto__"'],
    [
      "__proto__ inside",
      GOOD.replace("identities:", "__proto__: { identities: [a] }\n      identities:"),
      '7:7 Unknown key "__proto__"',
    ],
    ["constructor as key", `${GOOD}constructor: x\n`, '8:1 constructor Unknown key "constructor"'],
    ["toString as key", `${GOOD}toString: x\n`, '8:1 toString Unknown key "toString"'],
    ["tabs as indent", GOOD.replace("  - id", "\t- id"), "4:1 "],
    ["a broken list", GOOD.replace("[release-key]", "[release-key"), "8:1 Not valid YAML"],
    ["a control character", `${GOOD}# \u0007\n`, "8:3 The file holds the invisible character \\u{7}"],
    ["a direction mark", `${GOOD}# a\u202eb\n`, "8:4 The file holds the invisible character \\u{202e}"],
    ["a lone surrogate", `${GOOD}# \ud800\n`, "8:3 The file holds the invisible character"],
  ])("%s", (_, text, message) => {
    expect(shown(text)[0]?.slice(0, message.length)).toBe(message);
  });

  it("reads yes, no, dates and octals as YAML 1.2 does: as texts and numbers that no key expects", () => {
    expect(parsePolicy(GOOD.replace("production", "yes"))).toMatchObject({ ok: true, policy: { name: "yes" } });
    expect(parsePolicy(GOOD.replace("production", "2024-01-01"))).toMatchObject({
      ok: true,
      policy: { name: "2024-01-01" },
    });
  });
});

describe("hostile files are refused quickly", () => {
  const lol = (levels: number): string =>
    [
      "a0: &a0 [x, x]",
      ...Array.from({ length: levels }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(9).fill(`*a${i}`).join(",")}]`),
    ].join("\n");

  it.each([
    ["a billion laughs", lol(9)],
    ["too large a file", `# ${"x".repeat(256 * 1024)}`],
    ["too large in bytes", `# ${"é".repeat(129 * 1024)}`],
    ["deep flow lists", "[".repeat(250_000)],
    ["deep closed flow lists", "[".repeat(100_000) + "]".repeat(100_000)],
    ["deep flow maps", "{a: ".repeat(60_000)],
    ["deep block lists", "- ".repeat(100_000)],
    ["deep block maps", Array.from({ length: 700 }, (_, i) => `${" ".repeat(i)}a:`).join("\n")],
    ["deep explicit keys", "? ".repeat(100_000)],
    ["many keys", Array.from({ length: 30_000 }, (_, i) => `k${i}:`).join("\n")],
    ["many flow keys", `{${Array.from({ length: 30_000 }, (_, i) => `k${i}`).join(",")}}`],
    ["many small lists", Array.from({ length: 250 }, (_, i) => `k${i}: [${"[1,1],".repeat(150)}]`).join("\n")],
    ["many documents", "---\n".repeat(60_000)],
    ["many anchors", "&a ".repeat(80_000)],
    ["many tags", "! ".repeat(120_000)],
    ["many colons", ":".repeat(250_000)],
    ["many spaced colons", ": ".repeat(120_000)],
    ["an open quote", `"${"x\n".repeat(100_000)}`],
    ["an open single quote", `'${"\n".repeat(250_000)}`],
    ["a long plain text of lines", "a\n".repeat(120_000)],
    ["a long block text", `|\n${" a\n".repeat(80_000)}`],
    ["many escapes", `"${"\\u0041".repeat(40_000)}"`],
    ["many comments", "#\n".repeat(120_000)],
    ["many blank lines", "\n".repeat(250_000)],
    ["many commas", `[${",".repeat(250_000)}`],
    ["many closings", "]".repeat(250_000)],
    ["many directives", "%a\n".repeat(80_000)],
  ])("%s", (_, text) => {
    const begun = performance.now();
    const parsed = parsePolicy(text);
    expect(parsed.ok).toBe(false);
    expect(!parsed.ok && parsed.errors.length > 0 && parsed.errors.length <= 50).toBe(true);
    // A bound against explosions, wide enough for a busy machine; the slowest takes under a second alone.
    expect(performance.now() - begun).toBeLessThan(10_000);
  });
});

describe("limits are named where they are met", () => {
  it.each([
    [
      "depth of flow lists",
      `a: ${"[".repeat(20)}${"]".repeat(20)}\n`,
      /^1:\d+ The file is nested more than 16 levels deep\.$/,
    ],
    [
      "depth of block maps",
      Array.from({ length: 20 }, (_, i) => `${" ".repeat(i)}a:`).join("\n"),
      /^\d+:\d+ The file is nested more than 16/,
    ],
    [
      "entries of a map",
      Array.from({ length: 257 }, (_, i) => `k${i}: 1`).join("\n"),
      /^1:1 A list or map has more than 256 entries\.$/,
    ],
    ["entries of a list", `a: [${"1,".repeat(257)}]`, /^1:4 A list or map has more than 256 entries\.$/],
    ["size", `#${"x".repeat(256 * 1024)}`, /^1:1 The file is larger than 256 KiB/],
  ])("%s", (_, text, message) => {
    expect(shown(text)[0]).toMatch(message);
  });
});

describe("durations", () => {
  it("are minutes, hours, days and weeks", () => {
    expect(["30m", "12h", "90d", "4w"].map(parseDuration)).toEqual([
      1_800_000, 43_200_000, 7_776_000_000, 2_419_200_000,
    ]);
  });

  it("are nothing else", () => {
    for (const text of [
      "",
      "d",
      "0d",
      "01d",
      "1",
      "1 d",
      "1D",
      "1s",
      "1y",
      "-1d",
      "+1d",
      "1e3d",
      "1d ",
      "1d\n",
      "１d",
      "36526d",
      "9999999d",
    ]) {
      expect(parseDuration(text)).toBeUndefined();
    }
  });
});
