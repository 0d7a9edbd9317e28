import type { Step } from "@assay/evidence";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AnswerObject } from "../src/answer.ts";
import type { JsonValue } from "../src/output.ts";
import { explanationLines, isUtf8, readSteps, stepsJson } from "../src/explain.ts";

const TREE: Step[] = [
  { check: "form", outcome: "passed", detail: "It is a bundle." },
  {
    check: "certificate",
    outcome: "failed",
    detail: "It leads to nobody trusted.",
    steps: [
      { check: "names", outcome: "passed", detail: "one" },
      { check: "chain", outcome: "failed", detail: "none", steps: [{ check: "root", outcome: "failed", detail: "" }] },
    ],
  },
  { check: "log", outcome: "not-evaluated", detail: "nothing rests on it" },
];

describe("an explanation", () => {
  it("is a tree of marks, checks and sentences", () => {
    expect(explanationLines(TREE, { width: undefined, unicode: true })).toEqual([
      "✓ form: It is a bundle.",
      "✗ certificate: It leads to nobody trusted.",
      "  ✓ names: one",
      "  ✗ chain: none",
      "    ✗ root",
      "– log: nothing rests on it",
    ]);
  });

  it("says the same in ASCII where the terminal has nothing else", () => {
    const lines = explanationLines(TREE, { width: undefined, unicode: false });
    expect(lines[0]).toBe("[pass] form: It is a bundle.");
    expect(lines[4]).toBe("    [FAIL] root");
    expect(lines[5]).toBe("[ -- ] log: nothing rests on it");
  });

  it("keeps within the width at blanks, hanging behind its mark, and never cuts a digest", () => {
    const digest = `sha256:${"a".repeat(64)}`;
    const lines = explanationLines(
      [{ check: "subject", outcome: "passed", detail: `It is about ${digest}, and no other.` }],
      {
        width: 30,
        unicode: true,
      },
    );
    expect(lines).toEqual(["✓ subject: It is about", `  ${digest},`, "  and no other."]);
  });

  it("cannot steer the terminal, begin a line or hide, whatever the evidence holds", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.integer({ min: 1, max: 60 }), (detail, width) => {
        const lines = explanationLines([{ check: "c", outcome: "failed", detail }], { width, unicode: false });
        expect(lines.filter((line) => line.startsWith("[FAIL] "))).toHaveLength(1);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: that there are none is the point
        expect(lines.join("")).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e]/);
      }),
    );
  });

  it("comes back from a server's answer as it was", () => {
    const answer = new AnswerObject({ steps: stepsJson(TREE) }, "a");
    expect(readSteps(answer)).toEqual(TREE);
  });

  it.each([
    ["no list", { steps: 1 }],
    ["no outcome", { steps: [{ check: "a", detail: "b" }] }],
    ["an outcome nobody knows", { steps: [{ check: "a", outcome: "maybe", detail: "b" }] }],
    ["steps that are none", { steps: [{ check: "a", outcome: "passed", detail: "b", steps: [1] }] }],
    ["very many steps", { steps: Array.from({ length: 2001 }, () => ({ check: "a", outcome: "passed", detail: "" })) }],
  ])("is refused with %s", (_, value) => {
    expect(() => readSteps(new AnswerObject(value, "a"))).toThrow(expect.objectContaining({ code: "answer-invalid" }));
  });

  it("is refused when it is nested without end", () => {
    let step: JsonValue = { check: "a", outcome: "passed", detail: "" };
    for (let depth = 0; depth < 40; depth += 1) step = { check: "a", outcome: "passed", detail: "", steps: [step] };
    const answer = new AnswerObject({ steps: [step] }, "a");
    expect(() => readSteps(answer)).toThrow(expect.objectContaining({ code: "answer-invalid" }));
  });

  it("knows a UTF-8 locale by POSIX's order of variables", () => {
    expect(isUtf8({ LANG: "de_DE.UTF-8" })).toBe(true);
    expect(isUtf8({ LC_CTYPE: "C.utf8", LANG: "C" })).toBe(true);
    expect(isUtf8({ LC_ALL: "C", LANG: "de_DE.UTF-8" })).toBe(false);
    expect(isUtf8({})).toBe(false);
  });
});
