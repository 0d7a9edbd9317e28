/** The units of a duration. Months and years are not offered: they have no fixed length, and `m` would be ambiguous. */
const UNIT = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const;

/** A whole number without leading zero and one unit; the pattern is part of the published schema. */
export const DURATION_PATTERN = /^[1-9][0-9]{0,5}[mhdw]$/;

/** The longest duration: 100 years of 365.25 days, in milliseconds. */
const LONGEST = 36_525 * UNIT.d;

/**
 * The length in milliseconds of a duration such as `30m` (minutes), `12h`, `90d` or `4w`; `undefined` if `text` is none, or is longer
 * than 100 years.
 */
export function parseDuration(text: string): number | undefined {
  if (!DURATION_PATTERN.test(text)) return undefined;
  const unit = text.slice(-1) as keyof typeof UNIT;
  const length = Number(text.slice(0, -1)) * UNIT[unit];
  return length <= LONGEST ? length : undefined;
}

/** A length in milliseconds in words, rounded down to its largest two units: `7d`, `3d 4h`, `12m`, `8s`. */
export function showDuration(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  const parts = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor(seconds / 3600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "m"],
    [seconds % 60, "s"],
  ] as const;
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return "0s";
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count}${unit}`)
    .join(" ");
}
