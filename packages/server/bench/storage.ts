/**
 * What the storage costs: both modes beside the bare device and bare PostgreSQL, and one mode as the record grows. All of it lies in a
 * directory of its own under ASSAY_BENCH_DIR (default: the temporary directory), which is removed at the end. Linux only: it reads /proc.
 */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { climb } from "./storage/scale.ts";
import { blobModes, recordModes } from "./storage/modes.ts";
import { startDatabases, startS3 } from "./storage/services.ts";

/** How far the record grows: 10000, 100000, … */
const EVENTS = Number(process.env["ASSAY_BENCH_EVENTS"] ?? 1_000_000);
const POSTGRES_EVENTS = Number(process.env["ASSAY_BENCH_POSTGRES_EVENTS"] ?? Math.min(EVENTS, 100_000));
/** How long the growing record may take; what would take longer is left out. */
const MINUTES = Number(process.env["ASSAY_BENCH_MINUTES"] ?? 20);

const directory = mkdtempSync(join(process.env["ASSAY_BENCH_DIR"] ?? tmpdir(), "assay-bench-"));
// PostgreSQL runs as another user when this runs as root, and must get to its directory.
chmodSync(directory, 0o711);
// Whatever is measured puts its temporary files on the same disk, and leaves none behind.
process.env["TMPDIR"] = directory;
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(1));

const postgres = await startDatabases(directory);
const s3 = await startS3(directory);
try {
  await recordModes(directory, postgres);
  process.stdout.write("\n");
  await blobModes(directory, postgres, s3);
  process.stdout.write("\n");
  const uneven = await climb(directory, postgres, {
    most: EVENTS,
    mostOnPostgres: POSTGRES_EVENTS,
    minutes: MINUTES,
  });
  if (uneven.length > 0) process.exitCode = 1;
} finally {
  await s3.stop();
  await postgres.stop();
}
