import type { Generated } from "kysely";

/** The tables of the record (migration 0001). Column meanings stand beside the types. */
export interface RecordTables {
  /** One row per accepted fact; `bytes` is the event itself, never re-encoded, the other columns are read from it. */
  event: {
    sequence: number;
    org: string;
    org_sequence: number;
    type: string;
    version: number;
    actor: string;
    time: number;
    bytes: Uint8Array;
  };
  /** The event's salt (no bytes once it is redacted) and its commitment, which is the log entry at index `sequence`. */
  leaf: { sequence: number; salt: Uint8Array; commitment: Uint8Array };
  /**
   * What stands redacted (migration 0010), by the newest event that redacts it. The redacted event's salt is empty: its commitment stands,
   * and nothing can be computed against it any more.
   */
  redaction: {
    sequence: number;
    /** The sequence of the event that redacted it. */
    redacted_by: number;
    /** Lower-case hex SHA-256 of the bytes that stand in the event's place. */
    digest: string;
    /** JSON array of JSON pointers (RFC 6901) into the event: the strings that were replaced. */
    fields: string;
  };
  /** The newest event of each organisation; `anchored` is the org sequence last written down in a head event. */
  org_head: {
    org: string;
    org_sequence: number;
    commitment: Uint8Array;
    sequence: number;
    anchored: Generated<number>;
  };
}
