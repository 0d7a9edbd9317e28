/** Something `check` found wrong: what, where, and what to do. */
export interface Finding {
  /** The layer it was found in. */
  readonly kind: "schema" | "event" | "leaf" | "chain" | "projection" | "log" | "tile" | "checkpoint" | "blob" | "key";
  /** Names the thing: a sequence, a table and row, a path, a digest. */
  readonly where: string;
  readonly problem: string;
  readonly action: string;
  /** The first event or log entry it is about, where it is about some only: what tells which checks have covered it. */
  readonly entry?: number;
}
