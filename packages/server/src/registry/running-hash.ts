import { createHash, type Hash } from "node:crypto";
import { type Digest, parseDigest } from "@assay/evidence";
import { type DigestAlgorithm, type Sha512, sha512OfHex } from "./digest.ts";

/** Hashes kept at once; the least recently kept goes first, and its upload is hashed again from the staged bytes at its end. */
const KEPT = 4096;

/** What bytes are called, computed while they pass: always by SHA-256, by SHA-512 where somebody asks for it. */
export class UploadHash {
  readonly #sha256: Hash;
  readonly #sha512: Hash | undefined;

  private constructor(sha256: Hash, sha512: Hash | undefined) {
    this.#sha256 = sha256;
    this.#sha512 = sha512;
  }

  /** The hash of no bytes yet. */
  static begin(algorithm: DigestAlgorithm): UploadHash {
    return new UploadHash(createHash("sha256"), algorithm === "sha512" ? createHash("sha512") : undefined);
  }

  /** Whether it computes this one. */
  computes(algorithm: DigestAlgorithm): boolean {
    return algorithm === "sha256" || this.#sha512 !== undefined;
  }

  update(chunk: Uint8Array): void {
    this.#sha256.update(chunk);
    this.#sha512?.update(chunk);
  }

  copy(): UploadHash {
    return new UploadHash(this.#sha256.copy(), this.#sha512?.copy());
  }

  /** The names of the bytes so far; more may follow. */
  digests(): { readonly sha256: Digest; readonly sha512: Sha512 | undefined } {
    return {
      sha256: parseDigest(`sha256:${this.#sha256.copy().digest("hex")}`),
      sha512: this.#sha512 && sha512OfHex(this.#sha512.copy().digest("hex")),
    };
  }
}

/**
 * The hash so far of each upload under way in this process. Node cannot write a hash down, so after a restart, or when another
 * process took the previous chunk, there is none here and the staged bytes are read again, once, when the upload is closed.
 */
export class RunningHashes {
  readonly #kept = new Map<string, { readonly offset: number; readonly hash: UploadHash }>();

  /** The hash over the first `offset` bytes of upload `id`; undefined when this process does not have it. */
  at(id: string, offset: number, algorithm: DigestAlgorithm): UploadHash | undefined {
    const kept = this.#kept.get(id);
    // A kept hash is never updated: work goes on in copies, so a chunk that is taken back leaves it as it was.
    if (kept?.offset === offset && kept.hash.computes(algorithm)) return kept.hash.copy();
    if (offset === 0) return UploadHash.begin(algorithm);
    return kept?.offset === offset ? kept.hash.copy() : undefined;
  }

  keep(id: string, offset: number, hash: UploadHash): void {
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
