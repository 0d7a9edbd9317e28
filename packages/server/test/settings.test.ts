/** The settings, against the guide that explains them. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { settingsHelp } from "../src/config.ts";

const guide = readFileSync(new URL("../../../docs/operations.md", import.meta.url), "utf8");

/** The rows of the guide's table: every variable, and whether it is said to have a flag. */
const rows = (/^## Settings\n[\s\S]*?(?=^## )/m.exec(guide)?.[0] ?? "")
  .split("\n")
  .filter((line) => line.startsWith("| `"))
  .flatMap((line) => {
    const [, names = ""] = line.split("|");
    return [...names.matchAll(/`([A-Z_]+)`/g)].map(([, name = ""]) => ({ name, flag: names.includes("⚑") }));
  });

const settings = settingsHelp()
  .split("\n")
  .map((line) => ({ name: line.trim().split(/\s+/).at(-1) ?? "", flag: line.trim().startsWith("--") }));

const byName = (left: { name: string }, right: { name: string }): number => (left.name < right.name ? -1 : 1);

describe("the table of settings in docs/operations.md", () => {
  it("has a row for each, says which have a flag, and names no other", () => {
    expect(settings.length).toBeGreaterThan(20);
    expect(rows.toSorted(byName)).toEqual(settings.toSorted(byName));
  });

  it("is not the only place: every setting that the guide speaks of is in it", () => {
    // ASSAY_URL and ASSAY_TOKEN are the command line's; ASSAY_BACKUPS is of the backup's unit.
    const known = new Set([...rows.map(({ name }) => name), "ASSAY_URL", "ASSAY_TOKEN", "ASSAY_BACKUPS"]);
    for (const name of guide.match(/\bASSAY_[A-Z_]*[A-Z]\b/g) ?? []) expect(known, name).toContain(name);
  });
});
