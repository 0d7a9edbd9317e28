import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { type Digest, digestHex, digestOf } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { ServerError } from "../errors.ts";
import {
  type BlobEntry,
  type BlobStore,
  type ByteRange,
  type OpenBlob,
  OtherDigest,
  type StagedBytes,
} from "./blobs.ts";
import { FoundGenerations, generationName, parseGenerationName } from "./generations.ts";
import { type S3Client, type S3Part, sha256Hex } from "./s3-client.ts";
import { noAnswer, S3Error } from "./s3-error.ts";
import { backOffMs } from "./s3-retry.ts";
import { chainSize, type PartPlan, planParts, SEGMENT_BYTES, type Segment } from "./s3-segments.ts";
import { HashedChains, S3Staged } from "./s3-staged.ts";

/** How often a blob is looked for while generations of it come and go. */
const LOOKS = 4;

/** Server-side copies under way at once for one blob. */
const COPIES = 4;

/**
 * Parts that pass through memory at once, over all blobs: with at most 16 MiB each (storage/s3-segments.ts), what finishing uploads takes of memory
 * does not grow with how many there are. What uploads take while they come in, two segments each, is bounded by their admission.
 */
const GATHERINGS = 2;

const UPLOAD_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** What hears of trouble that does not fail the request it happened in. */
export interface BlobsLog {
  warn(detail: object, message: string): void;
}

/**
 * Blobs in S3: `<prefix>/blobs/sha256/<2 hex>/<64 hex>`, and `_<generation>` after it where it was collected before; uploads as segments in
 * `<prefix>/uploads/<id>/`.
 *
 * A blob comes into being by one request, under the name of its content, after its content was proven to have that name: a PUT of
 * bytes at hand, or the completion of a multipart upload whose parts the server has confirmed by SHA-256. Before that request it is
 * not there; after it, it is there whole, for every host. It is never replaced unless its bytes turn out to be wrong.
 */
export class S3Blobs implements BlobStore {
  readonly #client: S3Client;
  readonly #blobs: string;
  readonly #uploads: string;
  readonly #conditional: boolean;
  readonly #log: BlobsLog;
  readonly #hashes = new HashedChains();
  readonly #gathering = new Turns(GATHERINGS);
  readonly #found = new FoundGenerations();
  /** Whether the server copies parts and says their SHA-256; learnt at the first blob large enough. */
  #copies = true;

  /** @param conditional whether the server enforces `If-None-Match: *` (storage/s3-probe.ts finds out). */
  constructor(parts: {
    readonly client: S3Client;
    readonly prefix: string;
    readonly conditional: boolean;
    readonly log: BlobsLog;
  }) {
    const root = parts.prefix === "" ? "" : `${parts.prefix}/`;
    this.#client = parts.client;
    this.#blobs = `${root}blobs/sha256/`;
    this.#uploads = `${root}uploads/`;
    this.#conditional = parts.conditional;
    this.#log = parts.log;
  }

  /** Ends its connections. */
  async close(): Promise<void> {
    await this.#client.close();
  }

  #key(digest: Digest, generation: number): string {
    const hex = digestHex(digest);
    return `${this.#blobs}${hex.slice(0, 2)}/${generationName(hex, generation)}`;
  }

  /** The newest generation of a blob that is here. */
  async #newest(digest: Digest): Promise<number | undefined> {
    let newest: number | undefined;
    for await (const { generation } of this.#objects(this.#key(digest, 0))) newest = Math.max(newest ?? 0, generation);
    return newest;
  }

  /**
   * Asks for a blob's object, whichever generation is here. One that is collected while it is looked for is looked for again: another may
   * have come before it went.
   *
   * @returns undefined when there is none.
   */
  async #use<T>(digest: Digest, work: (key: string) => Promise<T | undefined>): Promise<T | undefined> {
    let generation: number | undefined = this.#found.get(digest);
    for (let look = 0; generation !== undefined && look < LOOKS; look += 1) {
      const done = await work(this.#key(digest, generation));
      if (done !== undefined) {
        this.#found.set(digest, generation);
        return done;
      }
      generation = await this.#newest(digest);
    }
    return undefined;
  }

  async size(digest: Digest): Promise<number | undefined> {
    return await this.#use(digest, (key) => this.#client.size(key));
  }

  readonly lend = async (digest: Digest, seconds: number): Promise<string> => await this.#lent(digest, seconds);

  /** Of the generation that is here: whoever has the URL looks for no other. */
  async #lent(digest: Digest, seconds: number): Promise<string> {
    const url = await this.#use(digest, async (key) => {
      if ((await this.#client.size(key)) === undefined) return undefined;
      return await this.#client.lend(key, seconds, {
        "response-content-type": "application/octet-stream",
        "response-content-disposition": "attachment",
      });
    });
    if (url === undefined) throw unknown(digest);
    return url;
  }

  async read(digest: Digest, range?: ByteRange): Promise<Readable> {
    if (range !== undefined && range.end <= range.start) {
      if ((await this.size(digest)) === undefined) throw unknown(digest);
      return Readable.from([], { objectMode: false });
    }
    // The first answer is awaited here, so that a blob that is not there is an error of this call and not of the stream.
    const first = await this.#begin(digest, range);
    const readable = Readable.from(this.#stream(digest, range, first), { objectMode: false });
    // A stream that is destroyed before it is read never runs its generator's end.
    readable.once("close", () => first.body.destroy());
    return readable;
  }

  async open(digest: Digest, range?: ByteRange): Promise<OpenBlob> {
    if (range !== undefined && range.end <= range.start) {
      if ((await this.size(digest)) === undefined) throw unknown(digest);
      return { send: () => Promise.resolve(), close: () => Promise.resolve() };
    }
    const first = await this.#begin(digest, range);
    const chunks = this.#stream(digest, range, first);
    const whole = range === undefined || (range.start === 0 && range.end === first.size);
    return {
      async send(write) {
        for await (const chunk of whole ? proven(chunks, digest, first.size) : chunks) await write(chunk);
      },
      async close() {
        await chunks.return();
        first.body.destroy();
      },
    };
  }

  /** @param at the object to read; else whichever generation is here. */
  async #begin(digest: Digest, range: ByteRange | undefined, at?: string): Promise<{ body: Readable; size: number }> {
    const read = (key: string): ReturnType<S3Client["read"]> => this.#client.read(key, range);
    try {
      const found = await (at === undefined ? this.#use(digest, read) : read(at));
      if (found === undefined) throw unknown(digest);
      if (range !== undefined && range.end > found.size) {
        // Known before a byte of it is sent.
        found.body.destroy();
        throw new ServerError("internal", `a blob ends at byte ${found.size}, not at ${range.end}`);
      }
      return found;
    } catch (error) {
      if (error instanceof S3Error && error.status === 416) {
        throw new ServerError("blob-range-invalid", `${digest} does not have these bytes`, { cause: error });
      }
      throw error;
    }
  }

  /** The bytes asked for; a connection that breaks off is taken up where it broke. */
  async *#stream(
    digest: Digest,
    range: ByteRange | undefined,
    first: { body: Readable; size: number },
    key?: string,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const end = Math.min(range?.end ?? first.size, first.size);
    let at = range?.start ?? 0;
    let body = first.body;
    for (let attempt = 1; ; attempt += 1) {
      let failure: unknown;
      try {
        for await (const chunk of body as AsyncIterable<Uint8Array>) {
          const wanted = chunk.length <= end - at ? chunk : chunk.subarray(0, end - at);
          at += wanted.length;
          attempt = 1;
          yield wanted;
          if (at === end) break;
        }
      } catch (error) {
        failure = error;
      } finally {
        body.destroy();
      }
      if (at === end) return;
      if (attempt >= this.#client.retry.attempts) {
        throw noAnswer(`GET ${digest}`, failure ?? new Error(`it ended ${end - at} bytes early`));
      }
      await sleep(backOffMs(this.#client.retry, attempt, Math.random()));
      const next = await this.#begin(digest, { start: at, end }, key);
      if (next.size !== first.size) {
        next.body.destroy();
        throw noAnswer(`GET ${digest}`, new Error(`it had ${first.size} bytes and now has ${next.size}`));
      }
      body = next.body;
    }
  }

  async readSmall(digest: Digest, maxBytes: number): Promise<Uint8Array> {
    const size = await this.size(digest);
    if (size === undefined) throw unknown(digest);
    if (size > maxBytes) throw new ServerError("blob-too-large", `${digest} has ${size} bytes, more than ${maxBytes}`);
    const bytes = await this.#use(digest, (key) => this.#client.bytes(key, maxBytes));
    if (bytes === undefined) throw unknown(digest);
    return new Uint8Array(bytes);
  }

  async putSmall(bytes: Uint8Array, generation: number): Promise<Digest> {
    const digest = digestOf(nodeCrypto, bytes);
    const key = this.#key(digest, generation);
    // Asked first: most small blobs that are put again are there. One of this size may still be damaged: then it is mended.
    if (!(await this.#isWhole(key, digest, bytes.length))) await this.#create(key, digest, bytes);
    return digest;
  }

  async put(digest: Digest, bytes: Uint8Array, generation: number): Promise<void> {
    const actual = digestOf(nodeCrypto, bytes);
    if (actual !== digest) throw new OtherDigest(digest, actual);
    // A copy: a request that was given up may go on reading what it was to send, and the caller uses its memory again.
    await this.#create(this.#key(digest, generation), digest, Buffer.from(bytes));
  }

  async adopt(staged: StagedBytes, digest: Digest, generation: number): Promise<void> {
    if (!(staged instanceof S3Staged)) throw new ServerError("internal", "staged bytes of another store");
    // Proven here, whoever calls: no other content may ever stand under this name. Segments' names pin their bytes.
    const chain = await staged.proven(digest);
    const key = this.#key(digest, generation);
    if (chainSize(chain) <= SEGMENT_BYTES) {
      await this.#gathering.run(async () => await this.#create(key, digest, await gather(staged, chain)));
    } else await this.#compose(staged, chain, key, digest);
    try {
      await staged.discard();
    } catch (error) {
      // The blob is there. What is left of the upload is garbage that nobody sees (docs/operations.md: the lifecycle rule takes it).
      this.#log.warn({ err: error, upload: staged.id }, "an upload's staged bytes could not be removed");
    }
  }

  /** Stores a blob from bytes at hand, which have this digest. */
  async #create(key: string, digest: Digest, bytes: Uint8Array): Promise<void> {
    const sha256 = digestHex(digest);
    if (!this.#conditional && (await this.#isWhole(key, digest, bytes.length))) return;
    // COMMIT POINT of a small blob. Before: nothing is under its name. After: it is there whole. The server compares the bytes
    // that came with the very digest in the name.
    const stored = await this.#client.put(key, bytes, { sha256, createOnly: this.#conditional });
    if (stored === "stored" || (await this.#isWhole(key, digest, bytes.length))) return;
    this.#log.warn({ digest }, "a damaged blob is replaced by the same content pushed again");
    await this.#client.put(key, bytes, { sha256 });
  }

  /**
   * Whether the blob is there and has its digest: read whole, because a name that is taken is all that another push of the same content
   * finds, and pushing it again is how a damaged blob is mended.
   */
  async #isWhole(key: string, digest: Digest, size: number): Promise<boolean> {
    if ((await this.#client.size(key)) !== size) return false;
    const hash = createHash("sha256");
    const first = await this.#begin(digest, undefined, key);
    for await (const chunk of this.#stream(digest, undefined, first, key)) hash.update(chunk);
    return hash.digest("hex") === digestHex(digest);
  }

  /** Makes a large blob of an upload's segments, by a multipart upload to its own key. */
  async #compose(staged: S3Staged, chain: readonly Segment[], key: string, digest: Digest): Promise<void> {
    const size = chainSize(chain);
    if (await this.#isWhole(key, digest, size)) return;
    const there = (await this.#client.size(key)) !== undefined;
    if (there) this.#log.warn({ digest }, "a damaged blob is replaced by the same content pushed again");
    const uploadId = await this.#client.createMultipart(key);
    try {
      // A crash from here on leaves a multipart upload that nobody sees; the note lets whoever discards the upload abort it.
      await staged.markMultipart(key, uploadId);
      const parts = await this.#parts(staged, planParts(chain, this.#copies), { key, uploadId });
      // COMMIT POINT of a large blob. Before: the parts belong to nothing. After: the blob is there whole: each part is bytes that
      // this server or S3 has hashed to what the proven chain says.
      const done = await this.#complete(key, uploadId, parts, this.#conditional && !there);
      if (done !== "stored" && !(await this.#isWhole(key, digest, size))) {
        if (done === "gone")
          throw noAnswer(`POST ${key}`, new Error("the multipart upload is gone, and the blob is not there"));
        // What stands there is damaged: it is replaced. Without an answer that says so, only its bytes show that it was.
        const replaced = await this.#client.completeMultipart(key, uploadId, parts, false);
        if (replaced !== "stored" && !(await this.#isWhole(key, digest, size)))
          throw noAnswer(`POST ${key}`, new Error("the damaged blob could not be replaced"));
      } else if (done === "exists") {
        await this.#client.abortMultipart(key, uploadId);
      }
    } catch (error) {
      await this.#client.abortMultipart(key, uploadId).catch((cause: unknown) => {
        this.#log.warn({ err: cause, key }, "a multipart upload could not be aborted");
      });
      throw error;
    }
    await staged.unmarkMultipart(uploadId);
    const stored = await this.#client.size(key);
    if (stored !== size) {
      throw new ServerError("blobs-answer-invalid", `S3 says ${digest} was stored, with ${stored} of ${size} bytes`, {
        hint: "do not use this S3 server: it acknowledges what it does not hold",
      });
    }
  }

  /** Completes a multipart upload. A failure may have come after the fact: then it is `gone`, like one that an earlier attempt completed. */
  async #complete(
    key: string,
    uploadId: string,
    parts: readonly S3Part[],
    createOnly: boolean,
  ): Promise<"stored" | "exists" | "gone"> {
    try {
      return await this.#client.completeMultipart(key, uploadId, parts, createOnly);
    } catch (error) {
      if (error instanceof S3Error && error.transient && (await this.#client.size(key)) !== undefined) return "gone";
      throw error;
    }
  }

  /** Uploads the parts: copies a few at once, what passes through memory one by one. */
  async #parts(
    staged: S3Staged,
    plan: readonly PartPlan[],
    target: { readonly key: string; readonly uploadId: string },
  ): Promise<S3Part[]> {
    const parts: S3Part[] = [];
    const send = async (number: number, segments: readonly Segment[]): Promise<void> => {
      parts[number - 1] = await this.#gathering.run(async () => {
        const bytes = await gather(staged, segments);
        const only = segments.length === 1 ? segments[0]?.sha256 : undefined;
        const body = { bytes, sha256: only ?? sha256Hex(bytes) };
        return await this.#client.uploadPart(target.key, target.uploadId, number, body);
      });
    };
    const uncopied: number[] = [];
    const copy = async (number: number, segment: Segment): Promise<void> => {
      const copied = this.#copies
        ? await this.#client.copyPart(target.key, target.uploadId, number, staged.keyOf(segment))
        : undefined;
      if (copied === undefined) {
        // It cannot copy, or does not say what it copied: then the bytes pass through here, where they are hashed.
        this.#copies = false;
        uncopied.push(number);
        return;
      }
      if (Buffer.from(copied.sha256, "base64").toString("hex") !== segment.sha256) {
        throw new ServerError("blob-digest-mismatch", `upload ${staged.id}: a segment was altered in S3`, {
          hint: "cancel the upload and push again",
        });
      }
      parts[number - 1] = { number, ...copied };
    };
    const copies = plan.flatMap((part, index) =>
      part.kind === "copy" ? [{ number: index + 1, segment: part.segment }] : [],
    );
    for (let at = 0; at < copies.length; at += COPIES) {
      await Promise.all(copies.slice(at, at + COPIES).map(({ number, segment }) => copy(number, segment)));
    }
    for (const [index, part] of plan.entries()) {
      if (part.kind === "send") await send(index + 1, part.segments);
      else if (uncopied.includes(index + 1)) await send(index + 1, [part.segment]);
    }
    return parts;
  }

  async stage(id: string): Promise<StagedBytes> {
    if (!UPLOAD_ID.test(id))
      throw new ServerError("internal", `${JSON.stringify(id.slice(0, 100))} is no upload's name`);
    return new S3Staged({ id, client: this.#client, prefix: `${this.#uploads}${id}/`, hashes: this.#hashes });
  }

  async *listStaged(before: number): AsyncIterable<string> {
    // An upload's objects follow one another: it is as old as the newest of them.
    let name: string | undefined;
    let old = true;
    for await (const object of this.#client.list(this.#uploads)) {
      const next = object.key.slice(this.#uploads.length).split("/", 1)[0] ?? "";
      if (next !== name) {
        if (name !== undefined && old) yield name;
        name = next;
        old = true;
      }
      old &&= object.modified < before;
    }
    if (name !== undefined && old) yield name;
  }

  async removeStaged(name: string): Promise<void> {
    // What somebody else has put here under other names stays.
    if (!UPLOAD_ID.test(name)) return;
    await (await this.stage(name)).discard();
    // What a probe left is an object of that very name (storage/s3-probe.ts).
    await this.#client.delete(this.#uploads + name);
  }

  async remove(digest: Digest, generation: number): Promise<void> {
    await this.#client.delete(this.#key(digest, generation));
  }

  async *list(after?: Digest): AsyncIterable<Digest> {
    let last: Digest | undefined;
    for await (const { digest } of this.entries(after)) {
      if (digest !== last) yield digest;
      last = digest;
    }
  }

  async *entries(after?: Digest): AsyncIterable<BlobEntry> {
    const from = after === undefined ? undefined : this.#key(after, 0);
    for await (const entry of this.#objects(this.#blobs, from)) {
      if (after === undefined || entry.digest > after) yield entry;
    }
  }

  /** The blobs under a prefix of keys, a digest's generations one after another. */
  async *#objects(prefix: string, after?: string): AsyncIterable<BlobEntry> {
    for await (const { key, size } of this.#client.list(prefix, { after })) {
      const parsed = parseGenerationName(key.slice(key.lastIndexOf("/") + 1));
      // What somebody else has put here is no blob; a misplaced one would be read from another key.
      if (parsed !== undefined && this.#key(parsed.digest, parsed.generation) === key) yield { ...parsed, bytes: size };
    }
  }
}

/**
 * A whole blob's bytes, whose last are handed on only when all of them have the digest: over a network more can happen to them than on a
 * disk, and who pulls a blob must not get other bytes as if they were it.
 */
async function* proven(
  chunks: AsyncIterable<Uint8Array>,
  digest: Digest,
  size: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  const hash = createHash("sha256");
  let at = 0;
  for await (const chunk of chunks) {
    hash.update(chunk);
    at += chunk.length;
    if (at === size && hash.digest("hex") !== digestHex(digest)) {
      throw new ServerError("blobs-answer-invalid", `S3 gave other bytes than ${digest}`, {
        hint: "run `assay server check`: it says whether the blob was altered, or only what came of it",
      });
    }
    yield chunk;
  }
}

function unknown(digest: Digest): ServerError {
  return new ServerError("blob-unknown", `there is no blob ${digest}`);
}

/** Segments' bytes as one: at most what a part holds. */
async function gather(staged: S3Staged, segments: readonly Segment[]): Promise<Uint8Array> {
  const [only] = segments;
  if (only !== undefined && segments.length === 1) return await staged.segmentBytes(only);
  const whole = Buffer.allocUnsafe(segments.reduce((total, segment) => total + segment.length, 0));
  let at = 0;
  for (const segment of segments) {
    whole.set(await staged.segmentBytes(segment), at);
    at += segment.length;
  }
  return whole;
}

/** Lets a few pieces of work run at once; the others wait, in order. */
class Turns {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(atOnce: number) {
    this.#free = atOnce;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      // The turn passes to whoever waited longest.
      if (next === undefined) this.#free += 1;
      else next();
    }
  }
}
