import type { IncomingMessage } from "node:http";
import type { Digest } from "@assay/evidence";
import { generationOf } from "../collection/generation.ts";
import { COLLECTION_LIMITS } from "../collection/limits.ts";
import { BLOB_COLLECTED, type Naming } from "../collection/naming.ts";
import { Problem } from "../http/problem.ts";
import type { JsonObject } from "../record/command.ts";
import { isSha512, type NamedDigest, type Sha512 } from "./digest.ts";
import { BodyInterrupted, giveBack, takeBody } from "./incoming.ts";
import { alignedMemory } from "../storage/aligned-memory.ts";
import { OtherDigest } from "../storage/blobs.ts";
import { AT_HAND_BYTES } from "./limits.ts";
import { UploadHash } from "./running-hash.ts";
import { digestWrong } from "./uploads.ts";

/** The bodies that are held in memory which is used again, bytes: smaller ones have memory of their own size. */
const SPARE_FROM = AT_HAND_BYTES / 4;

/** A blob that came whole in one request, and is held in memory until it is stored. */
export class BlobAtHand {
  readonly bytes: Uint8Array;
  /** The name of its bytes. As long as they are not stored it may be only what they are said to be. */
  readonly digest: Digest;
  /** Their other name, where they were named by it. */
  readonly sha512: Sha512 | undefined;
  readonly #named: NamedDigest;
  readonly #spare: Uint8Array | undefined;

  private constructor(bytes: Uint8Array, named: NamedDigest, memory: Uint8Array | undefined) {
    this.bytes = bytes;
    this.#named = named;
    this.#spare = memory;
    // What is said to have a SHA-256 is hashed by who stores it, away from this thread. What is named otherwise has to be known by its
    // SHA-256 before it can be stored.
    if (isSha512(named)) {
      const hash = UploadHash.begin("sha512");
      hash.update(bytes);
      const { sha256, sha512 } = hash.digests();
      this.digest = sha256;
      this.sha512 = sha512;
    } else {
      this.digest = named;
      this.sha512 = undefined;
    }
  }

  /**
   * Takes the body of a request.
   *
   * @param length its bytes as its Content-Length gives them, at most {@link AT_HAND_BYTES}.
   * @param named what it is said to be, which {@link store} compares.
   * @param mayGrow asked before each piece; what it throws ends the body.
   * @throws BodyInterrupted; what `mayGrow` throws.
   */
  static async receive(
    request: IncomingMessage,
    length: number,
    named: NamedDigest,
    mayGrow: () => void,
  ): Promise<BlobAtHand> {
    const memory = length < SPARE_FROM ? undefined : alignedMemory.take();
    let bytes: Uint8Array | undefined = memory?.subarray(0, length);
    let filled = 0;
    try {
      await takeBody(request, (piece) => {
        mayGrow();
        // Node gives out no more of a body than its Content-Length says: what is over is another request.
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
    return new BlobAtHand(bytes ?? new Uint8Array(0), named, memory);
  }

  /**
   * Stores it and has it named. Where its bytes were collected before they were named (collection/naming.ts) they are put again.
   *
   * @param name has it named in a transaction that finds `generation` still counting, or answers the state `collected`.
   * @returns what `name` answered.
   * @throws OciError 400 `DIGEST_INVALID` when the bytes have another digest than they were named by: then nothing was stored; Problem 503 when
   * they were collected again and again.
   */
  async store({ reader, blobs }: Naming, name: (generation: number) => Promise<JsonObject>): Promise<JsonObject> {
    if ((this.sha512 ?? this.digest) !== this.#named) throw digestWrong(this.#named, this.sha512);
    for (let attempt = 1; ; attempt += 1) {
      // INVARIANT: the generation is read before the bytes are put under it, and counts still when they are named.
      const generation = await generationOf(reader, this.digest);
      try {
        await blobs.put(this.digest, this.bytes, generation);
      } catch (error) {
        throw error instanceof OtherDigest ? digestWrong(this.#named, error.actual) : error;
      }
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
