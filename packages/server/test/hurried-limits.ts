/** How long things last in a server that is in a hurry (hurried.ts); all else is as in service. */
export * from "../src/registry/grace.ts";
export * from "../src/registry/limits.ts";

/** Short enough that some run out between a blob and its manifest, and long enough that most do not. */
export const LEASE_MS = 10_000;
export const UPLOAD_MS = 10_000;
export const SESSION_NAME_MS = 6_000;
export const CLAIM_MS = 4_000;
export const deletedGraceMs = 5_000;
