/** The log's own table (migration 0001): the commit point of sequencing. */
export interface LogTables {
  log_state: {
    name: string;
    /** The checkpoint's first line; fixed at birth. */
    origin: string;
    /** The verifier key (C2SP signed-note) under which checkpoints are signed. */
    vkey: string;
    /** Raised by whoever takes the right to sequence; an older holder's compare-and-swap fails. */
    epoch: number;
    size: number;
    root: Uint8Array;
  };
}
