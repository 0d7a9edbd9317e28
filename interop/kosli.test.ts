import { chmodSync, cpSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Home, makeHome } from "./harness.ts";

const assay = fileURLToPath(new URL("../bin/assay", import.meta.url));

describe("fingerprints of the Kosli CLI and of `assay`", () => {
  let home: Home;

  beforeAll(() => {
    home = makeHome();
    const tree = home.path("tree");
    cpSync(fileURLToPath(new URL("../node_modules/commander/", import.meta.url)), `${tree}/commander`, {
      recursive: true,
    });
    mkdirSync(`${tree}/empty`);
    mkdirSync(`${tree}/logs/deep`, { recursive: true });
    writeFileSync(`${tree}/logs/deep/run.log`, "line\n");
    writeFileSync(`${tree}/empty-file`, "");
    writeFileSync(`${tree}/name with spaces, ümlaut and 日本`, "content\n");
    writeFileSync(`${tree}/B`, "upper\n");
    writeFileSync(`${tree}/a`, "lower\n");
    writeFileSync(`${tree}/a-b`, "sorts between a and a/\n");
    chmodSync(`${tree}/a`, 0o755);
    symlinkSync("a", `${tree}/link-to-file`);
    symlinkSync("logs", `${tree}/link-to-folder`);
    symlinkSync("../outside", `${tree}/link-to-outside`);
    writeFileSync(home.path("outside"), "outside\n");
    cpSync(tree, home.path("ignoring"), { recursive: true, verbatimSymlinks: true });
    writeFileSync(home.path("ignoring", ".kosli_ignore"), "# what runs write\nlogs\n**/*.md\n");
  });

  afterAll(() => home.remove());

  it.each<[string, string[]]>([
    ["a file", ["--artifact-type", "file", "tree/a"]],
    ["an empty file", ["--artifact-type", "file", "tree/empty-file"]],
    ["a tree with links, empty folders and odd names", ["--artifact-type", "dir", "tree"]],
    ["a tree named with a slash at its end", ["--artifact-type", "dir", "tree/"]],
    ["a tree with a folder excluded", ["--artifact-type", "dir", "--exclude", "logs", "tree"]],
    ["a tree with patterns excluded", ["--artifact-type", "dir", "--exclude", "**/*.md", "--exclude", "a*", "tree"]],
    ["a tree with a .kosli_ignore file", ["--artifact-type", "dir", "ignoring"]],
  ])("are the same for %s", async (_, args) => {
    const theirs = await home.must("kosli", ["fingerprint", ...args]);
    expect(theirs).toMatch(/^[0-9a-f]{64}$/);
    expect(await home.must(assay, ["fingerprint", ...args])).toBe(theirs);
  });

  it("differ from before after one byte of one file is altered, alike in both", async () => {
    const args = ["fingerprint", "--artifact-type", "dir", "tree"];
    const before = await home.must("kosli", args);
    writeFileSync(home.path("tree", "logs", "deep", "run.log"), "lime\n");
    const after = await home.must("kosli", args);
    expect(after).not.toBe(before);
    expect(await home.must(assay, args)).toBe(after);
  });
});
