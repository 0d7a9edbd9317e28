/** `own`: each manifest by its own decision. `index`: or by that of an index in the repository that lists it. */
export type Platforms = "own" | "index";

/** The tables of the gate (migrations 0006 and 0019). */
export interface GateTables {
  /** A policy in one of its versions; the yaml's digest names it everywhere. Projected from `gate.policy-set`. */
  gate_policy: {
    org: string;
    name: string;
    version: number;
    /** sha256 of the yaml's UTF-8 bytes. */
    digest: string;
    yaml: string;
    actor: string;
    /** ms */
    time: number;
    from_seq: number;
    /** The sequence at which the next version took over; null while this one is current. Half-open. */
    to_seq: number | null;
  };
  /** A recorded decision. Projected from `gate.decision-made`. */
  gate_decision: {
    /** sha256 of the decision's canonical JSON. */
    id: string;
    org: string;
    subject: string;
    repository: string | null;
    policy_digest: string;
    /** The stored policy it was asked by; null for a policy given with the request. */
    policy_name: string | null;
    policy_version: number | null;
    result: "allowed" | "denied";
    /** Digest of what was asked; see question.ts. */
    question: string;
    /** Digest of what inputs and outcome were. */
    answer: string;
    /** The decision itself, canonical JSON. */
    decision: string;
    /** Digest of the signed verification summary, a blob. */
    vsa: string;
    as_of: number;
    actor: string;
    /** When it was recorded, ms. */
    time: number;
    from_seq: number;
    /** The sequence at which the same question was answered differently; null while this is the newest answer. */
    to_seq: number | null;
  };
  /** Repositories that serve only what a policy allows. Projected from `gate.pull-gate-set` and `gate.pull-gate-cleared`. */
  pull_gate: {
    org: string;
    /** A pattern of whole names, `org/path`. */
    repository: string;
    /** A stored policy, by name: its version of the moment judges. */
    policy: string;
    /** Whether a platform's manifest needs to be allowed itself, or is when an index that lists it is. */
    platforms: Platforms;
    actor: string;
    /** ms */
    time: number;
    from_seq: number;
    /** The sequence at which it was set anew or cleared; null while it stands. Half-open. */
    to_seq: number | null;
  };
  /** How often a recorded decision was asked for again. Unrecorded. */
  gate_repeat: { id: string; count: number; last_time: number };
}
