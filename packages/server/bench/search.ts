/**
 * Reads among much evidence: by digest, by what it says, and decisions, on SQLite and on PostgreSQL, over HTTP of a server process.
 * ASSAY_BENCH_PIECES says how many pieces there are, on a tenth as many artifacts. All of it lies in a directory of its own under
 * ASSAY_BENCH_DIR (default: the temporary directory), which is removed at the end.
 */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { cp, mkdir } from "node:fs/promises";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { databasePath } from "../src/storage/sqlite.ts";
import { Pieces } from "./search/pieces.ts";
import { measureReads, prepare } from "./search/reads.ts";
import { copyTables } from "./storage/copy-tables.ts";
import { figure, tell, told } from "./storage/figures.ts";
import { fill } from "./storage/fill.ts";
import { type Place, startDatabases } from "./storage/services.ts";

const COUNT = Number(process.env["ASSAY_BENCH_PIECES"] ?? 100_000);
if (!Number.isSafeInteger(COUNT) || COUNT < 10_000)
  throw new Error("ASSAY_BENCH_PIECES is a whole number from 10000 on");

const directory = mkdtempSync(join(process.env["ASSAY_BENCH_DIR"] ?? tmpdir(), "assay-bench-"));
// PostgreSQL runs as another user when this runs as root, and must get to its directory.
chmodSync(directory, 0o711);
process.env["TMPDIR"] = directory;
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(1));

/** What else the machine does is part of every figure. */
function sayLoad(): void {
  process.stdout.write(`load of the machine (1 min): ${figure(loadavg()[0] ?? Number.NaN)}\n\n`);
}

const place: Place = { dataDirectory: join(directory, "sqlite") };
await mkdir(place.dataDirectory, { mode: 0o700 });
const pieces = new Pieces(COUNT);
const first = Date.now();
const { seconds, written } = await fill(
  place.dataDirectory,
  COUNT,
  pieces.learnt,
  (blobs, _, count) => pieces.drafts(blobs, count),
  (done) => tell(`SQLite: ${done} of ${COUNT} pieces written`),
);
const times = { first, last: Date.now() };
told();
process.stdout.write(`${COUNT} pieces of evidence; written at ${figure(written / seconds)}/s\n`);

const postgres = await startDatabases(directory);
const missed: string[] = [];
try {
  await prepare(place, pieces);
  missed.push(...(await measureReads("SQLite", place, pieces, { times, shares: { mine: 0, of: 2 } })));
  sayLoad();
  const there = { dataDirectory: join(directory, "postgresql"), databaseUrl: await postgres.database("search") };
  // Keys, tiles and blobs as they are; the tables into the other database.
  await cp(place.dataDirectory, there.dataDirectory, {
    recursive: true,
    filter: (path) => !path.startsWith(databasePath(place.dataDirectory)),
  });
  tell(`PostgreSQL: copying ${COUNT} pieces`);
  await copyTables(place.dataDirectory, there.databaseUrl);
  told();
  missed.push(...(await measureReads("PostgreSQL", there, pieces, { times, shares: { mine: 1, of: 2 } })));
  sayLoad();
} finally {
  await postgres.stop();
}
for (const name of missed) process.stdout.write(`NOT MET: ${name}\n`);
if (missed.length > 0) process.exitCode = 1;
