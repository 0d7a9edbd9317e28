import type { Generated } from "kysely";
import type { MUTABILITIES, VISIBILITIES } from "./repository-settings.ts";

/**
 * The tables of the registry (migrations 0004, 0015, 0017, 0018, 0022). Tables with `from_seq` and `to_seq` keep history: a row holds for the sequences
 * [from_seq, to_seq), and `to_seq` null means now.
 */
export interface RegistryTables {
  /** A repository: made ahead of time, or by its first manifest. */
  repository: {
    /** The whole canonical name, `org/path`. */
    name: string;
    org: string;
    created_seq: number;
    /** The event that deleted it, or gave it another name; null while it is there. Its name stays taken. */
    ended_seq: number | null;
    ended_as: "deleted" | "renamed" | null;
    /** What it is called since it was renamed. */
    heir: string | null;
  };
  /** What is said of a repository, as it stood from `from_seq` on; a repository without a row has what `DEFAULT_SETTINGS` says. */
  repository_setting: {
    repository: string;
    org: string;
    description: string;
    visibility: (typeof VISIBILITIES)[number];
    immutable: (typeof MUTABILITIES)[number];
    /** JSON array of patterns. */
    immutable_tags: string;
    promotion_policy: string | null;
    set_by: string;
    /** ms. */
    set_time: number;
    from_seq: number;
    to_seq: number | null;
  };
  /** What was deleted, each time one row. */
  deletion: {
    /** The event's. */
    sequence: number;
    org: string;
    /** What the repository is called now; it may have been renamed since. */
    repository: string;
    /** What it was called then: under that name are the rows that ended. */
    rows_in: string;
    kind: DeletionKind;
    tag: string | null;
    /** The manifest, or what the tag named; null for a whole repository. */
    digest: string | null;
    reason: string | null;
    actor: string;
    /** ms. */
    time: number;
    /** The event that brought it back; null while it is gone. */
    restored_seq: number | null;
  };
  /** An attempt to move a tag that never moves; repeats are counted in `refused_move_count`. */
  refused_move: {
    repository: string;
    tag: string;
    /** What the tag was to name. */
    digest: string;
    actor: string;
    org: string;
    /** What it names, or was deleted as. */
    names: string;
    /** ms. */
    time: number;
    sequence: number;
  };
  /** Unrecorded: all attempts to move immutable tags, per tag, identity and day. */
  refused_move_count: {
    repository: string;
    tag: string;
    actor: string;
    /** UTC, `YYYY-MM-DD`. */
    day: string;
    org: string;
    count: number;
  };
  /** A manifest in a repository. Its bytes are the blob `digest`. */
  manifest: {
    repository: string;
    digest: string;
    org: string;
    /** Bytes. */
    size: number;
    /** The type it was pushed as; what a pull is answered with. */
    media_type: string;
    /** What referrers lists show: the manifest's own, else its config's type; null for an index without one. */
    artifact_type: string | null;
    /**
     * The digest this manifest is about (OCI image-spec, "subject"); it need not be there. As the manifest writes it only while that is
     * a SHA-512 digest which stands for nothing here.
     */
    subject: string | null;
    /** The manifest's annotations as a JSON object; null when it has none. */
    annotations: string | null;
    pushed_by: string;
    /** ms. */
    pushed_time: number;
    from_seq: number;
    to_seq: number | null;
  };
  /** What a manifest names. It makes a blob visible in the repository only when the repository held it at the push (`held`). */
  manifest_reference: {
    repository: string;
    /** The digest of the manifest that names. */
    manifest: string;
    kind: ReferenceKind;
    /** The digest that is named. A SHA-512 one only where it stood for nothing here: then it is not held. */
    digest: string;
    org: string;
    size: number;
    media_type: string;
    /** 1: the bytes were in this repository when the manifest came. 0: a layer distributed elsewhere. */
    held: number;
    from_seq: number;
    to_seq: number | null;
  };
  tag: {
    repository: string;
    name: string;
    org: string;
    digest: string;
    /** The digest it was set by, where that was of another algorithm. */
    named_as: string | null;
    from_seq: number;
    to_seq: number | null;
  };
  /**
   * What else the bytes of a digest are called in a repository: computed by this server from the bytes, and named there by a manifest,
   * or what a manifest was pushed by. It is true for ever, and ends with nothing.
   */
  digest_alias: {
    repository: string;
    /** A SHA-512 digest. */
    alias: string;
    digest: string;
    org: string;
    /** The event since which it is on record. */
    sequence: number;
  };
  /**
   * Unrecorded: an upload under way that something was written to. Its bytes are the staged upload of the same id. One that was only opened
   * has no row (session-name.ts).
   */
  upload: {
    /** UUID; the last segment of the upload's location. */
    id: string;
    /** The actor that opened it, who alone may go on with it. Empty: it ended, which is remembered for as long as its name would say that it is open. */
    owner: string;
    org: string;
    repository: string;
    /** Bytes acknowledged. */
    offset: number;
    /** Who writes at the moment: a random value of the request; null when nobody does. */
    claim: string | null;
    /** ms; a claim past it is void, its holder died or hangs. */
    claimed_until: number;
    /** ms. */
    created: number;
    /** ms; after it the sweeper takes the session away. */
    expires: number;
    /** What its bytes are about to become: these are not collected while the session is there. Null until it is being finished. */
    digest: string | null;
  };
  /** Unrecorded: a blob's link to a repository before (or besides) a manifest that names it. */
  blob_lease: {
    repository: string;
    digest: string;
    /** The SHA-512 digest it was pushed or mounted by, computed by this server; null when it was by its own. */
    sha512: string | null;
    org: string;
    /** Bytes. */
    size: number;
    /** ms. */
    expires: number;
    /** 1: since it was last leased, a manifest of the repository was seen to name it. Kept where there is a quota. */
    named: Generated<number>;
  };
  /** A repository's retention rules (migration 0018). */
  retention: {
    repository: string;
    org: string;
    version: number;
    /** JSON: see retention-rules.ts. */
    rules: string;
    set_by: string;
    /** ms */
    set_time: number;
    from_seq: number;
    to_seq: number | null;
  };
  /** How much a repository, or an organisation with all of its repositories, may hold. */
  quota: {
    /** The repository's whole name, `org/path`; of an organisation its name. */
    scope: string;
    org: string;
    /** Null: of the organisation. */
    repository: string | null;
    /** Bytes; null: it is counted, and nothing is refused. */
    bytes: number | null;
    set_by: string;
    /** ms. */
    set_time: number;
    from_seq: number;
    to_seq: number | null;
  };
  /** What a scope with a quota holds now: bytes of {@link quota_content}. */
  quota_usage: {
    scope: string;
    org: string;
    repository: string | null;
    bytes: number;
    /** 1: since it last was well below its quota, it was on record that it nears it. */
    warned: number;
    /** When it last was on record that something was refused, ms; null: never. */
    refused_time: number | null;
  };
  /** What a scope with a quota holds: each digest once, however many manifests name it. */
  quota_content: {
    scope: string;
    digest: string;
    size: number;
  };
  /** Unrecorded: manifest pulls per digest, identity and day. */
  pull_count: {
    repository: string;
    digest: string;
    actor: string;
    /** UTC, `YYYY-MM-DD`. */
    day: string;
    org: string;
    count: number;
  };
}

/** How a manifest names something: `child` is a manifest of an index, `blob` anything else an index lists. */
export type ReferenceKind = "config" | "layer" | "child" | "blob";

/** What can be deleted, and restored as it was. */
export type DeletionKind = "tag" | "manifest" | "repository";
