/**
 * Measures `assay fingerprint` against the programs people would use instead, as whole processes from start to exit: one
 * file of 1 GiB against `openssl dgst -sha256`, a directory of 20,000 files of 1 KiB against the Kosli CLI. Inputs are
 * made in a temporary directory and read once before anything is measured (the page cache is warm). Ours and the peer
 * take turns, so that other load on the machine falls on both alike; the ratio of medians is peer ÷ ours.
 *
 * The Kosli CLI is taken from KOSLI_BIN or the cache of `npm run interop`. A peer that is absent is said to be absent.
 */
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const ASSAY = [process.execPath, join(ROOT, "bin", "assay")];
const FILE_MIB = 1024;
const FOLDERS = 100;
const FILES_PER_FOLDER = 200;
const FILE_BYTES = 1024;

type Program = { readonly name: string; readonly command: readonly string[] };
type Comparison = {
  readonly name: string;
  readonly target: number;
  readonly ours: Program;
  readonly peer: Program | string;
  readonly runs: number;
};

/** Runs the comparisons and prints them. Returns whether every one that could be measured reached its target. */
export function benchFingerprint(print: (line: string) => void): boolean {
  const folder = mkdtempSync(join(tmpdir(), "assay-bench-"));
  try {
    const file = makeFile(folder);
    const tree = makeTree(folder);
    const kosli = findKosli();
    const openssl = spawnSync("openssl", ["version"]).status === 0;
    const comparisons: Comparison[] = [
      {
        name: `one file of ${FILE_MIB} MiB`,
        target: 0.95,
        ours: { name: "assay", command: [...ASSAY, "fingerprint", file, "--artifact-type", "file"] },
        peer: openssl
          ? { name: "openssl dgst", command: ["openssl", "dgst", "-sha256", file] }
          : "openssl is not installed",
        runs: 7,
      },
      {
        name: `${FOLDERS * FILES_PER_FOLDER} files of ${FILE_BYTES} bytes`,
        target: 10,
        ours: { name: "assay", command: [...ASSAY, "fingerprint", tree, "--artifact-type", "dir"] },
        peer:
          kosli === undefined
            ? "the Kosli CLI is absent: set KOSLI_BIN or run `npm run interop`"
            : { name: "kosli", command: [kosli, "fingerprint", tree, "--artifact-type", "dir"] },
        runs: 5,
      },
    ];
    return comparisons.map((comparison) => compare(comparison, print)).every((reached) => reached);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function compare({ name, target, ours, peer, runs }: Comparison, print: (line: string) => void): boolean {
  run(ours);
  if (typeof peer === "string") {
    const times = Array.from({ length: runs }, () => run(ours).ms);
    print(`fingerprint, ${name}: assay ${median(times).toFixed(0)} ms; NOT COMPARED, ${peer}`);
    return true;
  }
  const same = digestIn(run(ours).stdout) === digestIn(run(peer).stdout);
  const times = { ours: [] as number[], peer: [] as number[] };
  for (let i = 0; i < runs; i += 1) {
    times.ours.push(run(ours).ms);
    times.peer.push(run(peer).ms);
  }
  const ratio = median(times.peer) / median(times.ours);
  const reached = same && ratio >= target;
  print(
    `fingerprint, ${name}: assay ${median(times.ours).toFixed(0)} ms, ${peer.name} ${median(times.peer).toFixed(0)} ms, ` +
      `ratio ${ratio.toFixed(2)} (target ${target}), ${same ? "same answer" : "DIFFERENT ANSWERS"}${reached ? "" : "  MISSED"}`,
  );
  return reached;
}

function run({ name, command }: Program): { ms: number; stdout: string } {
  const [program, ...rest] = command;
  const started = performance.now();
  const ended: SpawnSyncReturns<string> = spawnSync(program ?? "", rest, { encoding: "utf8" });
  const ms = performance.now() - started;
  if (ended.status !== 0) throw new Error(`${name} failed: ${ended.error?.message ?? ended.stderr}`);
  return { ms, stdout: ended.stdout };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

function digestIn(text: string): string | undefined {
  return /[0-9a-f]{64}/.exec(text)?.[0];
}

function makeFile(folder: string): string {
  const path = join(folder, "one");
  const descriptor = openSync(path, "w");
  try {
    for (let i = 0; i < FILE_MIB; i += 1) writeSync(descriptor, randomBytes(1 << 20));
  } finally {
    closeSync(descriptor);
  }
  return path;
}

function makeTree(folder: string): string {
  const tree = join(folder, "tree");
  for (let i = 0; i < FOLDERS; i += 1) {
    const inner = join(tree, `folder-${i}`);
    mkdirSync(inner, { recursive: true });
    for (let j = 0; j < FILES_PER_FOLDER; j += 1) writeFileSync(join(inner, `file-${j}.txt`), randomBytes(FILE_BYTES));
  }
  return tree;
}

function findKosli(): string | undefined {
  const named = process.env.KOSLI_BIN;
  const path = named === undefined || named === "" ? join(ROOT, ".cache", "interop", "bin", "kosli") : named;
  return existsSync(path) ? path : undefined;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.exitCode = benchFingerprint((line) => process.stdout.write(`${line}\n`)) ? 0 : 1;
}
