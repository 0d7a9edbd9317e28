const BASE_MS = 2_000;
const CAP_MS = 60 * 60_000;

/**
 * How long a job that failed waits before its next run, ms: doubling from 2 s up to an hour, half of it at random, so that what failed
 * together does not come back together.
 *
 * @param attempt runs so far, from 1.
 * @param random from 0 to 1.
 */
export function backOffMs(attempt: number, random: number): number {
  const whole = Math.min(CAP_MS, BASE_MS * 2 ** Math.min(attempt - 1, 30));
  return Math.round(whole / 2 + (whole / 2) * random);
}
