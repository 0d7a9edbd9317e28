import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { REJECTIONS } from "../src/index.ts";

const page = readFileSync(new URL("../../../docs/reasons.md", import.meta.url), "utf8");
const verdictSource = readFileSync(new URL("../../evidence/src/verdict.ts", import.meta.url), "utf8");

/** The members of the type RefusalCode: a type leaves no trace in a running program, so its source is asked. */
const refusals = [
  ...(/export type RefusalCode =([^;]*);/.exec(verdictSource)?.[1] ?? "").matchAll(/\| "([a-z-]+)"/g),
].map(([, code = ""]) => code);
const rejections = Object.keys(REJECTIONS);

const [head = "", afterRefusals = ""] = page.split(/^## Refusals$/m);
const [refusalPart = "", rejectionPart = ""] = afterRefusals.split(/^## Rejections$/m);
const headings = (part: string): string[] => [...part.matchAll(/^### ([a-z-]+)$/gm)].map(([, code = ""]) => code);
/** Codes that both lists have: they stand among the refusals, and a note among the rejections says what they mean there. */
const shared = rejections.filter((code) => refusals.includes(code));

describe("docs/reasons.md", () => {
  it("has its three parts", () => {
    expect(head).toContain("# Reasons");
    expect(refusals.length).toBeGreaterThanOrEqual(9);
    expect(rejections.length).toBeGreaterThanOrEqual(46);
  });

  it("has a heading for every code of a refusal, and no other, once each", () => {
    expect(headings(refusalPart).sort()).toEqual([...refusals].sort());
  });

  it("has a heading for every code of a rejection, and no other, once each", () => {
    expect(headings(rejectionPart).sort()).toEqual(rejections.filter((code) => !shared.includes(code)).sort());
  });

  it("says of the codes that are both what they mean as rejections", () => {
    const note = rejectionPart.split(`### ${shared.join(" and ")}`)[1] ?? "";
    expect(shared).toEqual(["time-unproven", "subject-mismatch"]);
    for (const code of shared) expect(note).toContain(`**${code}**`);
  });

  it("says of each what it means, where it usually comes from and what to do", () => {
    for (const part of `${refusalPart}${rejectionPart}`.split(/^### /m).slice(1)) {
      const [code = ""] = part.split("\n");
      if (code.includes(" ")) continue;
      for (const what of ["- **Meaning.** ", "- **Usually.** ", "- **Do.** "])
        expect(part, code).toContain(`\n${what}`);
    }
  });
});
