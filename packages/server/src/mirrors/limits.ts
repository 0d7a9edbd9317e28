/** Every bound on what other registries may make this server do, in one place. */
export const MIRROR_LIMITS = {
  /** Mirrors of one organisation. */
  perOrganisation: 1_000,
  /** Characters of an upstream's URL. */
  urlLength: 1_000,
  /** Hosts one mirror may take tokens from. */
  tokenHosts: 8,
  /** Characters of a user's name, and of a password or token. */
  username: 256,
  password: 16 * 1024,
  /** How long what a tag names is believed: when not said, and at most, ms. */
  maxAgeMs: 5 * 60_000,
  longestMaxAgeMs: 30 * 24 * 3_600_000,
  /** From a name's look-up to the head of an answer, ms. */
  headMs: 10_000,
  /** Between two pieces of an answer, ms. */
  idleMs: 30_000,
  /** A small answer (manifest, token, list) altogether, ms. */
  smallMs: 30_000,
  /** A blob altogether, ms. */
  blobMs: 2 * 3_600_000,
  /** Redirects followed for one question. */
  redirects: 5,
  /** Bytes of a token service's answer, and characters of the token in it. */
  tokenAnswer: 64 * 1024,
  token: 16 * 1024,
  /** How long a token is used at most, whatever its service says, ms. */
  tokenMs: 5 * 60_000,
  /** Bytes of a page of referrers or tags. */
  pageBytes: 8 * 1024 * 1024,
  /** Pages of one list. */
  pages: 100,
  /** Manifests one process brings at once, each with its evidence; others wait. */
  manifestsAtOnce: 64,
  /** Of those, for one organisation. */
  manifestsPerOrganisation: 48,
  /** Blobs one process brings at once; others wait. */
  blobsAtOnce: 24,
  /** Of those, for one organisation. */
  blobsPerOrganisation: 16,
  /** Pulls that wait for such a place; beyond, they are told to come again. */
  waiting: 1_000,
  /** How long an upstream that gave no answer is left alone, ms. */
  restMs: 10_000,
  /** And how long at most one that asks for it itself (Retry-After), ms. */
  longestRestMs: 10 * 60_000,
  /** Looks for evidence that did not bring everything, of which one process remembers when they were. */
  looksRemembered: 10_000,
  /** Pieces of evidence brought for one artifact, at each look. */
  evidence: 500,
  /** Bytes of the blobs of a piece of evidence that are brought with it; what is more comes when it is asked for. */
  evidenceBlobBytes: 64 * 1024 * 1024,
  /** How deep evidence about evidence is followed. */
  evidenceDepth: 2,
  /** One look for evidence altogether, ms; what was not brought by then is looked for the next time. */
  evidenceMs: 60_000,
  /** How long this process believes that there is no mirror at all, ms. */
  noneMs: 1_000,
  /** Replications of one organisation. */
  replications: 50,
  /** Patterns of repositories, and of tags, of one replication. */
  patterns: 50,
  /** How often a replication may go through everything, ms. */
  shortestEveryMs: 60_000,
  /** Tags that are filled ahead of time by one request that names them. */
  filledAtOnce: 100,
  /** How deep indexes in indexes are followed. */
  indexDepth: 4,
  /** Manifests that are filled for one tag. */
  filledManifests: 10_000,
  /** How often a tag that moves while it is copied is copied again at once. */
  movesFollowed: 5,
  /** Runs of one kind one process makes at once, and all processes together for one organisation. */
  runsAtOnce: 4,
  runsPerOrganisation: 3,
  /** How often a run that could not copy everything is tried before it is dead. With the queue's back-off: for about 2 hours. */
  attempts: 13,
  /** A run's lease, and how often it is renewed, ms. */
  leaseMs: 5 * 60_000,
  renewMs: 60_000,
  /** How often progress is written down, ms. */
  progressMs: 1_000,
  /** Tags and repositories read in one step. */
  step: 200,
  /** How long pushes of one organisation are gathered before anybody looks what is to be replicated, ms. */
  gatherMs: 500,
  /** Characters of an upstream's fault that are kept. */
  problemLength: 500,
} as const;
