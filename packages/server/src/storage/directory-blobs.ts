import { constants, createReadStream } from "node:fs";
import {
  copyFile,
  type FileHandle,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  truncate,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { type Digest, digestHex, digestOf, equalBytes, parseDigest } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { ServerError } from "../errors.ts";
import { isAligned } from "./aligned-memory.ts";
import {
  type Appending,
  type BlobEntry,
  type BlobStore,
  type ByteRange,
  type OpenBlob,
  OtherDigest,
  type StagedBytes,
} from "./blobs.ts";
import { isDurableDirectory, isMissing, makeDurableDirectory, syncDirectory } from "./durable.ts";
import { fileThreads, type PutRequest } from "./file-threads.ts";
import { FoundGenerations, generationName, parseGenerationName } from "./generations.ts";
import { sendBuffers } from "./send-buffers.ts";

/** Reads this large keep the cost per byte of Node's streams low (measured: 16 KiB chunks cost 3 to 5 times the CPU). */
const READ_CHUNK = 1024 * 1024;

/** What is read of a small blob at once, bytes. */
const FIRST_READ = 16 * 1024;

/**
 * The memory it is read into, used again: a server that reads many small blobs otherwise asks for hundreds of megabytes a second, and each time
 * some have gathered the collector of garbage stops everything for tens of milliseconds.
 */
const firstReads: Uint8Array[] = [];

/** Kept of it: more are seldom under way at once. */
const FIRST_READS_KEPT = 16;

/** How often a blob is looked for while generations of it come and go. */
const LOOKS = 4;

/** Chunks of an upload are gathered to this size before they are written. */
const WRITE_CHUNK = 1024 * 1024;

async function fileSize(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

class StagedFile implements StagedBytes {
  readonly id: string;
  readonly path: string;
  /** All that lies there is on disk: nothing was changed since it was synced. */
  synced = false;

  constructor(id: string, path: string) {
    this.id = id;
    this.path = path;
  }

  async size(): Promise<number> {
    return (await fileSize(this.path)) ?? 0;
  }

  async append(
    offset: number,
    source: AsyncIterable<Uint8Array>,
    observe: (chunk: Uint8Array) => void,
    { last = false, spent }: Appending = {},
  ): Promise<number> {
    this.synced = false;
    const handle = await this.#open();
    let written = offset;
    let waiting: Uint8Array[] = [];
    let waitingBytes = 0;
    const flush = async (): Promise<void> => {
      if (waitingBytes === 0) return;
      const chunks = waiting;
      waiting = [];
      const total = waitingBytes;
      waitingBytes = 0;
      await writeAll(handle, chunks, total);
      written += total;
      if (spent !== undefined) for (const chunk of chunks) spent(chunk);
    };
    try {
      for await (const chunk of source) {
        observe(chunk);
        waiting.push(chunk);
        waitingBytes += chunk.length;
        if (waitingBytes >= WRITE_CHUNK) await flush();
      }
      if (last) {
        await flush();
        // One that fails is tried again by nobody: whoever adopts these bytes is never reached, and throws them away.
        await handle.sync();
        this.synced = true;
      }
    } finally {
      try {
        await flush();
      } finally {
        await handle.close();
      }
    }
    return written;
  }

  async #open(): Promise<FileHandle> {
    try {
      return await open(this.path, "a", 0o600);
    } catch (error) {
      if (!isMissing(error)) throw error;
      // Somebody took the directory away; it holds no facts.
      await mkdir(dirname(this.path), { recursive: true, mode: 0o700 });
      return await open(this.path, "a", 0o600);
    }
  }

  read(): Readable {
    return createReadStream(this.path, { highWaterMark: READ_CHUNK });
  }

  async truncate(size: number): Promise<void> {
    this.synced = false;
    const handle = await open(this.path, "a+", 0o600);
    try {
      await handle.truncate(size);
    } finally {
      await handle.close();
    }
  }

  async detach(size: number): Promise<void> {
    this.synced = false;
    const copy = `${this.path}.${crypto.randomUUID()}`;
    try {
      await copyFile(this.path, copy, constants.COPYFILE_FICLONE);
      await truncate(copy, Math.min(size, (await stat(copy)).size));
      // COMMIT POINT of a takeover. Before: the former holder and the next write to one file. After: the next has its own.
      await rename(copy, this.path);
    } catch (error) {
      await rm(copy, { force: true });
      // Nothing was staged yet: there is nothing to keep, and nobody to keep it from.
      if (!isMissing(error)) throw error;
    }
  }

  async discard(): Promise<void> {
    await rm(this.path, { force: true });
  }
}

async function writeAll(handle: FileHandle, chunks: Uint8Array[], total: number): Promise<void> {
  const { bytesWritten } = await handle.writev(chunks);
  if (bytesWritten !== total) {
    // A short write: put the rest down from a contiguous copy.
    const rest = Buffer.concat(chunks).subarray(bytesWritten);
    await handle.writeFile(rest);
  }
}

/** Sends a file's bytes [start, end), or all of them, through two buffers: one is filled while the other is on its way to the socket. */
async function sendFile(
  handle: FileHandle,
  range: ByteRange | undefined,
  write: (piece: Uint8Array) => Promise<void>,
): Promise<void> {
  const start = range?.start ?? 0;
  const end = range?.end ?? (await handle.stat()).size;
  let filling = sendBuffers.take(end - start);
  let sending = sendBuffers.take(end - start - filling.length);
  let [sent, whole]: [Promise<void>, boolean] = [Promise.resolve(), false];
  try {
    for (let at = start; at < end; ) {
      const wanted = Math.min(filling.length, end - at);
      // A read may give less than was asked for and than there is.
      for (let filled = 0; filled < wanted; ) {
        const { bytesRead } = await handle.read(filling, filled, wanted - filled, at + filled);
        if (bytesRead === 0) throw new ServerError("internal", `a blob ends at byte ${at + filled}, not at ${end}`);
        filled += bytesRead;
      }
      at += wanted;
      // INVARIANT: a buffer is filled again only after `write` has said it is done with it.
      await sent;
      sent = write(filling.subarray(0, wanted));
      // It is awaited above or below; until then a failure is not unhandled.
      sent.catch(() => undefined);
      [filling, sending] = [sending, filling];
    }
    await sent;
    whole = true;
  } finally {
    // Of a connection that broke nobody knows what its last piece is still used for.
    for (const buffer of [filling, sending]) sendBuffers.giveBack(buffer, whole);
  }
}

/** The names in a directory; none when it is not there, as before the first blob. */
async function namesIn(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/**
 * Blobs in a directory: `blobs/sha256/<2 hex>/<64 hex>`, and `_<generation>` after it where it was collected before; uploads in `uploads/`.
 * A blob comes into being by the rename of a synced file; after a crash it is there whole or not at all.
 */
export class DirectoryBlobs implements BlobStore {
  readonly #blobs: string;
  readonly #uploads: string;
  /** Syncs of a directory that failed, by its path. */
  readonly #failures = new Map<string, number>();
  readonly #found = new FoundGenerations();

  private constructor(dataDirectory: string) {
    this.#blobs = join(dataDirectory, "blobs", "sha256");
    this.#uploads = join(dataDirectory, "uploads");
  }

  static async open(dataDirectory: string): Promise<DirectoryBlobs> {
    const store = new DirectoryBlobs(dataDirectory);
    await makeDurableDirectory(store.#blobs, dataDirectory);
    await makeDurableDirectory(store.#uploads);
    return store;
  }

  /** Opens it to read: nothing is made, also where nothing can be. */
  static openToRead(dataDirectory: string): DirectoryBlobs {
    return new DirectoryBlobs(dataDirectory);
  }

  #path(digest: Digest, generation: number): string {
    const hex = digestHex(digest);
    return join(this.#blobs, hex.slice(0, 2), generationName(hex, generation));
  }

  /** The newest generation of a blob that is here. */
  async #newest(digest: Digest): Promise<number | undefined> {
    const hex = digestHex(digest);
    let newest: number | undefined;
    for (const name of await namesIn(join(this.#blobs, hex.slice(0, 2)))) {
      if (!name.startsWith(hex)) continue;
      const parsed = parseGenerationName(name);
      if (parsed !== undefined) newest = Math.max(newest ?? 0, parsed.generation);
    }
    return newest;
  }

  /**
   * Does something with a blob's file, whichever generation is here. One that is collected while it is looked for is looked for again:
   * another may have come before it went.
   *
   * @returns undefined when there is none.
   */
  async #use<T>(digest: Digest, work: (path: string) => Promise<T>): Promise<T | undefined> {
    let generation: number | undefined = this.#found.get(digest);
    for (let look = 0; generation !== undefined && look < LOOKS; look += 1) {
      try {
        const done = await work(this.#path(digest, generation));
        this.#found.set(digest, generation);
        return done;
      } catch (error) {
        if (!isMissing(error)) throw error;
      }
      generation = await this.#newest(digest);
    }
    return undefined;
  }

  async size(digest: Digest): Promise<number | undefined> {
    return await this.#use(digest, async (path) => (await stat(path)).size);
  }

  async #handle(digest: Digest): Promise<FileHandle> {
    const handle = await this.#use(digest, (path) => open(path, "r"));
    if (handle === undefined) throw new ServerError("blob-unknown", `there is no blob ${digest}`);
    return handle;
  }

  async read(digest: Digest, range?: ByteRange): Promise<Readable> {
    const handle = await this.#handle(digest);
    return handle.createReadStream({
      highWaterMark: READ_CHUNK,
      ...(range === undefined ? {} : { start: range.start, end: range.end - 1 }),
    });
  }

  async open(digest: Digest, range?: ByteRange): Promise<OpenBlob> {
    const handle = await this.#handle(digest);
    return {
      send: (write) => sendFile(handle, range, write),
      close: () => handle.close(),
    };
  }

  async readSmall(digest: Digest, maxBytes: number): Promise<Uint8Array> {
    const handle = await this.#handle(digest);
    try {
      // Most are smaller than this, and are here when their size is.
      const first = firstReads.pop() ?? new Uint8Array(FIRST_READ);
      const [{ size }, { bytesRead }] = await Promise.all([handle.stat(), handle.read(first, 0, FIRST_READ, 0)]);
      const small = bytesRead === size && size <= maxBytes ? first.slice(0, size) : undefined;
      // INVARIANT: nothing reads or writes it any more. Where one of the two failed the other may be under way, and it is not used again.
      if (firstReads.length < FIRST_READS_KEPT) firstReads.push(first);
      if (small !== undefined) return small;
      if (size > maxBytes)
        throw new ServerError("blob-too-large", `${digest} has ${size} bytes, more than ${maxBytes}`);
      return new Uint8Array(await handle.readFile());
    } finally {
      await handle.close();
    }
  }

  async putSmall(bytes: Uint8Array, generation: number): Promise<Digest> {
    const digest = digestOf(nodeCrypto, bytes);
    if (await this.#holds(this.#path(digest, generation), bytes)) return digest;
    await this.put(digest, bytes, generation);
    return digest;
  }

  async put(digest: Digest, bytes: Uint8Array, generation: number): Promise<void> {
    const path = this.#path(digest, generation);
    const body = isAligned(bytes) ? { at: bytes.byteOffset, length: bytes.length } : bytes;
    await this.#naming(path, () => this.#putOnThread(digest, path, body));
  }

  /** Has a thread do all there is to do for a blob at hand (file-thread.ts). */
  async #putOnThread(digest: Digest, path: string, body: PutRequest["body"]): Promise<void> {
    const sha256 = digestHex(digest);
    const temporary = join(this.#uploads, `${sha256}.${crypto.randomUUID()}`);
    const directory = dirname(path);
    try {
      const answer = await fileThreads.put({ body, sha256, temporary, path, directory });
      if (answer.state === "put") return;
      if (answer.state === "other") throw new OtherDigest(digest, parseDigest(`sha256:${answer.sha256}`));
      if (answer.state === "unsynced") this.#noteFailure(directory);
      throw Object.assign(new Error(answer.message), answer.details);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }

  /**
   * Whether these very bytes are here, durably. A damaged blob is not them: pushing it again heals it. The name of a blob that somebody
   * else has put here a moment ago may not be on disk yet.
   */
  async #holds(path: string, bytes: Uint8Array): Promise<boolean> {
    const directory = dirname(path);
    const failures = this.#failuresFor(directory);
    // A name whose sync failed may be gone from what the kernel still means to write: only a new rename puts it there again.
    if (this.#failures.has(directory)) return false;
    if ((await fileSize(path)) !== bytes.length) return false;
    if (!equalBytes(new Uint8Array(await readFile(path)), bytes)) return false;
    await makeDurableDirectory(directory);
    await this.#syncNames(directory);
    return this.#failuresFor(directory) === failures;
  }

  /** Grows when a sync of a directory fails; a sync of this one beside which it grew may have had nothing left to write. */
  #failuresFor(directory: string): number {
    return (this.#failures.get(directory) ?? 0) + fileThreads.failures;
  }

  /** Makes a directory's names durable. A failure is remembered: that a later sync succeeds says nothing of what this one was to write. */
  async #syncNames(directory: string): Promise<void> {
    try {
      await syncDirectory(directory);
    } catch (error) {
      this.#noteFailure(directory);
      throw error;
    }
  }

  #noteFailure(directory: string): void {
    this.#failures.set(directory, (this.#failures.get(directory) ?? 0) + 1);
  }

  async adopt(staged: StagedBytes, digest: Digest, generation: number): Promise<void> {
    if (!(staged instanceof StagedFile)) throw new ServerError("internal", "staged bytes of another store");
    if (!staged.synced) await this.#sync(staged);
    await this.#name(staged.path, digest, generation);
  }

  /** Gives a file whose bytes are on disk the name of their digest. */
  async #name(temporary: string, digest: Digest, generation: number): Promise<void> {
    const path = this.#path(digest, generation);
    await this.#naming(path, async () => {
      // COMMIT POINT of a blob that was staged. Before the rename: the upload is as it was. After it and the directory's sync: the blob is there
      // whole, under the name of its content. A blob already there has the same content, so replacing it changes nothing.
      await rename(temporary, path);
      await this.#syncNames(dirname(path));
    });
  }

  /**
   * Gives a file the name of a blob in a directory that is there, durably.
   *
   * @param name renames it and syncs the directory.
   */
  async #naming(path: string, name: () => Promise<void>): Promise<void> {
    const directory = dirname(path);
    if (!isDurableDirectory(directory)) await makeDurableDirectory(directory);
    let failures = this.#failuresFor(directory);
    try {
      await name();
    } catch (error) {
      if (!isMissing(error)) throw error;
      // The directory was there when this process first looked: whoever took it away, it is made again, its name with it.
      await makeDurableDirectory(directory);
      failures = this.#failuresFor(directory);
      await name();
    }
    if (this.#failuresFor(directory) !== failures) {
      throw new ServerError("storage-failed", `a sync of a directory failed while ${path} was put there`, {
        hint: "try again; look at the disk of ASSAY_DATA",
      });
    }
  }

  async #sync(staged: StagedFile): Promise<void> {
    const handle = await open(staged.path, "a+");
    try {
      await handle.sync();
    } catch (error) {
      // What could not be written may be forgotten by the kernel, and the next sync of the file would succeed without it. So the file
      // goes: whoever tries again sends the bytes again.
      await staged.discard();
      throw error;
    } finally {
      await handle.close();
    }
  }

  stage(id: string): Promise<StagedBytes> {
    return Promise.resolve(new StagedFile(id, join(this.#uploads, id)));
  }

  async *listStaged(before: number): AsyncIterable<string> {
    for (const name of await readdir(this.#uploads)) {
      const modified = await stat(join(this.#uploads, name)).then(
        (found) => found.mtimeMs,
        (error: unknown) => {
          // Its upload ended meanwhile.
          if (isMissing(error)) return Number.POSITIVE_INFINITY;
          throw error;
        },
      );
      if (modified < before) yield name;
    }
  }

  async removeStaged(name: string): Promise<void> {
    await rm(join(this.#uploads, name), { force: true });
  }

  async remove(digest: Digest, generation: number): Promise<void> {
    await rm(this.#path(digest, generation), { force: true });
  }

  async *list(after?: Digest): AsyncIterable<Digest> {
    let last: Digest | undefined;
    for await (const { digest } of this.#names(after)) {
      if (digest !== last) yield digest;
      last = digest;
    }
  }

  async *entries(after?: Digest): AsyncIterable<BlobEntry> {
    for await (const { digest, generation } of this.#names(after)) {
      const bytes = await fileSize(this.#path(digest, generation));
      // Gone since it was listed.
      if (bytes !== undefined) yield { digest, generation, bytes };
    }
  }

  /** The blobs' names in order, a digest's generations one after another. */
  async *#names(after: Digest | undefined): AsyncIterable<{ readonly digest: Digest; readonly generation: number }> {
    const from = after === undefined ? "" : digestHex(after);
    for (const prefix of (await namesIn(this.#blobs)).toSorted()) {
      if (prefix < from.slice(0, 2) || !/^[0-9a-f]{2}$/.test(prefix)) continue;
      for (const name of (await readdir(join(this.#blobs, prefix))).toSorted()) {
        const parsed = name.startsWith(prefix) ? parseGenerationName(name) : undefined;
        if (parsed !== undefined && digestHex(parsed.digest) > from) yield parsed;
      }
    }
  }
}
