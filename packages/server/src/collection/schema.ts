/** The tables of this room (migration 0018). */
export interface CollectionTables {
  /** A digest whose bytes were collected, once or more. Projected from `collection.blobs-collected`. */
  collected_blob: {
    digest: string;
    /** How often: the generation of the store that new bytes of it are put under (storage/generations.ts). */
    generation: number;
    /** Bytes of it, as the store said when it was collected last. */
    size: number;
    /** The event that collected it last. */
    sequence: number;
  };
  /** Unrecorded: runs of the collection, for people, and where one that was interrupted goes on. */
  collection_run: {
    id: number;
    mode: CollectionMode;
    state: "running" | "done";
    /** Who asked for it; null for one of the schedule. */
    requested_by: string | null;
    /** The last digest that was looked at; null before the first. */
    after: string | null;
    /** Blobs looked at, and their bytes. */
    looked: number;
    looked_bytes: number;
    /** Blobs collected (of a preview: that would be), and their bytes. */
    collected: number;
    collected_bytes: number;
    /** What earlier runs had collected and not removed, and its bytes. */
    leftovers: number;
    leftover_bytes: number;
    /** ms */
    started: number;
    /** ms */
    updated: number;
    /** ms; null while it goes on. */
    finished: number | null;
  };
}

/** `preview`: nothing is changed. */
export type CollectionMode = "collect" | "preview";
