/** This room's tables (migration 0008). All are unrecorded. */
export interface WitnessTables {
  /** The newest checkpoint we cosigned of each log that is not ours: what no later cosignature may contradict. */
  witnessed_log: {
    origin: string;
    size: number;
    root: Uint8Array;
    /** The checkpoint with the log's signature and our cosignature. */
    note: string;
    /** When it was cosigned, s. */
    time: number;
  };
  /** Who asks the witnesses of one of our logs now, and the newest of its checkpoints that a quorum cosigned. */
  witness_turn: {
    /** Its origin: a log's successor starts anew. */
    log: string;
    holder: string;
    /** The turn ends here unless it is taken anew, ms. */
    until: number;
    /** Of `note`; -1 before the first. */
    size: number;
    note: string;
  };
  /** What each of our witnesses answered last. */
  witness_answer: {
    vkey: string;
    outcome: string;
    message: string;
    /** When it was asked, ms. */
    asked: number;
    /** The newest size it cosigned, and when by its own clock, s. */
    size: number | null;
    cosigned: number | null;
  };
}
