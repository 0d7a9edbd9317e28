/** The service's public keys (migration 0001): projected from `keys.*` events and kept for ever. */
export interface KeyTables {
  key: {
    id: string;
    purpose: string;
    algorithm: string;
    /** PEM, SubjectPublicKeyInfo. */
    public_key: string;
    created_sequence: number;
    active_from_sequence: number | null;
    retired_sequence: number | null;
  };
  /**
   * The key of a purpose that may sign over state only this database has (migration 0008). Unrecorded, like that state: they are lost
   * together, and then the key is given up (missing-keys.ts).
   */
  bound_key: { purpose: string; id: string };
}
