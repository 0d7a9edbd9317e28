/** The tables of trust (migration 0003). Both are projections of `trust.*` events. */
export interface TrustTables {
  /** One row per change: version 1, 2, 3… of an organisation's trust, and the span of the record in which it was the current one. */
  trust_version: {
    org: string;
    version: number;
    change: "added" | "changed" | "removed";
    /** The id of the entry the change was about. */
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
    /** PEM, SubjectPublicKeyInfo, in the one form our formatter writes. */
    public_key: string;
    /** Lower-case hex SHA-256 of the key's SubjectPublicKeyInfo DER. */
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
}
