/** The log's own table (migration 0001): the commit point of sequencing. */
export interface LogTables {
  log_state: {
    name: string;
    /** The checkpoint's first line; fixed at birth. */
    origin: string;
    /** The verifier key (C2SP signed-note) under which checkpoints are signed. */
    vkey: string;
    /**
     * Counts terms: raised when a process opens the log, and on PostgreSQL when the row passes from one host to another. A batch that
     * rests on an older term fails its compare-and-swap.
     */
    epoch: number;
    size: number;
    root: Uint8Array;
  };
}
