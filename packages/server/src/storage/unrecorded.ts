/**
 * The tables that are not derived from events, and why each may be lost without losing a fact. `rebuild` leaves them alone and
 * `check` does not compare them. Every other table is a projection, or the record itself.
 */
export const UNRECORDED_TABLES: readonly {
  readonly table: string;
  readonly reason: string;
  /** Counted over time: a backup keeps it. What is under way is not kept. */
  readonly backedUp?: true;
  /** Its rows name people and things, each row by itself: a redaction deletes those that hold a text it redacts. */
  readonly names?: true;
}[] = [
  {
    table: "denial",
    reason: "refused requests counted per identity, route and hour: a refused request appends nothing",
    backedUp: true,
    names: true,
  },
  {
    table: "bootstrap_use_count",
    reason:
      "requests under the bootstrap admin's token as they are counted: each hour's become an event when it is over",
    backedUp: true,
  },
  { table: "upload", reason: "upload sessions under way: bytes are no fact until a manifest names them", names: true },
  {
    table: "blob_lease",
    reason: "a blob's link to a repository until a manifest names it; renewed by upload, mount and HEAD",
    names: true,
  },
  {
    table: "refused_move_count",
    reason:
      "attempts to move immutable tags counted per tag, identity and day: the first of each is an event, its repeats are no new fact",
    backedUp: true,
    names: true,
  },
  {
    table: "pull_count",
    reason: "pulls counted per digest, identity and day: reading changes nothing",
    backedUp: true,
    names: true,
  },
  {
    table: "job",
    reason: "work to be done, and what came of it: what a job changes that is a fact, it records itself",
    names: true,
  },
  {
    table: "collection_run",
    reason: "what runs of the garbage collection did, for people; what they collected is in the record",
    names: true,
  },
  { table: "job_schedule", reason: "when work is next to be made: every program brings its schedules along" },
  {
    table: "witnessed_log",
    reason:
      "the newest checkpoint of each log we cosigned, and so what the witness key must not contradict: it is true of this database only, and key and state are given up together (bound_key)",
  },
  { table: "bound_key", reason: "which key this database's own state belongs to: lost with it, on purpose" },
  {
    table: "witness_turn",
    reason: "who asks our witnesses now, and the newest checkpoint they cosigned: they are asked again",
  },
  { table: "witness_answer", reason: "what each of our witnesses answered last, for people: they are asked again" },
  {
    table: "webhook_cursor",
    reason: "how far each webhook was told: without it, it is told again from where it began, under the same ids",
    backedUp: true,
  },
  {
    table: "webhook_delivery",
    reason: "what became of each message to a webhook, for people: what is told is in the record",
    backedUp: true,
    names: true,
  },
  {
    table: "mirror_credential",
    reason:
      "what other registries are asked with, encrypted: no secret stands in the record, which names it; where it is lost it is set again",
    backedUp: true,
  },
  {
    table: "mirror_look",
    reason: "when an upstream was last asked about a tag or a digest: it is asked again",
    names: true,
  },
  {
    table: "mirror_run",
    reason: "how far the newest run of a replication has come, for people: without it everything is looked at again",
    names: true,
  },
  {
    table: "gate_repeat",
    reason: "how often a recorded decision was asked for again: the same answer is no new fact",
    backedUp: true,
  },
];
