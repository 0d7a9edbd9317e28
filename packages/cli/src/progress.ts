import { clean, type Format, type Streams } from "./output.ts";

/** Shows how far a transfer is. Obtain one per transfer; `done` must be called, also when it failed. */
export type Progress = {
  /** `bytes` more have been moved. */
  readonly add: (bytes: number) => void;
  /** Clears the line. */
  readonly done: () => void;
};

/** How an amount is written: bytes, unless things are counted. */
export type Amount = (amount: number) => string;

/** Shows nothing. */
export const SILENT: Progress = { add: () => undefined, done: () => undefined };
const REDRAW_MS = 100;

/**
 * A single-line progress display on standard error: label, share, bytes, rate and time left. Silent unless standard
 * error is a terminal and the output is text. `now` gives milliseconds of a monotonic clock.
 */
export function startProgress(
  streams: Streams,
  format: Format,
  label: string,
  total: number | undefined,
  now: () => number = () => performance.now(),
  amount: Amount = formatBytes,
): Progress {
  if (format === "json" || streams.stderr.isTTY !== true) return SILENT;
  const started = now();
  let moved = 0;
  let drawn = Number.NEGATIVE_INFINITY;
  return {
    add(bytes) {
      moved += bytes;
      const time = now();
      if (time - drawn < REDRAW_MS) return;
      drawn = time;
      const line = progressLine(label, moved, total, (time - started) / 1000, streams.stderr.columns ?? 80, amount);
      streams.stderr.write(`\r\u001b[2K${line}`);
    },
    done() {
      if (drawn > Number.NEGATIVE_INFINITY) streams.stderr.write("\r\u001b[2K");
    },
  };
}

/** The text of the line, cut to `columns`; `seconds` is the time since the start. */
export function progressLine(
  label: string,
  moved: number,
  total: number | undefined,
  seconds: number,
  columns: number,
  amount: Amount = formatBytes,
): string {
  const rate = seconds > 0 ? moved / seconds : 0;
  const parts = [clean(label)];
  if (total !== undefined && total > 0) parts.push(`${Math.min(100, Math.floor((moved / total) * 100))}%`);
  parts.push(total === undefined ? amount(moved) : `${amount(moved)} of ${amount(total)}`);
  parts.push(`${amount(rate)}/s`);
  if (total !== undefined && rate > 0 && moved < total) parts.push(`${formatSeconds((total - moved) / rate)} left`);
  return parts.join("  ").slice(0, Math.max(1, columns - 1));
}

/** 1536 → "1.5 KiB". */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

function formatSeconds(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
