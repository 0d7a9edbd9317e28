import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { dynamicImports } from "../dynamic-imports.ts";
import {
  BESIDE,
  below,
  COMPOSITION,
  FOUNDATION,
  PACKAGE_FLOORS,
  PORTABLE_PACKAGES,
  ROOM_FLOORS,
  ROOMS,
  restrictionsOn,
  unplaced,
} from "../floors.ts";
import { lintConfig } from "../lint-config.ts";
import { ROOT } from "../repository.ts";

type Planted = { file: string; target: string };

/** One import for each arrow that must not be, and one for each that may: `forbidden` and `allowed` together are all pairs. */
function plantings(): { forbidden: Planted[]; allowed: Planted[] } {
  const forbidden: Planted[] = [];
  const allowed: Planted[] = [];
  const packages = PACKAGE_FLOORS.flat();
  for (const from of packages) {
    for (const to of packages.filter((name) => name !== from)) {
      const may = below(PACKAGE_FLOORS, from).includes(to);
      (may ? allowed : forbidden).push({ file: `packages/${from}/src/to-${to}.ts`, target: `@assay/${to}` });
      (may ? allowed : forbidden).push({ file: `packages/${from}/test/to-${to}.test.ts`, target: `@assay/${to}` });
      forbidden.push({ file: `packages/${from}/src/into-${to}.ts`, target: `../../${to}/src/index.ts` });
    }
    const portable = PORTABLE_PACKAGES.includes(from);
    (portable ? forbidden : allowed).push({ file: `packages/${from}/src/node-fs.ts`, target: "node:fs" });
    (portable ? forbidden : allowed).push({ file: `packages/${from}/src/bare-fs.ts`, target: "fs/promises" });
    allowed.push({ file: `packages/${from}/test/node-fs.test.ts`, target: "node:fs" });
    allowed.push({ file: `packages/${from}/src/neighbour.ts`, target: "./other.ts" });
  }
  forbidden.push({ file: "packages/evidence/src/to-own-node.ts", target: "../node/index.ts" });
  allowed.push({ file: "packages/evidence/node/crypto.ts", target: "node:crypto" });
  for (const from of ROOMS) {
    for (const to of ROOMS.filter((name) => name !== from)) {
      const may = !BESIDE.includes(from) && (BESIDE.includes(to) || below(ROOM_FLOORS, from).includes(to));
      const list = may ? allowed : forbidden;
      list.push({ file: `packages/server/src/${from}/to-${to}.ts`, target: `../${to}/commands.ts` });
      list.push({ file: `packages/server/src/${from}/routes/to-${to}.ts`, target: `../../${to}/commands.ts` });
    }
    for (const file of COMPOSITION) {
      const isFolder = !file.endsWith(".ts");
      forbidden.push({
        file: `packages/server/src/${from}/compose-${isFolder ? `folder-${file}.ts` : file}`,
        target: isFolder ? `../${file}/one.ts` : `../${file}`,
      });
    }
    for (const file of FOUNDATION) {
      allowed.push({ file: `packages/server/src/${from}/stand-${file}`, target: `../${file}` });
    }
    forbidden.push({ file: `packages/server/src/${from}/to-cli.ts`, target: "@assay/cli" });
    allowed.push({ file: `packages/server/src/${from}/to-policy.ts`, target: "@assay/policy" });
    for (const file of FOUNDATION)
      forbidden.push({ file: `packages/server/src/${file}`, target: `./${from}/commands.ts` });
    allowed.push({ file: "packages/server/src/app.ts", target: `./${from}/routes.ts` });
  }
  return { forbidden, allowed };
}

const folder = mkdtempSync(join(tmpdir(), "arrows-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Lints the planted files with the arrows of the real configuration; gives `file > target` for each import refused. */
function refusedByLinter(planted: Planted[]): Set<string> {
  const config = JSON.parse(lintConfig()) as { overrides: unknown };
  const arrowsOnly = { plugins: ["eslint"], categories: { correctness: "off" }, overrides: config.overrides };
  writeFileSync(join(folder, ".oxlintrc.json"), JSON.stringify(arrowsOnly));
  const lines = new Map<string, string[]>();
  for (const { file, target } of planted) lines.set(file, [...(lines.get(file) ?? []), target]);
  for (const [file, targets] of lines) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), targets.map((target) => `export * from "${target}";\n`).join(""));
  }
  const linter = fileURLToPath(new URL("node_modules/oxlint/bin/oxlint", ROOT));
  const run = spawnSync(process.execPath, [linter, "--format=json", "."], {
    cwd: folder,
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  });
  type Report = { diagnostics: { code: string; filename: string; labels: { span: { line: number } }[] }[] };
  const report = JSON.parse(run.stdout) as Report;
  const refused = new Set<string>();
  for (const { code, filename, labels } of report.diagnostics) {
    expect(code).toBe("eslint(no-restricted-imports)");
    const file = filename.replaceAll("\\", "/").replace(/^\.\//, "");
    const line = labels[0]?.span.line;
    if (line === undefined) throw new Error(`the linter names no line in ${file}`);
    refused.add(`${file} > ${lines.get(file)?.[line - 1]}`);
  }
  return refused;
}

describe("arrows", () => {
  const { forbidden, allowed } = plantings();
  const named = ({ file, target }: Planted): string => `${file} > ${target}`;

  it("the linter refuses one planted import for each forbidden arrow, and none that is allowed", () => {
    expect(forbidden.length).toBeGreaterThan(400);
    const refused = refusedByLinter([...forbidden, ...allowed]);
    expect([...refused].sort()).toEqual([...new Set(forbidden.map(named))].sort());
  }, 60_000);

  it("the check of dynamic imports reads the same table to the same answer", () => {
    const refused = [...forbidden, ...allowed].filter(({ file, target }) =>
      restrictionsOn(file).some(({ regex }) => new RegExp(regex, "u").test(target)),
    );
    expect(refused.map(named).sort()).toEqual(forbidden.map(named).sort());
  });

  it("finds dynamic imports with their line, and marks those of a computed name", () => {
    const source =
      'const a = await import("./a.ts");\nconst b = import(name);\ntype C = import("./c.ts").C;\nx.import("d");\nawait import(`./${e}.ts`);\n';
    expect(dynamicImports(source)).toEqual([
      { line: 1, target: "./a.ts" },
      { line: 2, target: undefined },
      { line: 3, target: "./c.ts" },
      { line: 5, target: undefined },
    ]);
  });

  it("the committed lint configuration is what the floor table gives", () => {
    expect(readFileSync(new URL(".oxlintrc.json", ROOT), "utf8")).toBe(lintConfig());
  });

  it("everything in the server's source has a place in the table, and what has none is named", () => {
    expect(unplaced(readdirSync(new URL("packages/server/src/", ROOT)))).toEqual([]);
    expect(unplaced(["record", "main.ts", "README.md", "cellar", "helpers.ts"])).toEqual(["cellar", "helpers.ts"]);
  });
});
