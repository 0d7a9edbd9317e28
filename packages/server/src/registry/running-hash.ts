import { createHash, type Hash } from "node:crypto";

/** Hashes kept at once; the least recently kept goes first, and its upload is hashed again from the staged bytes at its end. */
const KEPT = 4096;

/**
 * The SHA-256 so far of each upload under way in this process. Node cannot write a hash down, so after a restart, or when another
 * process took the previous chunk, there is none here and the staged bytes are read again, once, when the upload is closed.
 */
export class RunningHashes {
  readonly #kept = new Map<string, { readonly offset: number; readonly hash: Hash }>();

  /** The hash over the first `offset` bytes of upload `id`; undefined when this process does not have it. */
  at(id: string, offset: number): Hash | undefined {
    if (offset === 0) return createHash("sha256");
    const kept = this.#kept.get(id);
    // A kept hash is never updated: work goes on in copies, so a chunk that is taken back leaves it as it was.
    return kept?.offset === offset ? kept.hash.copy() : undefined;
  }

  keep(id: string, offset: number, hash: Hash): void {
    this.#kept.delete(id);
    this.#kept.set(id, { offset, hash });
    if (this.#kept.size > KEPT) {
      const oldest = this.#kept.keys().next();
      if (oldest.done !== true) this.#kept.delete(oldest.value);
    }
  }

  forget(id: string): void {
    this.#kept.delete(id);
  }
}
