/** Lets so many pass at once, and then so many a second: a token bucket per name. */
export class RateLimiter {
  readonly #burst: number;
  readonly #perSecond: number;
  /** Tokens left when they were last counted. There are as many names as configured logs. */
  readonly #buckets = new Map<string, { tokens: number; at: number }>();

  constructor(limit: { readonly burst: number; readonly perSecond: number }) {
    this.#burst = limit.burst;
    this.#perSecond = limit.perSecond;
  }

  /** Whether one more may pass under this name at `now`, ms of a clock that never goes back. */
  pass(name: string, now: number): boolean {
    const bucket = this.#buckets.get(name) ?? { tokens: this.#burst, at: now };
    const tokens = Math.min(this.#burst, bucket.tokens + ((now - bucket.at) / 1000) * this.#perSecond);
    const passes = tokens >= 1;
    this.#buckets.set(name, { tokens: passes ? tokens - 1 : tokens, at: now });
    return passes;
  }
}
