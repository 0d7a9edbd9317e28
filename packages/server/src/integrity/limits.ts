/** The background scrub, unless ASSAY_SCRUB_RATE says otherwise. */
export const SCRUB_LIMITS = {
  /** Bytes per second. */
  rate: 8 * 1024 * 1024,
  /** How long one job of the queue goes on, ms; the next one goes on where it ended. */
  turnMs: 50_000,
  /** Between two rounds, ms. */
  restMs: 3_600_000,
} as const;
