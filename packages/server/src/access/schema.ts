import type { Role } from "./roles.ts";

/** The tables of this room (migrations 0002, 0014). All but `denial` and `bootstrap_use_count` are projections of `access.*` events. */
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
    /** JSON: the repositories and actions it is bound to (key-scope.ts); null: whatever its owner may. */
    scope: string | null;
    /** The key that a rotation put in its place; null: it was not rotated. */
    replaced_by: string | null;
  };
  /** Who had which role where from which event to which: [from_seq, to_seq), to_seq null while it lasts. */
  role_membership: {
    org: string;
    principal: string;
    role: Role;
    from_seq: number;
    to_seq: number | null;
  };
  /** Who had which role in the repositories a pattern names: [from_seq, to_seq). */
  repository_role: {
    org: string;
    principal: string;
    /** A pattern of whole names, `org/…` (repository-role.ts). */
    repository: string;
    role: Role;
    from_seq: number;
    to_seq: number | null;
  };
  /** Whose tokens are exchanged for ours, as it was set from which event to which: [from_seq, to_seq). */
  workload_identity: {
    org: string;
    name: string;
    issuer: string;
    audience: string;
    /** JSON: `{claim, value}[]`. */
    conditions: string;
    /** The service account its tokens act as. */
    service_account: string;
    /** JSON: the patterns its tokens are good in; null: wherever the service account may. */
    repositories: string | null;
    /** 1: each outside token buys one of ours. */
    single_use: number;
    /** ms; null: until removed. */
    expires_time: number | null;
    set_time: number;
    set_by: string;
    from_seq: number;
    to_seq: number | null;
  };
  /** Outside tokens that were exchanged, each once. */
  token_exchange: {
    org: string;
    identity: string;
    /** Lower-case hex SHA-256 of issuer and `jti`, or of the token where it has none. */
    token: string;
    subject: string;
    sequence: number;
    time: number;
  };
  /** Requests under the bootstrap admin's token, per route and hour, as events have recorded them. */
  bootstrap_use: {
    /** Hours since the epoch. */
    hour: number;
    /** Method and route pattern, never a raw URL. */
    route: string;
    count: number;
  };
  /** Unrecorded: the same as counted so far; what it is ahead of `bootstrap_use` becomes an event when its hour is over. */
  bootstrap_use_count: {
    hour: number;
    route: string;
    count: number;
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
