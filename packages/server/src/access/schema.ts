/** The tables of this room (migration 0002). All but `denial` are projections of `access.*` events. */
export interface AccessTables {
  organisation: {
    name: string;
    /** 1 for the default organisation, fixed at first start; 0 for every other. */
    is_default: number;
    created_sequence: number;
    /** ms. */
    created_time: number;
    created_by: string;
  };
  /** The bootstrap admin (`admin`), people and service accounts. A row stays when its principal is removed: names never return. */
  principal: {
    id: string;
    kind: "bootstrap" | "person" | "service";
    name: string;
    /** A service account's organisation; null for the others. */
    org: string | null;
    /** Counts what ends a credential (a key revoked, the principal removed): registry tokens of an earlier epoch are void. */
    epoch: number;
    created_sequence: number;
    created_time: number;
    created_by: string;
    /** The event that removed (or, for the bootstrap admin, disabled) it; null while it stands. */
    ended_sequence: number | null;
  };
  api_key: {
    id: string;
    principal: string;
    /** What the owner calls it. */
    label: string;
    /** Lower-case hex SHA-256 of the secret. The secret itself is nowhere. */
    secret_hash: string;
    created_sequence: number;
    created_time: number;
    created_by: string;
    /** ms; null: until revoked. */
    expires_time: number | null;
    revoked_sequence: number | null;
    revoked_time: number | null;
  };
  /** Who had which role where from which event to which: [from_seq, to_seq), to_seq null while it lasts. */
  role_membership: {
    org: string;
    principal: string;
    role: "reader" | "member" | "admin";
    from_seq: number;
    to_seq: number | null;
  };
  /** Unrecorded: refused requests per identity, route and hour. */
  denial: {
    identity: string;
    /** Method and route pattern, never a raw URL. */
    route: string;
    /** Hours since the epoch. */
    hour: number;
    count: number;
  };
}
