/** Every bound of webhooks, in one place. */
export const WEBHOOK_LIMITS = {
  /** Endpoints of one organisation. */
  perOrganisation: 50,
  /** Characters of an endpoint's URL. */
  urlLength: 2_000,
  /** Patterns of repositories of one endpoint. */
  repositories: 50,
  /** How long one request may take, from the name's look-up to the answer's head, ms. */
  timeoutMs: 10_000,
  /** How often a delivery is tried before it is dead. With the queue's back-off (jobs/back-off.ts): for 2½ to 5 hours. */
  attempts: 16,
  /** Deliveries one process makes at once. */
  atOnce: 32,
  /** Deliveries to one organisation's endpoints at once, in all processes together: slow ones keep their own waiting and nobody else's. */
  atOncePerOrganisation: 4,
  /** The longest rest that an endpoint's Retry-After is granted, ms. */
  longestRestMs: 3_600_000,
  /** Test messages one process sends at once; and to one organisation's endpoints. */
  testsAtOnce: 16,
  testsPerOrganisation: 2,
  /** Events read in one step on the way to the next that an endpoint is told. */
  scanStep: 200,
  /** Such steps in one turn: then others have theirs. */
  stepsAtOnce: 5,
  /** Names of one kind that one message lists (tags of a deleted manifest, subjects of a piece of evidence). */
  listed: 100,
  /** Bytes of a message's body. */
  bodyBytes: 256 * 1024,
  /** Characters of an error that are kept. */
  errorLength: 500,
  /** Deliveries kept of each endpoint in each state. */
  kept: 1_000,
  /** How long the former secret signs too after a rotation, ms: when not said, and at most. */
  overlapMs: 24 * 3_600_000,
  longestOverlapMs: 30 * 24 * 3_600_000,
} as const;
