import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Digest } from "@assay/evidence";
import type { RecordClient } from "../record/client.ts";
import type { JsonObject } from "../record/command.ts";
import type { BlobStore } from "../storage/blobs.ts";
import type { Reader } from "../storage/database.ts";
import { BlobAtHand } from "./blob-at-hand.ts";
import { algorithmOf, isSha512, type NamedDigest } from "./digest.ts";
import { OciError } from "./errors.ts";
import { giveBack, incoming } from "./incoming.ts";
import { AT_HAND_BYTES, WHOLE_BYTES } from "./limits.ts";
import { findUpload } from "./queries.ts";
import { UploadHash } from "./running-hash.ts";
import { isOpened, isUuid } from "./session-name.ts";
import {
  digestWrong,
  noRoom,
  type Opener,
  ofSession,
  type SessionKey,
  takenOver,
  tooMany,
  type Uploads,
  uploadUnknown,
} from "./uploads.ts";

/** A body that is all of a blob. */
interface WholeBody {
  /** Its bytes, by its Content-Length. */
  readonly length: number;
  /** What it is said to be. */
  readonly named: NamedDigest;
}

/**
 * Blobs that come whole in one request, as most do. No other request can reach their bytes before they are a blob, so that no claim on a
 * session is needed; and of one that breaks off nothing is kept.
 */
export class WholeBlobs {
  readonly #record: RecordClient;
  readonly #reader: Reader;
  readonly #blobs: BlobStore;
  readonly #mayGrow: () => void;
  readonly #leaseMs: number;
  readonly #sessions: Uploads;

  constructor(parts: {
    readonly record: RecordClient;
    readonly reader: Reader;
    readonly blobs: BlobStore;
    readonly mayGrow?: (() => void) | undefined;
    readonly leaseMs: number;
    readonly sessions: Uploads;
  }) {
    this.#leaseMs = parts.leaseMs;
    this.#mayGrow = parts.mayGrow ?? (() => undefined);
    this.#record = parts.record;
    this.#reader = parts.reader;
    this.#blobs = parts.blobs;
    this.#sessions = parts.sessions;
  }

  /**
   * Takes a blob in one request that opens no session.
   *
   * @param body at most {@link AT_HAND_BYTES}.
   * @returns whether a manifest of the repository was waiting for it.
   * @throws OciError 400 `DIGEST_INVALID` when the bytes have another digest; BodyInterrupted; ServerError `disk-low`. Nothing of it stays then.
   */
  async take({ org, repository }: Opener, request: IncomingMessage, { length, named }: WholeBody): Promise<boolean> {
    const blob = await BlobAtHand.receive(request, length, named, this.#mayGrow);
    try {
      // COMMIT POINT of a blob without a session, with the operation's batch. Before: the bytes are a blob under their name, which nobody can
      // see. After: the repository has it.
      const taken = await blob.store({ reader: this.#reader, blobs: this.#blobs }, (generation) =>
        this.#operate("registry.take-blob", { org, repository, ...this.#told(blob), generation }),
      );
      if (taken["state"] === "full") throw noRoom(taken);
      return taken["awaited"] === true;
    } finally {
      blob.dispose();
    }
  }

  /**
   * Whether a session may be ended by {@link end}, as far as can be said before it is tried: it is there, nothing was written to it, and nobody is
   * about to.
   *
   * @param length bytes of the request's body.
   */
  async mayEnd(key: SessionKey, length: number): Promise<boolean> {
    return length <= WHOLE_BYTES && (await this.#isUntouched(key));
  }

  /**
   * Ends a session that nothing was written to, with all of its bytes in one request. They become the blob before the session is touched at
   * all.
   *
   * @param body at most {@link WHOLE_BYTES}.
   * @returns whether a manifest of the repository was waiting for it.
   * @throws OciError as {@link take} does; 404 when there is no such session; 409 when another request writes to it, or has.
   */
  async end(key: SessionKey, request: IncomingMessage, body: WholeBody): Promise<boolean> {
    return body.length > AT_HAND_BYTES
      ? await this.#endStaged(key, request, body)
      : await this.#endAtHand(key, request, body);
  }

  async #endAtHand(key: SessionKey, request: IncomingMessage, { length, named }: WholeBody): Promise<boolean> {
    const blob = await BlobAtHand.receive(request, length, named, this.#mayGrow);
    try {
      const finished = await blob.store({ reader: this.#reader, blobs: this.#blobs }, (generation) =>
        this.#finish(key, { ...this.#told(blob), generation }),
      );
      return this.#ended(key, finished);
    } catch (error) {
      if (error instanceof OciError && error.code === "DIGEST_INVALID") await this.#drop(key);
      throw error;
    } finally {
      blob.dispose();
    }
  }

  /** What is too large to be held in memory is staged apart from the session's bytes. */
  async #endStaged(key: SessionKey, request: IncomingMessage, { length, named }: WholeBody): Promise<boolean> {
    const staged = await this.#blobs.stage(randomUUID());
    const hash = UploadHash.begin(algorithmOf(named));
    try {
      // While the bytes come: what they are said to be is most often what they are.
      const naming = isSha512(named) ? undefined : this.#name(key, named);
      // INVARIANT: the bytes are discarded only when nobody appends to them any more. So a session that may not be ended ends the body.
      const refused: Error[] = [];
      naming?.catch((error: Error) => refused.push(error));
      const body = incoming(request, length, () => {
        if (refused[0] !== undefined) throw refused[0];
        this.#mayGrow();
      });
      await staged.append(0, body, (chunk) => hash.update(chunk), {
        last: true,
        spent: (chunk) => giveBack(request, chunk),
      });
      const early = await naming;
      const { sha256: digest, sha512 } = hash.digests();
      const actual = isSha512(named) ? sha512 : digest;
      if (actual !== named) {
        await this.#drop(key);
        throw digestWrong(named, actual);
      }
      // The session names the digest before the bytes are put into the store, so that they are not collected before it ends: they are not at hand
      // to be put again.
      const generation = early ?? (await this.#name(key, digest));
      await this.#blobs.adopt(staged, digest, generation);
      const finished = await this.#finish(key, {
        digest,
        generation,
        sha512: isSha512(named) ? named : null,
        size: length,
        leaseMs: this.#leaseMs,
      });
      return this.#ended(key, finished);
    } catch (error) {
      await staged.discard();
      throw error;
    }
  }

  /** How a blob at hand is told to the record. */
  #told({ digest, sha512, bytes }: BlobAtHand): JsonObject {
    return { digest, sha512: sha512 ?? null, size: bytes.length, leaseMs: this.#leaseMs };
  }

  /**
   * Lets a session that nobody writes to name what it turns into.
   *
   * @returns the generation to put the bytes under.
   * @throws OciError 404, 409 as {@link end} does.
   */
  async #name(key: SessionKey, digest: Digest): Promise<number> {
    const naming = await this.#operate("registry.name-whole", { ...ofSession(key), digest });
    if (naming["state"] === "unknown") throw uploadUnknown(key.id);
    if (naming["state"] === "too-many") throw tooMany();
    if (naming["state"] !== "named") throw takenOver();
    return Number(naming["generation"]);
  }

  async #finish(key: SessionKey, blob: JsonObject): Promise<JsonObject> {
    // COMMIT POINT of an upload that came whole, with the operation's batch. Before: the bytes are a blob under their name, which nobody
    // can see, and the session is as it was opened. After: the session is gone, and the repository has the blob.
    return await this.#operate("registry.finish-whole", { ...ofSession(key), ...blob });
  }

  /** @throws OciError 404, 409 when the session did not end so. */
  #ended({ id }: SessionKey, finished: JsonObject): boolean {
    if (finished["state"] === "unknown") throw uploadUnknown(id);
    if (finished["state"] === "full") throw noRoom(finished);
    if (finished["state"] !== "finished") throw takenOver();
    this.#sessions.forget(id);
    return finished["awaited"] === true;
  }

  async #drop(key: SessionKey): Promise<void> {
    await this.#sessions.hold(key, (session) => this.#sessions.drop(session));
  }

  /** Whether a session is there, nothing was written to it, and nobody is about to. */
  async #isUntouched(key: SessionKey): Promise<boolean> {
    if (!isUuid(key.id)) return false;
    const row = await findUpload(this.#reader, key.id);
    if (row === undefined) return isOpened(key.id, ofSession(key), key.now);
    return (
      row.owner === key.actor.id &&
      row.repository === key.repository &&
      row.expires > key.now &&
      row.offset === 0 &&
      row.claim === null
    );
  }

  async #operate(type: string, body: JsonObject): Promise<JsonObject> {
    return (await this.#record.operate(type, body)) as JsonObject;
  }
}
