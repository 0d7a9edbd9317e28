import type { Digest } from "@assay/evidence";
import type { BlobStore } from "../storage/blobs.ts";
import { REGISTRY_LIMITS } from "./limits.ts";

/** Bytes of manifests a process keeps, and of the largest that is kept. */
const KEPT_BYTES = 8 * 1024 * 1024;
const LARGEST = 64 * 1024;

/**
 * The bytes of the manifests that were pulled last: a popular one is read from the store once. They are named by their digest, so they can only
 * be right; whether a repository holds one, and who may have it, is asked of the database each time.
 */
export class RecentManifests {
  readonly #blobs: BlobStore;
  readonly #kept = new Map<Digest, Uint8Array>();
  #bytes = 0;

  constructor(blobs: BlobStore) {
    this.#blobs = blobs;
  }

  /** A manifest's bytes. @throws ServerError as {@link BlobStore.readSmall} does. */
  async read(digest: Digest): Promise<Uint8Array> {
    const kept = this.#kept.get(digest);
    if (kept !== undefined) {
      // What is used stays: a Map keeps the order of insertion.
      this.#kept.delete(digest);
      this.#kept.set(digest, kept);
      return kept;
    }
    const bytes = await this.#blobs.readSmall(digest, REGISTRY_LIMITS.manifestBytes);
    if (bytes.length <= LARGEST && !this.#kept.has(digest)) this.#keep(digest, bytes);
    return bytes;
  }

  #keep(digest: Digest, bytes: Uint8Array): void {
    this.#kept.set(digest, bytes);
    this.#bytes += bytes.length;
    for (const [oldest, { length }] of this.#kept) {
      if (this.#bytes <= KEPT_BYTES) break;
      this.#kept.delete(oldest);
      this.#bytes -= length;
    }
  }
}
