/** Every bound of the collection, in one place. */
export const COLLECTION_LIMITS = {
  /** Blobs asked about in one step; also what one event names at most, about 25 KiB. */
  step: 256,
  /** Runs that are remembered. */
  runs: 100,
  /** How often what names bytes is tried again when they were collected before it could be recorded. */
  attempts: 8,
  /** Blobs that a run cannot remove before it takes the store for broken: a few keep back nothing else. */
  failures: 10,
} as const;
