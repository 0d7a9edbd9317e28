/** What a pull is answered with when the upstream gives no answer and what is here is too old. */
export const STALE_RULES = ["serve", "refuse"] as const;

export type StaleRule = (typeof STALE_RULES)[number];

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
}
