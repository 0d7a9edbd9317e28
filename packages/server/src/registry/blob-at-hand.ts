import type { IncomingMessage } from "node:http";
import type { Digest } from "@assay/evidence";
import { generationOf } from "../collection/generation.ts";
import { COLLECTION_LIMITS } from "../collection/limits.ts";
import { BLOB_COLLECTED, type Naming } from "../collection/naming.ts";
import { Problem } from "../http/problem.ts";
import type { JsonObject } from "../record/command.ts";
import { algorithmOf, isSha512, type NamedDigest, type Sha512 } from "./digest.ts";
import { BodyInterrupted, giveBack, takeBody } from "./incoming.ts";
import { alignedMemory } from "../storage/aligned-memory.ts";
import { AT_HAND_BYTES } from "./limits.ts";
import { UploadHash } from "./running-hash.ts";

/** The bodies that are held in memory which is used again, bytes: smaller ones have memory of their own size. */
const SPARE_FROM = AT_HAND_BYTES / 4;

/** A blob that came whole in one request, and is held in memory until it is stored. */
export class BlobAtHand {
  readonly bytes: Uint8Array;
  /** The name of its bytes. */
  readonly digest: Digest;
  /** Their other name, where they were named by it. */
  readonly sha512: Sha512 | undefined;
  readonly #spare: Uint8Array<ArrayBuffer> | undefined;

  private constructor(bytes: Uint8Array, hash: UploadHash, memory: Uint8Array<ArrayBuffer> | undefined) {
    const { sha256, sha512 } = hash.digests();
    this.bytes = bytes;
    this.digest = sha256;
    this.sha512 = sha512;
    this.#spare = memory;
  }

  /**
   * Takes the body of a request.
   *
   * @param length its bytes as its Content-Length gives them, at most {@link AT_HAND_BYTES}.
   * @param named what it is said to be: its algorithm is computed too.
   * @param mayGrow asked before each piece; what it throws ends the body.
   * @throws BodyInterrupted; what `mayGrow` throws.
   */
  static async receive(
    request: IncomingMessage,
    length: number,
    named: NamedDigest,
    mayGrow: () => void,
  ): Promise<BlobAtHand> {
    const hash = UploadHash.begin(algorithmOf(named));
    const memory = length < SPARE_FROM ? undefined : alignedMemory.take();
    let bytes: Uint8Array | undefined = memory?.subarray(0, length);
    let filled = 0;
    try {
      await takeBody(request, (piece) => {
        mayGrow();
        // Node gives out no more of a body than its Content-Length says: what is over is another request.
        hash.update(piece);
        const at = filled;
        filled += piece.length;
        if (bytes === undefined && piece.length === length) {
          bytes = piece;
          return;
        }
        bytes ??= Buffer.allocUnsafeSlow(length);
        bytes.set(piece, at);
        giveBack(request, piece);
      });
      if (filled !== length) throw new BodyInterrupted(`${filled} bytes came, not the ${length} that were announced`);
    } catch (error) {
      if (memory !== undefined) alignedMemory.giveBack(memory);
      throw error;
    }
    return new BlobAtHand(bytes ?? new Uint8Array(0), hash, memory);
  }

  /** What it is called in the algorithm of a digest. */
  namedLike(named: NamedDigest): NamedDigest | undefined {
    return isSha512(named) ? this.sha512 : this.digest;
  }

  /**
   * Stores it and has it named. Where its bytes were collected before they were named (collection/naming.ts) they are put again.
   *
   * @param name has it named in a transaction that finds `generation` still counting, or answers the state `collected`.
   * @returns what `name` answered.
   * @throws Problem 503 when they were collected again and again.
   */
  async store({ reader, blobs }: Naming, name: (generation: number) => Promise<JsonObject>): Promise<JsonObject> {
    for (let attempt = 1; ; attempt += 1) {
      // INVARIANT: the generation is read before the bytes are put under it, and counts still when they are named.
      const generation = await generationOf(reader, this.digest);
      await blobs.put(this.digest, this.bytes, generation);
      const answer = await name(generation);
      if (answer["state"] !== "collected") return answer;
      if (attempt < COLLECTION_LIMITS.attempts) continue;
      throw new Problem(503, BLOB_COLLECTED, `the bytes of ${this.digest} were collected before they could be named`, {
        hint: "send the same request again",
      });
    }
  }

  /** Lets go of its memory: nobody may look at its bytes any more. */
  dispose(): void {
    if (this.#spare !== undefined) alignedMemory.giveBack(this.#spare);
  }
}
