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
  isQuorum,
  NOTE_COSIGNATURE_ED25519,
  NOTE_COSIGNATURE_ML_DSA_44,
  NOTE_ED25519,
  noteKey,
  noteSignatureLine,
  noteSignedBytes,
  openWitnessed,
  parseTlogPolicy,
  type TlogPolicy,
  utf8Encode,
} from "../src/index.ts";
import { code } from "./failure.ts";
import { keyOf } from "./virtual.ts";

const raw = (name: string): Uint8Array => keyOf(name, "ed25519").publicKey.spki.slice(-32);
const wkey = (name: string): string => formatVkey(name, NOTE_COSIGNATURE_ED25519, raw(name));
const lkey = (name: string): string => formatVkey(name, NOTE_ED25519, raw(name));
const parse = (...lines: string[]): TlogPolicy =>
  parseTlogPolicy(utf8Encode(lines.map((line) => `${line}\n`).join("")));
const witnesses = (...names: string[]): string[] => names.map((name) => `witness ${name} ${wkey(name)}`);

describe("the example of the specification", () => {
  const policy = parse(
    `log ${lkey("log.example")}`,
    "",
    ...witnesses("X1", "X2", "X3"),
    "group X-witnesses 2 X1 X2 X3",
    "",
    ...witnesses("Y1", "Y2", "Y3"),
    "group Y-witnesses any Y1 Y2 Y3",
    "",
    "group X-and-Y all X-witnesses Y-witnesses",
    "quorum X-and-Y",
  );

  test("asks for two of X and one of Y", () => {
    const holds = (...names: string[]): boolean => isQuorum(policy, new Set(names));
    expect(holds("X1", "X3", "Y2")).toBe(true);
    expect(holds("X1", "X2", "X3", "Y1", "Y2", "Y3")).toBe(true);
    expect(holds("X1", "X2", "X3")).toBe(false);
    expect(holds("X1", "Y1", "Y2", "Y3")).toBe(false);
    expect(holds()).toBe(false);
  });

  test("a group's name, or one that is not in the policy, is no cosignature", () => {
    expect(isQuorum(policy, new Set(["X-and-Y", "X-witnesses", "Y-witnesses", "none", "Z1"]))).toBe(false);
  });
});

describe("a policy", () => {
  test("may ask for one witness, or none", () => {
    const one = parse(...witnesses("a", "b"), "quorum a");
    expect(isQuorum(one, new Set(["a"]))).toBe(true);
    expect(isQuorum(one, new Set(["b"]))).toBe(false);
    expect(isQuorum(parse("quorum none"), new Set())).toBe(true);
  });

  test("keeps keys and URLs, and reads tabs, indents, comments and other alphabets", () => {
    const policy = parse(
      "# ours",
      `\t log \t ${lkey("log.example")}\thttps://log.example/`,
      `witness Zürich ${wkey("zh")} https://zh.example/w#1`,
      "  #last",
      "\t",
      "quorum Zürich",
    );
    expect(policy.logs.map(({ key, url }) => [key.name, url])).toEqual([["log.example", "https://log.example/"]]);
    expect(policy.witnesses.map(({ name, key, url }) => [name, key.name, url])).toEqual([
      ["Zürich", "zh", "https://zh.example/w#1"],
    ]);
    expect(policy.quorum).toBe("Zürich");
  });

  test("may name witnesses with ML-DSA-44 keys, which never count as verified here", async () => {
    const vkey = formatVkey("pq", NOTE_COSIGNATURE_ML_DSA_44, new Uint8Array(1312).fill(1));
    expect(parse(`witness pq ${vkey}`, "quorum pq").witnesses[0]?.key.algorithm).toBe(6);
  });

  test("takes names that look like keywords: their place says what they are", () => {
    const policy = parse(...witnesses("any", "2"), "group all 2 any 2", "quorum all");
    expect(isQuorum(policy, new Set(["any", "2"]))).toBe(true);
    expect(isQuorum(policy, new Set(["any"]))).toBe(false);
  });

  const [a = "", b = "", c = ""] = witnesses("a", "b", "c");
  test.each([
    ["no quorum", [a]],
    ["two quorums", [a, "quorum a", "quorum a"]],
    ["an unknown line", [a, "quorum a", "policy x"]],
    ["a comment after a line", [a, "quorum a # main"]],
    ["an unknown quorum", [a, "quorum b"]],
    ["a quorum before its witness", ["quorum a", a]],
    ["a group before its member", [a, "group g any a b", b, "quorum g"]],
    ["a group of itself", [a, "group g any g", "quorum g"]],
    ["a name defined twice", [a, a.replace(wkey("a"), wkey("z")), "quorum a"]],
    ["a group of a witness's name", [a, b, "group a any b", "quorum a"]],
    ["the same key under two names", [a, a.replace("witness a", "witness z"), "quorum a"]],
    [
      "the same public key in two vkeys",
      [a, `witness z ${formatVkey("other", NOTE_COSIGNATURE_ED25519, raw("a"))}`, "quorum a"],
    ],
    ["the same log twice", [`log ${lkey("l")}`, `log ${formatVkey("m", NOTE_ED25519, raw("l"))}`, "quorum none"]],
    ["a member twice", [a, b, "group g 2 a a", "quorum g"]],
    ["a member of two groups", [a, b, c, "group g any a b", "group h any a c", "quorum g"]],
    ["a group without members", [a, "group g any", "quorum g"]],
    ["a threshold of 0", [a, "group g 0 a", "quorum g"]],
    ["a threshold above its members", [a, "group g 2 a", "quorum g"]],
    ["a threshold with a leading zero", [a, "group g 01 a", "quorum g"]],
    ["a threshold in words", [a, "group g one a", "quorum g"]],
    ["a witness named none", [a.replace("witness a", "witness none"), "quorum none"]],
    ["a member named none", [a, "group g any none a", "quorum g"]],
    ["a log's key for a witness", [`witness a ${lkey("a")}`, "quorum a"]],
    ["a broken key", [a.slice(0, -1), "quorum a"]],
    ["an item too many", [`${a} https://a.example/ x`, "quorum a"]],
    ["a carriage return", [a, "quorum a\r"]],
    ["a vertical tab", [a, "quorum\u000ba"]],
    ["an ideographic space for a space", [a, "quorum\u3000a"]],
    ["nothing", []],
  ])("with %s is refused", (_, lines) => {
    expect(() => parse(...lines)).toThrow(code("witness-policy-invalid"));
  });

  test("that is cut off, or not UTF-8, is refused", () => {
    expect(() => parseTlogPolicy(utf8Encode(`${a}\nquorum a`))).toThrow(code("witness-policy-invalid"));
    expect(() => parseTlogPolicy(Uint8Array.of(0x23, 0xff, 0x0a))).toThrow(code("witness-policy-invalid"));
  });

  test("has its limits", () => {
    expect(() => parseTlogPolicy(new Uint8Array(1024 * 1024 + 1).fill(0x0a))).toThrow(code("too-large"));
    const many = Array.from(
      { length: 1001 },
      (_, index) => `group g${index} any ${index === 0 ? "a" : `g${index - 1}`}`,
    );
    expect(() => parse(a, ...many, "quorum a")).toThrow(code("too-large"));
    expect(isQuorum(parse(a, ...many.slice(0, 1000), "quorum g999"), new Set(["a"]))).toBe(true);
  });

  test("fails by typed errors only, whatever it is", () => {
    const word = fc.constantFrom(
      "log",
      "witness",
      "group",
      "quorum",
      "none",
      "any",
      "all",
      "1",
      "2",
      "a",
      "b",
      "#",
      wkey("a"),
      lkey("a"),
    );
    const lines = fc.array(fc.array(fc.oneof(word, fc.string()), { maxLength: 6 }), { maxLength: 6 });
    fc.assert(
      fc.property(lines, (value) => {
        const policy = value.map((items) => `${items.join(" ")}\n`).join("");
        expect(["read", "EvidenceError"]).toContain(outcomeOf(() => parseTlogPolicy(utf8Encode(policy))));
      }),
      { numRuns: 1_000 },
    );
  });
});

function outcomeOf(read: () => unknown): string {
  try {
    read();
    return "read";
  } catch (error) {
    return error instanceof Error ? error.name : "not an error";
  }
}

/** A policy over `names`, built as a random tree, beside the same rule as a plain function. */
function ruleOf(
  names: readonly string[],
  choices: readonly number[],
): { lines: string[]; holds(set: ReadonlySet<string>): boolean } {
  type Node = { name: string; holds(set: ReadonlySet<string>): boolean };
  const lines = witnesses(...names);
  let free: Node[] = names.map((name) => ({ name, holds: (set) => set.has(name) }));
  for (const [index, choice] of choices.entries()) {
    if (free.length === 0) break;
    const count = 1 + (choice % free.length);
    const members = free.slice(0, count);
    const threshold = 1 + (Math.floor(choice / 7) % count);
    const name = `g${index}`;
    const word =
      threshold === count && choice % 2 === 0 ? "all" : threshold === 1 && choice % 3 === 0 ? "any" : threshold;
    lines.push(`group ${name} ${word} ${members.map((member) => member.name).join(" ")}`);
    free = [
      ...free.slice(count),
      { name, holds: (set) => members.filter((member) => member.holds(set)).length >= threshold },
    ];
  }
  const quorum = free.at(-1);
  if (quorum === undefined) throw new Error("no names");
  return { lines: [...lines, `quorum ${quorum.name}`], holds: (set) => quorum.holds(set) };
}

describe("the quorum", () => {
  test("is what the groups say, and never lost by one more cosignature", () => {
    const names = ["a", "b", "c", "d", "e"];
    fc.assert(
      fc.property(
        fc.array(fc.nat(1000), { maxLength: 6 }),
        fc.subarray(names),
        fc.constantFrom(...names),
        (choices, cosigned, more) => {
          const rule = ruleOf(names, choices);
          const policy = parse(...rule.lines);
          const set = new Set(cosigned);
          expect(isQuorum(policy, set)).toBe(rule.holds(set));
          expect(isQuorum(policy, new Set([...set, more])) || !rule.holds(set)).toBe(true);
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe("opening a witnessed checkpoint", () => {
  const text = formatCheckpoint({ origin: "log.example", size: 3, root: new Uint8Array(32), extensions: [] });
  const sign = (name: string, origin = name): string =>
    noteSignatureLine(noteKey(origin, NOTE_ED25519, raw(name)), keyOf(name, "ed25519").sign(noteSignedBytes(text)));
  const cosign = (name: string, over = text): string =>
    cosignatureLine(
      noteKey(name, NOTE_COSIGNATURE_ED25519, raw(name)),
      9,
      keyOf(name, "ed25519").sign(cosignedBytes(9, over)),
    );
  const policy = parse(`log ${lkey("log.example")}`, ...witnesses("a", "b", "c"), "group g 2 a b c", "quorum g");

  test("takes the log's signature and a quorum", async () => {
    const opened = await openWitnessed(
      crypto,
      formatNote(text, [sign("log.example"), cosign("a"), cosign("c")]),
      policy,
    );
    expect(opened.checkpoint.size).toBe(3);
    expect(opened.cosignatures.map(({ key, time }) => [key.name, time])).toEqual([
      ["a", 9],
      ["c", 9],
    ]);
  });

  test.each([
    ["one witness of two", [sign("log.example"), cosign("a")], "quorum-missing"],
    ["one witness twice", [sign("log.example"), cosign("a"), cosign("a")], "quorum-missing"],
    ["witnesses of no policy", [sign("log.example"), cosign("a"), cosign("x"), cosign("y")], "quorum-missing"],
    ["no log", [cosign("a"), cosign("b")], "note-unverified"],
    ["another log", [sign("other"), cosign("a"), cosign("b")], "note-unverified"],
    [
      "a wrong cosignature",
      [sign("log.example"), cosign("a"), cosign("b"), cosign("c", text.replace("3", "4"))],
      "note-signature-invalid",
    ],
  ] as const)("refuses %s", async (_, lines, expected) => {
    await expect(openWitnessed(crypto, formatNote(text, lines), policy)).rejects.toThrow(code(expected));
  });

  test("does not let one log of the policy speak for another", async () => {
    const two = parse(`log ${lkey("log.example")}`, `log ${lkey("other")}`, "quorum none");
    await expect(openWitnessed(crypto, formatNote(text, [sign("other")]), two)).rejects.toThrow(
      code("note-unverified"),
    );
  });
});

test("the fixture of the Go implementations passes a policy made of its keys", async () => {
  const vectors = JSON.parse(readFileSync(new URL("fixtures/cosignatures.go.json", import.meta.url), "utf8")) as {
    log: string;
    witnesses: string[];
    plain: string;
  };
  const policy = parse(
    `log ${vectors.log}`,
    ...vectors.witnesses.map((vkey, index) => `witness w${index} ${vkey}`),
    "group both all w0 w1",
    "quorum both",
  );
  expect((await openWitnessed(crypto, vectors.plain, policy)).checkpoint.size).toBe(20852163);
});
