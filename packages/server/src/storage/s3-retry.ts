import { setTimeout as sleep } from "node:timers/promises";
import { S3Error } from "./s3-error.ts";

/** How often and how long a request is tried. Times in ms. */
export interface RetryPolicy {
  readonly attempts: number;
  readonly baseMs: number;
  readonly capMs: number;
  /** No new attempt begins after this long. */
  readonly deadlineMs: number;
}

/** About 12 s of waiting at most, spread over eight attempts: longer than a SlowDown usually lasts, shorter than clients wait. */
export const DEFAULT_RETRY: RetryPolicy = { attempts: 8, baseMs: 100, capMs: 5_000, deadlineMs: 120_000 };

/** The longest Retry-After that is waited for, ms. */
const RETRY_AFTER_CAP_MS = 20_000;

/** Retry-After in ms (RFC 9110 §10.2.3, seconds only: S3 sends no dates); 0 when absent or nonsense. */
export function retryAfterMs(header: string | string[] | undefined): number {
  return typeof header === "string" && /^\d{1,6}$/.test(header)
    ? Math.min(Number(header) * 1000, RETRY_AFTER_CAP_MS)
    : 0;
}

/** The wait before attempt `attempt` + 1 (from 1): exponential with full jitter, so that many clients do not come back at once. */
export function backOffMs(policy: RetryPolicy, attempt: number, random: number): number {
  return random * Math.min(policy.capMs, policy.baseMs * 2 ** attempt);
}

/**
 * Runs `attempt` until it succeeds, fails for good, or the policy is used up. What is retried must be replayable: every body of this
 * client is bytes at hand, never a stream.
 *
 * @throws S3Error the last one.
 */
export async function retrying<T>(
  policy: RetryPolicy,
  attempt: (number: number, hear: (retryAfter: number) => void) => Promise<T>,
): Promise<T> {
  const began = performance.now();
  for (let number = 1; ; number += 1) {
    let atLeast = 0;
    try {
      return await attempt(number, (retryAfter) => {
        atLeast = retryAfter;
      });
    } catch (error) {
      const wait = Math.max(atLeast, backOffMs(policy, number, Math.random()));
      const over = number >= policy.attempts || performance.now() - began + wait > policy.deadlineMs;
      if (!(error instanceof S3Error) || !error.transient || over) throw error;
      await sleep(wait);
    }
  }
}
