/**
 * Appends to the record: 64 writers through the writer thread, each append a whole one (decision, event, salt, commitment, projection,
 * commit, checkpoint, checked proof), beside a bare loop of grouped 4 KiB writes with fdatasync on the same disk. "Grouped" means what
 * the record does too: what waits is written in one go and synced once; the bare loop syncs one 4 KiB block per group.
 */
import { randomBytes } from "node:crypto";
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import { startWriterThread } from "../src/writer-thread.ts";
import { reportCommand } from "./report-command.ts";

const WRITERS = 64;
const APPENDS = 20_000;
const LONE = 500;
/** The targets: a share of the bare loop, appends per second, ms for a lone append, ms of event-loop stall. */
const TARGET = { ratio: 0.3, perSecond: 3_000, lone: 10, stall: 20 };

/** The disk that counts is the one the data directory would lie on: ASSAY_BENCH_DIR, else the temporary directory. */
const base = process.env["ASSAY_BENCH_DIR"] ?? tmpdir();

function bareLoop(directory: string): number {
  const descriptor = openSync(join(directory, "bare"), "w");
  const block = randomBytes(4096);
  const rounds = 2_000;
  const started = performance.now();
  for (let round = 0; round < rounds; round += 1) {
    writeSync(descriptor, block);
    fdatasyncSync(descriptor);
  }
  const perSecond = rounds / ((performance.now() - started) / 1000);
  closeSync(descriptor);
  return perSecond;
}

function median(values: readonly number[]): number {
  return values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)] ?? Number.NaN;
}

const directory = mkdtempSync(join(base, "assay-bench-"));
let failed = false;
try {
  const bare = [bareLoop(directory), bareLoop(directory), bareLoop(directory)];
  const writer = await startWriterThread({ dataDirectory: directory, org: "default" });
  const append = async (): Promise<void> => {
    const answer = await writer.client.append(reportCommand());
    if (!answer.ok) throw new Error(answer.refusal.message);
    if (answer.receipts.length !== 1) throw new Error("an append without its receipt");
  };
  for (let count = 0; count < 500; count += 1) await append();

  const latencies: number[] = [];
  for (let count = 0; count < LONE; count += 1) {
    const started = performance.now();
    await append();
    latencies.push(performance.now() - started);
  }

  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  let left = APPENDS;
  const started = performance.now();
  await Promise.all(
    Array.from({ length: WRITERS }, async () => {
      while (left > 0) {
        left -= 1;
        await append();
      }
    }),
  );
  const perSecond = APPENDS / ((performance.now() - started) / 1000);
  delay.disable();
  bare.push(bareLoop(directory), bareLoop(directory));
  await writer.stop();

  const stall = delay.max / 1e6;
  const ratio = perSecond / median(bare);
  const sorted = latencies.toSorted((left_, right) => left_ - right);
  const rows: [string, string, boolean][] = [
    [
      "bare loop, 4 KiB + fdatasync",
      `${median(bare).toFixed(0)}/s (${bare.map((value) => value.toFixed(0)).join(", ")})`,
      true,
    ],
    [`appends with proof, ${WRITERS} writers`, `${perSecond.toFixed(0)}/s`, perSecond >= TARGET.perSecond],
    ["ratio to the bare loop", ratio.toFixed(2), ratio >= TARGET.ratio],
    [
      "lone append with proof",
      `median ${median(latencies).toFixed(2)} ms, p99 ${(sorted[Math.floor(LONE * 0.99)] ?? Number.NaN).toFixed(2)} ms, max ${(sorted.at(-1) ?? Number.NaN).toFixed(2)} ms`,
      (sorted[Math.floor(LONE * 0.99)] ?? Number.NaN) < TARGET.lone,
    ],
    ["longest event-loop stall of the HTTP thread", `${stall.toFixed(1)} ms`, stall <= TARGET.stall],
  ];
  for (const [what, figure, met] of rows) {
    if (!met) failed = true;
    process.stdout.write(`${what.padEnd(46)} ${figure}${met ? "" : "   MISSED"}\n`);
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
process.exitCode = failed ? 1 : 0;
