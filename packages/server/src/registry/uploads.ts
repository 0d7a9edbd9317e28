import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { Problem } from "../http/problem.ts";
import type { Actor, JsonObject } from "../record/command.ts";
import type { RecordClient } from "../record/client.ts";
import type { BlobStore, StagedBytes } from "../storage/blobs.ts";
import type { Reader } from "../storage/database.ts";
import { algorithmOf, type DigestAlgorithm, isSha512, type NamedDigest } from "./digest.ts";
import { OciError } from "./errors.ts";
import { giveBack, incoming } from "./incoming.ts";
import { CLAIM_MS, REGISTRY_LIMITS } from "./limits.ts";
import { operationRefusal } from "./operation-shapes.ts";
import { countUploads, findUpload } from "./queries.ts";
import { RunningHashes, UploadHash } from "./running-hash.ts";
import { isOpened, isUuid, openSession } from "./session-name.ts";

/** How long a request waits for the one before it on the same session, ms: a client that reconnects is often quicker than its FIN. */
const BUSY_WAIT_MS = 1000;
const BUSY_STEP_MS = 100;

/** Whose session, in which repository: it is nobody else's, nowhere else. */
export interface SessionKey {
  readonly id: string;
  readonly actor: Actor;
  readonly org: string;
  readonly repository: string;
  /** When it is asked for, ms since the epoch. */
  readonly now: number;
}

/** Who opens a session, where. */
export type Opener = Pick<SessionKey, "actor" | "org" | "repository">;

/** A session this request alone may write to. */
export interface HeldSession {
  readonly id: string;
  readonly claim: string;
  readonly staged: StagedBytes;
  /** Bytes here. */
  offset: number;
  /** Fewer bytes are here than were acknowledged (a crash before they reached the disk). */
  readonly shrunk: boolean;
  /** The hash of those bytes; undefined when they must be read again to know it. */
  hash: UploadHash | undefined;
  /** The session is gone (finished or dropped): nothing is left to release. */
  ended: boolean;
}

/** The answer to somebody who has no such session. */
export function uploadUnknown(id: string): OciError {
  return new OciError(
    404,
    "BLOB_UPLOAD_UNKNOWN",
    `there is no upload ${JSON.stringify(id.slice(0, 100))}: start a new one`,
  );
}

/** The answer to bytes that are others than they are said to be. */
export function digestWrong(named: NamedDigest, actual: NamedDigest | undefined): OciError {
  return new OciError(400, "DIGEST_INVALID", `the upload has the digest ${actual}, not ${named}: nothing was stored`, {
    detail: { expected: named, actual: actual ?? null },
  });
}

/** What lies in the store by now is nobody's, and is collected. */
export function noRoom(answer: JsonObject): Problem {
  return Problem.fromRefusal(operationRefusal(answer));
}

/** The answer to who was too slow with a session. */
export function takenOver(): OciError {
  return new OciError(409, "BLOB_UPLOAD_INVALID", "another request took this upload over");
}

/** The answer to who has too many sessions under way. */
export function tooMany(): OciError {
  return new OciError(429, "TOOMANYREQUESTS", `${REGISTRY_LIMITS.uploadsPerActor} uploads are under way already`, {
    headers: { "retry-after": "60" },
  });
}

/** Who opens a session, as the record is told. */
function ofOpener({ actor, org, repository }: Opener): { [K in "owner" | "org" | "repository"]: string } {
  return { owner: actor.id, org, repository };
}

/** A session as the record is told of it. */
export function ofSession(
  key: SessionKey,
): { readonly id: string; readonly now: number } & ReturnType<typeof ofOpener> {
  return { ...ofOpener(key), id: key.id, now: key.now };
}

/**
 * Uploads: a session is a name until something is written to it, and then a row (owner, repository, bytes acknowledged) and staged bytes.
 * Whoever writes to it holds its claim; a holder that dies loses it after {@link CLAIM_MS}, so any process can go on where it stopped.
 */
export class Uploads {
  readonly #record: RecordClient;
  readonly #reader: Reader;
  readonly #blobs: BlobStore;
  readonly #mayGrow: () => void;
  readonly #leaseMs: number;
  readonly #hashes = new RunningHashes();

  constructor(parts: {
    readonly record: RecordClient;
    readonly reader: Reader;
    readonly blobs: BlobStore;
    readonly mayGrow?: (() => void) | undefined;
    readonly leaseMs: number;
  }) {
    this.#leaseMs = parts.leaseMs;
    this.#mayGrow = parts.mayGrow ?? (() => undefined);
    this.#record = parts.record;
    this.#reader = parts.reader;
    this.#blobs = parts.blobs;
  }

  /**
   * Opens a session that nobody writes to yet (session-name.ts).
   *
   * @param algorithm what the client says it will name the bytes by (end-4c): computed while they come, instead of by reading them again
   * at the end.
   * @param now ms since the epoch.
   * @throws OciError 429 when the actor has too many: said early, and again before its first byte is written.
   */
  async open(opener: Opener, algorithm: DigestAlgorithm, now: number): Promise<string> {
    const place = ofOpener(opener);
    if ((await countUploads(this.#reader, place.owner)) >= REGISTRY_LIMITS.uploadsPerActor) throw tooMany();
    const id = openSession(place, now);
    if (algorithm !== "sha256") this.#hashes.keep(id, 0, UploadHash.begin(algorithm));
    return id;
  }

  /** Opens a session, runs `work` on it and leaves nothing of it behind: for an upload in one request. */
  async once<T>(opener: Opener, algorithm: DigestAlgorithm, work: (session: HeldSession) => Promise<T>): Promise<T> {
    const id = randomUUID();
    const claim = randomUUID();
    const opened = await this.#operate("registry.open-upload", { ...ofOpener(opener), id, claim });
    if (opened["state"] === "too-many") throw tooMany();
    const session: HeldSession = {
      id,
      claim,
      staged: await this.#blobs.stage(id),
      offset: 0,
      shrunk: false,
      hash: UploadHash.begin(algorithm),
      ended: false,
    };
    return await this.#renewing(session, async () => {
      try {
        return await work(session);
      } finally {
        if (!session.ended) await this.drop(session);
      }
    });
  }

  /** Bytes acknowledged of a session. @throws OciError 404 `BLOB_UPLOAD_UNKNOWN`. */
  async status(key: SessionKey): Promise<number> {
    if (!isUuid(key.id)) throw uploadUnknown(key.id);
    const row = await findUpload(this.#reader, key.id);
    if (row === undefined && isOpened(key.id, ofSession(key), key.now)) return 0;
    if (
      row === undefined ||
      row.owner !== key.actor.id ||
      row.repository !== key.repository ||
      row.expires <= key.now
    ) {
      throw uploadUnknown(key.id);
    }
    // While somebody writes, more may be here than is acknowledged; after a power failure, less.
    return Math.min(row.offset, await (await this.#blobs.stage(key.id)).size());
  }

  /**
   * Runs `work` with the claim on a session, and gives it back with the offset reached.
   *
   * @param algorithm what the bytes will be named by, as far as this request says.
   * @throws OciError 404 `BLOB_UPLOAD_UNKNOWN`; 409 `BLOB_UPLOAD_INVALID` while another request writes.
   */
  async hold<T>(
    key: SessionKey,
    work: (session: HeldSession) => Promise<T>,
    algorithm: DigestAlgorithm = "sha256",
  ): Promise<T> {
    const session = await this.#claim(key, algorithm);
    return await this.#renewing(session, async () => {
      try {
        return await work(session);
      } finally {
        if (!session.ended) {
          if (session.hash !== undefined) this.#hashes.keep(session.id, session.offset, session.hash);
          // COMMIT POINT of a chunk, with the operation's batch. Before: its bytes lie beyond the offset, and the next holder cuts them
          // off. After: the offset counts them. They are not synced: a power loss may take them, and the session then stands where they
          // end.
          await this.#operate("registry.release-upload", {
            id: session.id,
            claim: session.claim,
            offset: session.offset,
          });
        }
      }
    });
  }

  async #claim(key: SessionKey, algorithm: DigestAlgorithm): Promise<HeldSession> {
    if (!isUuid(key.id)) throw uploadUnknown(key.id);
    const claim = randomUUID();
    const body = { ...ofSession(key), claim };
    let answer = await this.#operate("registry.claim-upload", body);
    for (let waited = 0; answer["state"] === "busy" && waited < BUSY_WAIT_MS; waited += BUSY_STEP_MS) {
      await sleep(BUSY_STEP_MS);
      answer = await this.#operate("registry.claim-upload", body);
    }
    if (answer["state"] === "unknown") throw uploadUnknown(key.id);
    if (answer["state"] === "too-many") throw tooMany();
    if (answer["state"] === "busy") {
      throw new OciError(409, "BLOB_UPLOAD_INVALID", "another request is writing to this upload: wait for it to end");
    }
    const acknowledged = Number(answer["offset"]);
    const staged = await this.#blobs.stage(key.id);
    // INVARIANT: only the holder of the claim can reach these bytes. One that lost it without knowing goes on writing elsewhere.
    if (answer["lapsed"] === true) await staged.detach(acknowledged);
    const here = await staged.size();
    // Bytes past the acknowledged ones came with a request nobody was answered: the client will send them again.
    if (here > acknowledged) await staged.truncate(acknowledged);
    const offset = Math.min(here, acknowledged);
    return {
      id: key.id,
      claim,
      staged,
      offset,
      shrunk: here < acknowledged,
      hash: this.#hashes.at(key.id, offset, algorithm),
      ended: false,
    };
  }

  /** Keeps the claim alive while `work` runs. */
  async #renewing<T>(session: HeldSession, work: () => Promise<T>): Promise<T> {
    const timer = setInterval(() => {
      // A claim that could not be renewed runs out; `finish` then finds it lost.
      this.#operate("registry.renew-claim", { id: session.id, claim: session.claim }).catch(() => undefined);
    }, CLAIM_MS / 3);
    timer.unref();
    try {
      return await work();
    } finally {
      clearInterval(timer);
    }
  }

  /**
   * Appends a request's body to a session. When the connection breaks, what came stays; when the body is refused, none of it does.
   *
   * @param expected the exact length the request's Content-Range gives; undefined when it gives none.
   * @throws OciError 400 `SIZE_INVALID`, 413 `SIZE_INVALID`; BodyInterrupted; ServerError `disk-low`, with what came before kept.
   */
  async receive(session: HeldSession, request: IncomingMessage, expected: number | undefined): Promise<void> {
    const start = session.offset;
    const before = session.hash;
    const running = before?.copy();
    const limit = Math.min(expected ?? Number.MAX_SAFE_INTEGER, REGISTRY_LIMITS.blobBytes - start);
    let count = 0;
    const takeBack = async (): Promise<void> => {
      if (await this.#holds(session)) await session.staged.truncate(start);
      session.offset = start;
      session.hash = before;
    };
    try {
      await session.staged.append(
        start,
        incoming(request, limit, this.#mayGrow),
        (chunk) => {
          count += chunk.length;
          running?.update(chunk);
        },
        { spent: (chunk) => giveBack(request, chunk) },
      );
    } catch (error) {
      if (error instanceof OciError) {
        await takeBack();
      } else {
        session.offset = await session.staged.size();
        session.hash = session.offset === start + count ? running : undefined;
      }
      throw error;
    }
    if (expected !== undefined && count !== expected) {
      await takeBack();
      throw new OciError(400, "SIZE_INVALID", `Content-Range says ${expected} bytes, but ${count} came`);
    }
    session.offset = start + count;
    session.hash = running;
  }

  /**
   * Takes the whole of a blob from somewhere else than a client: for sessions of {@link once}, of which nothing stays when this fails.
   *
   * @param size bytes it must have.
   * @throws OciError 400 `SIZE_INVALID`; what the source throws; ServerError `disk-low`.
   */
  async receiveFrom(session: HeldSession, source: AsyncIterable<Uint8Array>, size: number): Promise<void> {
    let count = 0;
    const mayGrow = this.#mayGrow;
    const bounded = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
      for await (const chunk of source) {
        mayGrow();
        count += chunk.length;
        if (count > size) throw new OciError(400, "SIZE_INVALID", `it has more than the ${size} bytes it should have`);
        yield chunk;
      }
    };
    session.offset = await session.staged.append(session.offset, bounded(), (chunk) => session.hash?.update(chunk));
    if (count !== size) throw new OciError(400, "SIZE_INVALID", `it has ${count} bytes, and should have ${size}`);
  }

  /**
   * Ends a session: its bytes become a blob, with a lease in the session's repository. Its name is their SHA-256, whatever they were named
   * by; the other name goes with the lease.
   *
   * @returns whether a manifest of the repository was waiting for it.
   * @throws OciError 400 `DIGEST_INVALID` when the bytes have another digest: then nothing of the session is left.
   */
  async finish(session: HeldSession, named: NamedDigest): Promise<boolean> {
    const { sha256: digest, sha512 } = await this.#digests(session, algorithmOf(named));
    const actual = isSha512(named) ? sha512 : digest;
    if (actual !== named) {
      await this.drop(session);
      throw digestWrong(named, actual);
    }
    // Only whoever holds the claim may turn the bytes into a blob: another holder may be changing them. What was hashed is what came
    // in; that it is also what lies there is asked for as far as it costs nothing.
    const { id, claim } = session;
    const naming = await this.#operate("registry.name-upload", { id, claim, digest });
    if (naming["held"] !== true) throw this.#lost(session);
    if ((await session.staged.size()) !== session.offset) throw this.#lost(session);
    // INVARIANT: the session names the digest, so this generation of it does not end before the session does (collection/naming.ts).
    await this.#blobs.adopt(session.staged, digest, Number(naming["generation"]));
    // COMMIT POINT of an upload's end, with the operation's batch. Before: the bytes are a blob under their name, which nobody can see;
    // the session is there, and closing it again ends the same way. After: the session is gone, and the repository has the blob.
    const finished = await this.#operate("registry.finish-upload", {
      id,
      claim,
      digest,
      leaseMs: this.#leaseMs,
      // Only as far as it was asked for: what a client said it might name the bytes by, and did not, is no name of them.
      sha512: isSha512(named) ? named : null,
      size: session.offset,
    });
    if (finished["held"] !== true) throw this.#lost(session);
    if (finished["refusal"] !== undefined) {
      await this.drop(session);
      throw noRoom(finished);
    }
    session.ended = true;
    this.#hashes.forget(session.id);
    return finished["awaited"] === true;
  }

  #lost(session: HeldSession): OciError {
    session.ended = true;
    return takenOver();
  }

  /** Whether the session's claim stands, which is renewed: for some time nobody else touches its bytes. */
  async #holds(session: HeldSession): Promise<boolean> {
    return (await this.#operate("registry.renew-claim", { id: session.id, claim: session.claim }))["held"] === true;
  }

  async #digests(session: HeldSession, algorithm: DigestAlgorithm): Promise<ReturnType<UploadHash["digests"]>> {
    let { hash } = session;
    if (hash?.computes(algorithm) !== true) {
      hash = UploadHash.begin(algorithm);
      for await (const chunk of session.staged.read() as AsyncIterable<Uint8Array>) hash.update(chunk);
    }
    return hash.digests();
  }

  /** Forgets what is remembered of a session that ended. */
  forget(id: string): void {
    this.#hashes.forget(id);
  }

  /** Ends a session and removes its bytes. */
  async drop(session: HeldSession): Promise<void> {
    session.ended = true;
    if (!(await this.#holds(session))) return;
    this.#hashes.forget(session.id);
    await session.staged.discard();
    await this.#operate("registry.drop-upload", { id: session.id, claim: session.claim });
  }

  async #operate(type: string, body: JsonObject): Promise<JsonObject> {
    return (await this.#record.operate(type, body)) as JsonObject;
  }
}
