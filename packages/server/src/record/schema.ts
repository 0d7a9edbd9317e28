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
  /** The event's salt and its commitment, which is the log entry at index `sequence`. */
  leaf: { sequence: number; salt: Uint8Array; commitment: Uint8Array };
  /** The newest event of each organisation; `anchored` is the org sequence last written down in a head event. */
  org_head: {
    org: string;
    org_sequence: number;
    commitment: Uint8Array;
    sequence: number;
    anchored: Generated<number>;
  };
}
