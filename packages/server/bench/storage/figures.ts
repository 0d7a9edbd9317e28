/** What the storage benchmark measures with and how it prints. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { promisify } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { isMissing } from "../../src/storage/durable.ts";

export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

/** Milliseconds each of `times` runs of `work` took, one after another. */
export async function latencies(times: number, work: () => Promise<unknown>): Promise<number[]> {
  const taken: number[] = [];
  for (let count = 0; count < times; count += 1) {
    const began = performance.now();
    await work();
    taken.push(performance.now() - began);
  }
  return taken;
}

/** How often per second `work` is done when `workers` do it side by side, `times` in all. */
export async function perSecond(workers: number, times: number, work: () => Promise<unknown>): Promise<number> {
  let left = times;
  const began = performance.now();
  await Promise.all(
    Array.from({ length: workers }, async () => {
      while (left > 0) {
        left -= 1;
        await work();
      }
    }),
  );
  return times / ((performance.now() - began) / 1000);
}

/** Waits until the machine has written what was left to write: what a seeding left is no part of what follows. */
export async function diskSettled(): Promise<void> {
  await promisify(execFile)("sync");
}

/**
 * Collects this process's garbage: it remembers what it seeded, which takes tens of milliseconds to go through, and would be collected in
 * the middle of what is measured.
 */
export function garbageCollected(): void {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
}

/** A field of /proc/PID/status in bytes; 0 once the process has ended. */
function statusBytes(pid: number, field: string): number {
  try {
    const line = new RegExp(`${field}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${pid}/status`, "utf8"));
    return Number(line?.[1] ?? 0) * 1024;
  } catch (error) {
    if (isMissing(error)) return 0;
    throw error;
  }
}

/** Resident bytes of a process now. */
export function resident(pid: number): number {
  return statusBytes(pid, "VmRSS");
}

/** The most resident bytes a process ever had. */
export function peakResident(pid: number): number {
  return statusBytes(pid, "VmHWM");
}

export const MB = 1e6;

/** A number with as many digits as mean something. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (Math.abs(value) >= 100) return value.toFixed(0);
  return value.toPrecision(3);
}

/** Median and p99 of milliseconds. */
export function spread(values: readonly number[]): string {
  return `${figure(median(values))} / ${figure(percentile(values, 0.99))} ms`;
}

/** Prints rows under a head, columns as wide as what stands in them. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): void {
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => (row[column] ?? "").length)));
  for (const row of [head, ...rows]) {
    const cells = row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
    );
    process.stdout.write(`${cells.join("  ")}\n`);
  }
}

/** Says on standard error how far the work is; standard output holds figures alone. */
export function tell(line: string): void {
  process.stderr.write(process.stderr.isTTY ? `\r\u001b[K${line}` : `${line}\n`);
}

/** Ends a line of progress. */
export function told(): void {
  if (process.stderr.isTTY) process.stderr.write("\r\u001b[K");
}
