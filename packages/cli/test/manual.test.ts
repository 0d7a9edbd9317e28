import { readdirSync, readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { VERBS } from "../src/verbs.ts";
import { Desk } from "./desk.ts";

let desk: Desk;
beforeEach(() => {
  desk = new Desk();
});
afterEach(() => desk.remove());

describe("assay man", () => {
  it("writes a page of the program and one of every verb", async () => {
    const { stdout } = await desk.must("man", "--into", desk.path("man1"));
    const names = readdirSync(desk.path("man1")).sort();
    expect(names).toEqual(["assay.1", ...VERBS.map(({ name }) => `assay-${name}.1`)].sort());
    expect(stdout.trimEnd().split("\n")).toHaveLength(names.length);
    for (const name of names) {
      const text = readFileSync(desk.path(`man1/${name}`), "utf8");
      expect(text).toMatch(/^\.\\" .*\n\.TH [A-Z\\-]+ 1 "" "assay [\d.]+" "Assay"\n\.SH NAME\n/);
      // Nothing is left that a terminal without UTF-8 could not be told, and no line is a request by accident.
      expect(text).toMatch(/^[\n\x20-\x7e]*$/);
      for (const line of text.split("\n"))
        expect(line).toMatch(/^(?:\.(?:\\"|[A-Z][A-Z]|[BI]|[a-z]{2})(?: |$)|[^.']|$)/);
    }
  });

  it("has every option, choice, example and exit code of the verb", async () => {
    const page = (await desk.must("man", "key")).stdout;
    expect(page).toContain(".SS assay key generate");
    expect(page).toContain(".B \\-\\-output\\-prefix <prefix>");
    expect(page).toContain('"ed25519"');
    expect(page).toContain("assay key generate \\-\\-output\\-prefix release");
    expect(page).toContain("The password comes from ASSAY_KEY_PASSWORD");
    expect(page).toContain(".SH EXIT STATUS");
    const program = (await desk.must("man")).stdout;
    for (const { name } of VERBS) expect(program).toContain(`.BR assay\\-${name.replaceAll("-", "\\-")} (1)`);
    expect(program).toContain("\\-\\-profile <name>");
  });

  it("does not know the hidden verb that completion scripts ask", async () => {
    expect((await desk.must("man", "completion")).stdout).not.toContain("completion answer");
  });

  it("refuses a verb that is not there, and says which was meant", async () => {
    const ran = await desk.assay("man", "verfy");
    expect(ran).toMatchObject({ exit: 2, stdout: "" });
    expect(ran.stderr).toContain("Did you mean verify?");
    expect((await desk.assay("man", "verify", "--into", desk.folder)).exit).toBe(2);
  });
});
