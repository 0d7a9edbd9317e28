/**
 * The tables that are not derived from events, and why each may be lost without losing a fact. `rebuild` leaves them alone and
 * `check` does not compare them. Every other table is a projection, or the record itself.
 */
export const UNRECORDED_TABLES: readonly { readonly table: string; readonly reason: string }[] = [
  {
    table: "denial",
    reason: "refused requests counted per identity, route and hour: a refused request appends nothing",
  },
  { table: "upload", reason: "upload sessions under way: bytes are no fact until a manifest names them" },
  {
    table: "blob_lease",
    reason: "a blob's link to a repository until a manifest names it; renewed by upload, mount and HEAD",
  },
  { table: "pull_count", reason: "pulls counted per digest, identity and day: reading changes nothing" },
  { table: "gate_repeat", reason: "how often a recorded decision was asked for again: the same answer is no new fact" },
];
