/** What a pull is answered with when the upstream gives no answer and what is here is too old. */
export const STALE_RULES = ["serve", "refuse"] as const;

export type StaleRule = (typeof STALE_RULES)[number];

/** Which way a replication goes: to another registry, or from the upstreams of mirrors. */
export const DIRECTIONS = ["push", "pull"] as const;

export type Direction = (typeof DIRECTIONS)[number];

/** How a run stands: `failed` had something it could not copy, and is tried again by the queue of jobs. */
export const RUN_STATES = ["running", "done", "failed"] as const;

export type RunState = (typeof RUN_STATES)[number];

/** The tables of this room (migration 0020). */
export interface MirrorTables {
  /** Projected: which repositories mirror what, as it stood from `from_seq` on. */
  mirror: {
    org: string;
    /** The canonical name, `org/path`. */
    repository: string;
    /** Where from: a registry's origin and the name of a repository there, in one URL. */
    url: string;
    /** Names what the upstream is asked with, which lies encrypted in `mirror_credential`; null: nothing. */
    credential: string | null;
    /** JSON array: hosts besides the upstream's own that may be asked for its tokens. */
    token_hosts: string;
    max_age_ms: number;
    stale: StaleRule;
    /** 1: evidence comes along. */
    evidence: number;
    set_time: number;
    set_by: string;
    from_seq: number;
    to_seq: number | null;
  };
  /** Projected: release tags that an upstream moved, and that stayed here. */
  mirror_refused_tag: {
    org: string;
    repository: string;
    tag: string;
    /** What the upstream would have it name. */
    refused: string;
    sequence: number;
  };
  /** Unrecorded: what upstreams are asked with, encrypted under the service's `mirror` key. */
  mirror_credential: {
    org: string;
    id: string;
    sealed: string;
    created: number;
  };
  /** Unrecorded: when an upstream was last asked about a tag, or about the evidence for a digest. */
  mirror_look: {
    org: string;
    repository: string;
    /** A tag or a digest. */
    reference: string;
    time: number;
  };
  /** Projected: what is replicated where, as it stood from `from_seq` on. */
  replication: {
    org: string;
    name: string;
    direction: Direction;
    /** JSON array of patterns of whole names. */
    repositories: string;
    /** JSON array of patterns of tags. */
    tags: string;
    /** Push: a registry's origin and what repositories there begin with. */
    url: string | null;
    credential: string | null;
    token_hosts: string;
    /** 1: as soon as something is pushed. */
    on_events: number;
    every_ms: number | null;
    evidence: number;
    set_time: number;
    set_by: string;
    from_seq: number;
    to_seq: number | null;
  };
  /** Unrecorded: the newest run of a replication (`replication/<name>`), or of filling a mirror (`mirror/<repository>`). */
  mirror_run: {
    org: string;
    subject: string;
    state: RunState;
    started: number;
    finished: number | null;
    /** Tags and pieces of evidence: brought over, there already, and not to be brought over. */
    copied: number;
    present: number;
    failed: number;
    /** What it is at. */
    at: string | null;
    /** The first thing that went wrong. */
    problem: string | null;
    /** The record's sequence up to which everything was brought over; -1: never. */
    covered: number;
  };
}
