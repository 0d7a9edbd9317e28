import type { TrustEntry } from "@assay/evidence";

/** What makes a version of trust: one of its entries or roots was changed, or the whole was replaced. */
export const TRUST_CHANGES = [
  "added",
  "changed",
  "removed",
  "root-set",
  "root-removed",
  "imported",
  "rolled-back",
] as const;

/** The tables of trust (migrations 0003 and 0013). All are projections of `trust.*` events. */
export interface TrustTables {
  /** One row per change: version 1, 2, 3… of an organisation's trust, and the span of the record in which it was the current one. */
  trust_version: {
    org: string;
    version: number;
    change: (typeof TRUST_CHANGES)[number];
    /** The id of the entry, or the name of the root, that the change was about; empty when it was about the whole. */
    entry: string;
    actor: string;
    /** ms */
    time: number;
    from_seq: number;
    /** The sequence at which the next version took over; null while this one is current. Half-open. */
    to_seq: number | null;
  };
  /** An entry in one of its states; it holds in versions [from_version, to_version). */
  trust_entry: {
    org: string;
    id: string;
    name: string;
    kind: TrustEntry["kind"];
    /**
     * Who it is, by kind: a key as PEM SubjectPublicKeyInfo in the one form our formatter writes; a certificate identity as JSON {root,
     * issuer, subject}; an OpenPGP certificate, armoured.
     */
    public_key: string;
    /** The entry's `keyId`: see `TrustEntry` of `@assay/evidence`. */
    key_id: string;
    /** JSON array of repository patterns. */
    repositories: string;
    /** JSON array of predicate types, or of "*". */
    predicate_types: string;
    /** ms, inclusive; null = unbounded. */
    valid_from: number | null;
    /** ms, inclusive; null = unbounded. */
    valid_until: number | null;
    /** 1 when this key sets an artifact's primary provenance in its scope. */
    is_primary: number;
    from_version: number;
    to_version: number | null;
    from_seq: number;
    to_seq: number | null;
  };
  /** A root in one of its states; it holds in versions [from_version, to_version). */
  trust_root: {
    org: string;
    name: string;
    /** The JSON that trust files hold. */
    root: string;
    from_version: number;
    to_version: number | null;
    from_seq: number;
    to_seq: number | null;
  };
}
