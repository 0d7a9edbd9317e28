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
}
