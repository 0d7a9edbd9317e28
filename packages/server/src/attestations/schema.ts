import type { EvidenceForm, Wrapping } from "./piece.ts";

/** The tables of attestations (migrations 0005 and 0012): projections of `attestations.*` events. Rows are added and never changed. */
export interface AttestationTables {
  /** One row per piece of evidence. The same bytes may be here twice: unreadable as a bundle, and readable as a report. */
  evidence: {
    org: string;
    /** sha256 of the bytes, which lie in the blob store. */
    digest: string;
    form: EvidenceForm;
    /** Bytes. */
    size: number;
    /** What it claims to be; null when unreadable. */
    predicate_type: string | null;
    /** sha256 of what is signed; null when unreadable or unsigned, or when a message signature states none. */
    payload_digest: string | null;
    /** Names the signature, whatever bundle wraps it; null when unreadable or unsigned. */
    signature: string | null;
    /** The key hint as written. */
    hint: string | null;
    /** Why it cannot be read; null when it can. */
    unreadable: string | null;
    /** In what the signed content came; null: in a Sigstore bundle, or there is none. */
    wrapping: Wrapping | null;
    actor: string;
    sequence: number;
    /** When these bytes were received here, ms. */
    time: number;
    /**
     * When the signature was first received here, ms, and by which event: its proven time. Whoever wraps an old signature in a new
     * bundle makes new bytes, and must not make it young.
     */
    first_sequence: number;
    first_time: number;
  };
  /** What a piece of evidence says it is about; of an unreadable one, what it was attached to. */
  evidence_subject: {
    org: string;
    subject: string;
    digest: string;
    form: EvidenceForm;
    /** From which sequence on. */
    sequence: number;
  };
  /** Pieces that say which step of which flow they belong to; a part that is not said is the empty text. */
  evidence_step: {
    org: string;
    flow: string;
    trail: string;
    name: string;
    digest: string;
    form: EvidenceForm;
    sequence: number;
  };
  /**
   * What a piece says of itself that it can be found by. `sequence` is that of the event that brought the piece, so pieces that have two
   * fields are those whose sequence stands under both.
   */
  evidence_field: { org: string; name: string; value: string; digest: string; sequence: number };
  /** Keys the signature was proven to be of when the evidence came in. Whether they are trusted is asked when it is read. */
  evidence_signer: { org: string; key_id: string; digest: string; sequence: number };
  /** Repositories the evidence was given to. */
  evidence_repository: {
    org: string;
    digest: string;
    repository: string;
    /** The referrer manifest it came in; null when it was posted. */
    manifest: string | null;
    sequence: number;
  };
  /** The one primary build provenance of an artifact in a repository. */
  primary_provenance: {
    org: string;
    repository: string;
    subject: string;
    evidence: string;
    payload_digest: string;
    /** The key and the trust entry that made it primary, under which trust version. */
    key_id: string;
    entry: string;
    trust_version: number;
    sequence: number;
  };
}
