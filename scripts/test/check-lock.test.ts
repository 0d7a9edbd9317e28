import { describe, expect, it } from "vitest";
import { dependencyProblems } from "../check-dependencies.ts";
import { lockProblems, manifestProblems } from "../check-lock.ts";
import type { Lock, LockEntry } from "../platform-packages.ts";

const good: LockEntry = { version: "1.2.3", integrity: "sha512-AA==" };
const lock = (entries: Record<string, LockEntry>): Lock => ({ lockfileVersion: 3, packages: { "": {}, ...entries } });

describe("check of the lock file", () => {
  it("passes exact entries with integrity, links to packages here, and platform packages without integrity", () => {
    const fine = lock({
      "node_modules/a": { ...good, optionalDependencies: { "a-linux-x64": "1.2.3" } },
      "node_modules/a-linux-x64": { version: "1.2.3", optional: true, os: ["linux"], cpu: ["x64"] },
      "node_modules/@assay/policy": { link: true, resolved: "packages/policy" },
    });
    expect(lockProblems(fine)).toEqual([]);
  });

  it.each<[string, Record<string, LockEntry>, RegExp]>([
    [
      "a missing platform package",
      { "node_modules/a": { ...good, optionalDependencies: { "a-linux-x64": "1.2.3" } } },
      /no entry for a-linux-x64/,
    ],
    [
      "a host an entry came from",
      { "node_modules/a": { ...good, resolved: "https://packages.example/a.tgz" } },
      /no host may stand/,
    ],
    ["a version that is a range", { "node_modules/a": { ...good, version: "^1.2.3" } }, /not an exact one/],
    ["an entry without integrity", { "node_modules/a": { version: "1.2.3" } }, /no integrity/],
    [
      "an optional package without platform and integrity",
      { "node_modules/a": { version: "1.2.3", optional: true } },
      /no integrity/,
    ],
    ["a link out of the repository", { "node_modules/a": { link: true, resolved: "../a" } }, /not to a package here/],
    [
      "engines that npm would hold against its own Node",
      { "node_modules/a": { ...good, engines: { node: ">=26" } } },
      /states engines/,
    ],
  ])("names %s", (_, entries, problem) => {
    expect(lockProblems(lock(entries))).toEqual([expect.stringMatching(problem)]);
  });

  it("names a range in a package.json", () => {
    const manifest = {
      dependencies: { a: "1.2.3", b: "~1.2.3" },
      devDependencies: { c: "latest" },
      optionalDependencies: {},
      peerDependencies: {},
    };
    expect(manifestProblems("package.json", manifest)).toEqual([
      'package.json: dependencies has b "~1.2.3", not an exact version',
      'package.json: devDependencies has c "latest", not an exact version',
    ]);
  });
});

describe("check of docs/dependencies.md", () => {
  const row = (name: string, licence = "MIT", reason = "It does what we need."): string =>
    `| \`${name}\` | ${licence} | ${reason} |`;

  it("passes when every direct dependency has its row", () => {
    expect(
      dependencyProblems(
        `# D\n\n${row("a")}\n${row("@s/b", "MIT OR Apache-2.0")}\n`,
        new Map([
          ["a", "MIT"],
          ["@s/b", "MIT OR Apache-2.0"],
        ]),
      ),
    ).toEqual([]);
  });

  it.each([
    ["a dependency without a row", row("a"), /lacks b/],
    ["a row without a dependency", [row("a"), row("b"), row("c")].join("\n"), /lists c/],
    ["a licence the package does not state", [row("a"), row("b", "ISC")].join("\n"), /the package states MIT/],
    ["a row without a reason", [row("a"), row("b", "MIT", "")].join("\n"), /no reason for b/],
  ])("names %s", (_, markdown, problem) => {
    expect(
      dependencyProblems(
        markdown,
        new Map([
          ["a", "MIT"],
          ["b", "MIT"],
        ]),
      ),
    ).toEqual([expect.stringMatching(problem)]);
  });
});
