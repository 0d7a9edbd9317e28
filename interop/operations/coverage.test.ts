import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { procedures } from "./guide.ts";

const folder = new URL("./", import.meta.url);

describe("docs/operations.md", () => {
  it("has no procedure that is not followed by exactly one test file", () => {
    const followed = readdirSync(folder)
      .filter((name) => name.endsWith(".test.ts"))
      .flatMap((name) => [...readFileSync(new URL(name, folder), "utf8").matchAll(/ procedure\(\s*"([^"]+)"/g)])
      .map(([, name = ""]) => name);
    expect(followed.toSorted()).toEqual(
      procedures()
        .map(({ name }) => name)
        .toSorted(),
    );
  });

  it("has only steps in blocks of `sh` at the start of a line, and closes each", () => {
    const text = readFileSync(new URL("../../docs/operations.md", folder), "utf8");
    const fences = text.split("\n").filter((line) => line.trimStart().startsWith("```"));
    expect(new Set(fences)).toEqual(new Set(["```sh", "```sql", "```"]));
    expect(fences.filter((line) => line === "```")).toHaveLength(fences.length / 2);
    expect(procedures().flatMap(({ steps }) => steps)).toHaveLength(fences.filter((line) => line === "```sh").length);
  });

  it("names no file that is not there, and no section", () => {
    const text = readFileSync(new URL("../../docs/operations.md", folder), "utf8");
    const headings = [...text.matchAll(/^#{2,3} (.+)$/gm)].map(([, heading = ""]) =>
      heading
        .toLowerCase()
        .replaceAll(/[^a-z0-9 -]/g, "")
        .replaceAll(" ", "-"),
    );
    const targets = [...text.matchAll(/\]\(([^)]+)\)/g)].map(([, target = ""]) => target);
    const within = targets.filter((target) => target.startsWith("#")).map((target) => target.slice(1));
    expect(within.filter((name) => !headings.includes(name))).toEqual([]);
    const files = targets.filter((target) => !/^(#|https:)/.test(target));
    expect(files.filter((name) => !existsSync(new URL(`../../docs/${name}`, folder)))).toEqual([]);
  });
});
