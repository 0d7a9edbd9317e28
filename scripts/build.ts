/**
 * `npm run build`: bundles what users install into dist/.
 *
 *   assay.mjs                  the CLI; verbs are chunks of their own, loaded on use
 *   server.mjs, writer.mjs, file-thread.mjs, admin.mjs   the service, its threads, `assay server …`
 *   man/man1/*.1               the manual pages, written by the bundled CLI itself
 *   THIRD_PARTY_LICENSES.txt   the licence of each package that went in
 *
 * Nothing but Node's built-in modules stays outside. Names are kept and nothing is minified: a stack trace must be readable.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type BuildOptions, build, type Metafile } from "esbuild";
import { ROOT } from "./repository.ts";

const root = fileURLToPath(ROOT);
const outdir = join(root, "dist");

/** The server's programs by the name of their bundle. Chunks lie beside them, so a program finds its neighbour by a relative URL. */
const SERVER_PROGRAMS = { server: "main", writer: "writer", admin: "admin", "file-thread": "storage/file-thread" };

const shared = {
  bundle: true,
  platform: "node",
  target: "node24",
  format: "esm",
  splitting: true,
  keepNames: true,
  outdir,
  outExtension: { ".js": ".mjs" },
  legalComments: "none",
  metafile: true,
  absWorkingDir: root,
  logLevel: "warning",
  // CommonJS packages in an ES module bundle still call require() for built-in modules.
  banner: {
    js: 'import { createRequire as createRequireOfBundle } from "node:module"; const require = createRequireOfBundle(import.meta.url);',
  },
} satisfies BuildOptions;

/** The folder of the package that a bundled file belongs to, from the root; undefined for our own files. */
function packageFolder(input: string): string | undefined {
  return /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0];
}

/** Name, version and licence text of each package in the bundles. */
function licences(metafiles: Metafile[]): string {
  const folders = new Set<string>();
  for (const { inputs } of metafiles) {
    for (const input of Object.keys(inputs)) {
      const folder = packageFolder(input);
      if (folder !== undefined) folders.add(folder);
    }
  }
  const sections = [...folders].sort().map((folder) => {
    const at = join(root, folder);
    const { name, version, license } = JSON.parse(readFileSync(join(at, "package.json"), "utf8")) as Record<
      string,
      string
    >;
    const file = readdirSync(at).find((entry) => /^(?:licen[cs]e|copying)(?:[.-]|$)/i.test(entry));
    const text =
      file === undefined ? "(the package holds no licence file)" : readFileSync(join(at, file), "utf8").trim();
    return `${name} ${version}\nLicence: ${license}\n\n${text}\n`;
  });
  return `Assay contains the following packages.\n\n${sections.join(`\n${"-".repeat(80)}\n\n`)}`;
}

/** What esbuild keeps names with: for each function that is made, also where it has its name already. */
const NAMES = 'var __name = (target, value) => __defProp(target, "name", { value, configurable: true });';

/** Has only those named that bundling gave another name. To name them all again is a sixth of a busy server's work. */
function leaveNamesThatAreRight(paths: readonly string[]): void {
  const left = paths.filter((path) => {
    const text = readFileSync(path, "utf8");
    if (!text.includes(NAMES)) return false;
    writeFileSync(path, text.replace(NAMES, NAMES.replace("=> ", "=> target.name === value ? target : ")));
    return true;
  });
  if (left.length === 0) throw new Error("esbuild keeps names in another way than this script knows");
}

/**
 * Writes "?" for what is not ASCII: esbuild leaves some in comments. V8 holds the whole source of what runs, once for each thread, and takes
 * twice the memory for a text with one such character: 11 MiB of a running server.
 */
function toAscii(path: string): void {
  const text = readFileSync(path, "utf8");
  const ascii = text.replaceAll(/^.*[^\x00-\x7f].*$/gm, (line) => {
    // What is surely a comment: before it stands nothing that could be the inside of a text or of a regular expression.
    const comment = /^\s*\*|^[^"'`/]*\/[/*]|^[^'`/]*(?:\|\||&&) \/\//;
    if (!comment.test(line)) throw new Error(`${path}: not ASCII, and no comment: ${line}`);
    return line.replaceAll(/[^\x00-\x7f]/g, "?");
  });
  if (ascii !== text) writeFileSync(path, ascii);
}

rmSync(outdir, { recursive: true, force: true });
mkdirSync(outdir);
const builds = await Promise.allSettled([
  build({ ...shared, entryPoints: { assay: "packages/cli/src/main.ts" }, chunkNames: "cli-[name]-[hash]" }),
  build({
    ...shared,
    entryPoints: Object.fromEntries(
      Object.entries(SERVER_PROGRAMS).map(([bundle, source]) => [bundle, `packages/server/src/${source}.ts`]),
    ),
    chunkNames: "server-[name]-[hash]",
  }),
]);
const metafiles = builds.filter((result) => result.status === "fulfilled").map(({ value }) => value.metafile);
if (metafiles.length < builds.length) process.exit(1); // esbuild has said why
for (const { outputs } of metafiles) {
  const paths = Object.keys(outputs).map((path) => join(root, path));
  leaveNamesThatAreRight(paths);
  for (const path of paths) toAscii(path);
}
writeFileSync(join(outdir, "THIRD_PARTY_LICENSES.txt"), licences(metafiles));
execFileSync(process.execPath, [join(outdir, "assay.mjs"), "man", "--into", join(outdir, "man", "man1")]);
for (const entry of readdirSync(outdir).sort()) {
  const { size } = statSync(join(outdir, entry));
  if (!/^(?:cli|server)-/.test(entry)) console.log(`dist/${entry} ${(size / 1024).toFixed(0)} KiB`);
}
