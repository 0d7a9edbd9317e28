import { createHash, type Hash } from "node:crypto";
import { Readable } from "node:stream";
import type { Digest } from "@assay/evidence";
import { ServerError } from "../errors.ts";
import type { Appending, StagedBytes } from "./blobs.ts";
import { type S3Client, sha256Hex } from "./s3-client.ts";
import {
  chainOf,
  chainSize,
  MAX_UPLOAD_BYTES,
  parseSegment,
  sameChain,
  SEGMENT_BYTES,
  type Segment,
  segmentName,
} from "./s3-segments.ts";

/** Buffers begin this small: most blobs of a registry are configurations and signatures. */
const FIRST_BUFFER_BYTES = 64 * 1024;

/** Uploads whose hash is remembered; the least recently used goes first, and its bytes are read again when it is adopted. */
const REMEMBERED = 1024;

/** Deletions under way at once. */
const DELETIONS = 8;

/** A chain and the SHA-256 state over all its bytes, both from the same pass over them. */
interface Hashed {
  readonly chain: readonly Segment[];
  readonly hash: Hash;
}

/**
 * What this process knows of uploads' hashes. It saves reading an upload back, nothing more: what is not here, or is here for another
 * chain than the one that is adopted, is computed again from the bytes in S3.
 */
export class HashedChains {
  /** The newest state, and the one before it, to which a refused chunk is taken back. */
  readonly #byUpload = new Map<string, readonly Hashed[]>();

  /** The hash over exactly this chain; undefined when this process has not seen its bytes. A copy: safe to go on with. */
  at(id: string, chain: readonly Segment[]): Hash | undefined {
    if (chain.length === 0) return createHash("sha256");
    return this.#byUpload
      .get(id)
      ?.find((known) => sameChain(known.chain, chain))
      ?.hash.copy();
  }

  remember(id: string, chain: readonly Segment[], hash: Hash): void {
    const before = this.#byUpload.get(id)?.at(0);
    this.#byUpload.delete(id);
    this.#byUpload.set(id, [{ chain: [...chain], hash }, ...(before === undefined ? [] : [before])]);
    if (this.#byUpload.size > REMEMBERED) {
      const oldest = this.#byUpload.keys().next();
      if (oldest.done !== true) this.#byUpload.delete(oldest.value);
    }
  }

  forget(id: string): void {
    this.#byUpload.delete(id);
  }
}

/** A segment being filled. */
class Filling {
  #buffer: Buffer;
  #used = 0;
  readonly #hash = createHash("sha256");

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  get used(): number {
    return this.#used;
  }

  /** Its memory, for another segment once this one is stored. */
  get buffer(): Buffer {
    return this.#buffer;
  }

  /** Takes as much of `chunk` as there is room for. @returns how much. */
  take(chunk: Uint8Array): number {
    const taken = Math.min(chunk.length, SEGMENT_BYTES - this.#used);
    const needed = this.#used + taken;
    if (needed > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.min(SEGMENT_BYTES, Math.max(needed, this.#buffer.length * 2)));
      this.#buffer.copy(larger, 0, 0, this.#used);
      this.#buffer = larger;
    }
    this.#buffer.set(taken === chunk.length ? chunk : chunk.subarray(0, taken), this.#used);
    this.#hash.update(this.#buffer.subarray(this.#used, needed));
    this.#used = needed;
    return taken;
  }

  finish(): { bytes: Uint8Array; sha256: string } {
    return { bytes: this.#buffer.subarray(0, this.#used), sha256: this.#hash.digest("hex") };
  }
}

/**
 * Staged bytes in S3: segments under `<uploads>/<id>/`. Nothing about them is in this process's memory that another host could not
 * read from the bucket.
 */
export class S3Staged implements StagedBytes {
  readonly id: string;
  readonly #client: S3Client;
  /** `…/uploads/<id>/`. */
  readonly #prefix: string;
  readonly #hashes: HashedChains;
  /** The chain as this object last saw or made it; undefined before it looked. */
  #chain: Segment[] | undefined;
  /** The bytes of the one segment this object wrote to an empty upload: a small blob is adopted without reading it back. */
  #only: { readonly segment: Segment; readonly bytes: Uint8Array } | undefined;

  constructor(parts: {
    readonly id: string;
    readonly client: S3Client;
    readonly prefix: string;
    readonly hashes: HashedChains;
  }) {
    this.id = parts.id;
    this.#client = parts.client;
    this.#prefix = parts.prefix;
    this.#hashes = parts.hashes;
  }

  async #list(): Promise<{ chain: Segment[]; names: string[] }> {
    const segments: Segment[] = [];
    const names: string[] = [];
    for await (const { key, size } of this.#client.list(this.#prefix)) {
      const name = key.slice(this.#prefix.length);
      names.push(name);
      const segment = parseSegment(name, size);
      if (segment !== undefined) segments.push(segment);
    }
    this.#chain = chainOf(segments);
    return { chain: this.#chain, names };
  }

  async size(): Promise<number> {
    return chainSize((await this.#list()).chain);
  }

  async append(
    offset: number,
    source: AsyncIterable<Uint8Array>,
    observe: (chunk: Uint8Array) => void,
    { spent }: Appending = {},
  ): Promise<number> {
    const chain = this.#chain ?? (await this.#list()).chain;
    if (chainSize(chain) !== offset) {
      throw new ServerError("internal", `upload ${this.id} stands at ${chainSize(chain)}, not at ${offset}`);
    }
    const hash = this.#hashes.at(this.id, chain);
    let hashed = offset;
    let filling = new Filling(Buffer.allocUnsafe(FIRST_BUFFER_BYTES));
    let spare: Buffer | undefined;
    let writing: Promise<void> = Promise.resolve();
    // At most one segment is on its way while the next is filled.
    const write = async (full: Filling): Promise<void> => {
      await writing;
      const { bytes, sha256 } = full.finish();
      const segment = { start: chainSize(chain), length: bytes.length, sha256 };
      writing = this.#put(segment, bytes).then(() => {
        this.#only = chain.length === 0 ? { segment, bytes } : undefined;
        // S3 has answered for all of the bytes, so nothing reads this memory any more, unless it is kept for adoption.
        if (this.#only === undefined) spare = full.buffer;
        chain.push(segment);
      });
      // Whoever waits for it next hears of a failure; until then it is not unhandled.
      writing.catch(() => undefined);
    };
    try {
      for await (const chunk of source) {
        observe(chunk);
        hash?.update(chunk);
        hashed += chunk.length;
        if (hashed > MAX_UPLOAD_BYTES) {
          throw new ServerError("blob-too-large", `an upload to S3 has at most ${MAX_UPLOAD_BYTES} bytes`);
        }
        for (let at = 0; at < chunk.length; ) {
          at += filling.take(at === 0 ? chunk : chunk.subarray(at));
          if (filling.used === SEGMENT_BYTES) {
            await write(filling);
            filling = new Filling(spare ?? Buffer.allocUnsafe(SEGMENT_BYTES));
            spare = undefined;
          }
        }
        // It was copied.
        spent?.(chunk);
      }
    } finally {
      if (filling.used > 0) await write(filling);
      await writing;
      if (hash !== undefined && hashed === chainSize(chain)) this.#hashes.remember(this.id, chain, hash);
    }
    return chainSize(chain);
  }

  async #put(segment: Segment, bytes: Uint8Array): Promise<void> {
    // COMMIT POINT of staged bytes. Before S3 answers: the upload ends where the chain before this segment ends. After: the segment
    // is part of the upload for every host. A torn object has another size than its name says and does not count.
    await this.#client.put(this.#prefix + segmentName(segment), bytes, { sha256: segment.sha256 });
  }

  /** A segment's bytes. @throws ServerError `blob-digest-mismatch` when they are not what its name says; `blob-unknown`. */
  async segmentBytes(segment: Segment): Promise<Uint8Array> {
    if (this.#only !== undefined && sameChain([this.#only.segment], [segment])) return this.#only.bytes;
    const name = segmentName(segment);
    const bytes = await this.#client.bytes(this.#prefix + name, SEGMENT_BYTES);
    if (bytes === undefined) throw new ServerError("blob-unknown", `upload ${this.id} has lost its segment ${name}`);
    if (bytes.length !== segment.length || sha256Hex(bytes) !== segment.sha256) {
      throw new ServerError("blob-digest-mismatch", `upload ${this.id}: the segment ${name} was altered in S3`, {
        hint: "cancel the upload and push again",
      });
    }
    return bytes;
  }

  /** Where a segment lies. */
  keyOf(segment: Segment): string {
    return this.#prefix + segmentName(segment);
  }

  read(): Readable {
    return Readable.from(this.#bytes(), { objectMode: false });
  }

  async *#bytes(): AsyncGenerator<Uint8Array, void, undefined> {
    const { chain } = await this.#list();
    const hash = createHash("sha256");
    for (const segment of chain) {
      const bytes = await this.segmentBytes(segment);
      hash.update(bytes);
      yield bytes;
    }
    this.#hashes.remember(this.id, chain, hash);
  }

  /**
   * The chain whose bytes have this digest, and nothing else: by what this process hashed on the way in, else by reading all of it.
   *
   * @throws ServerError `blob-digest-mismatch`.
   */
  async proven(digest: Digest): Promise<readonly Segment[]> {
    const known = this.#chain === undefined ? undefined : this.#hashes.at(this.id, this.#chain);
    if (this.#chain !== undefined && known !== undefined && `sha256:${known.digest("hex")}` === digest) {
      return this.#chain;
    }
    for await (const _ of this.#bytes()) {
      // Reading is what hashes.
    }
    const chain = this.#chain ?? [];
    const actual = `sha256:${this.#hashes.at(this.id, chain)?.digest("hex") ?? "unknown"}`;
    if (actual !== digest) {
      throw new ServerError("blob-digest-mismatch", `upload ${this.id} holds ${actual}, not ${digest}`, {
        hint: "cancel the upload and push again",
      });
    }
    return chain;
  }

  /**
   * Cutting back is enough here: segments are objects of their own, so a slow writer adds segments beside the chain and changes none
   * of it, and what is adopted is shown to have its digest.
   */
  detach(size: number): Promise<void> {
    return this.truncate(size);
  }

  async truncate(size: number): Promise<void> {
    const { chain, names } = await this.#list();
    const kept = chain.filter((segment) => segment.start + segment.length <= size);
    const torn = chain.find((segment) => segment.start < size && segment.start + segment.length > size);
    if (torn !== undefined) {
      const bytes = (await this.segmentBytes(torn)).subarray(0, size - torn.start);
      const shorter = { start: torn.start, length: bytes.length, sha256: sha256Hex(bytes) };
      // Until the longer one is gone it is the one that counts: a crash here leaves the upload as long as it was.
      await this.#put(shorter, bytes);
      kept.push(shorter);
    }
    const keep = new Set(kept.map(segmentName));
    // COMMIT POINTS of a truncation: each deletion, from the end. Before: the upload is as long as it was. After each: it is whole up to
    // some byte, never less than `size`.
    await this.#delete(names.filter((name) => parseSegmentStart(name) !== undefined && !keep.has(name)).toReversed());
    this.#chain = kept;
    this.#only = undefined;
  }

  async discard(): Promise<void> {
    const { names } = await this.#list();
    for (const name of names) {
      const upload = parseMultipartMark(name);
      if (upload === undefined) continue;
      const target = await this.#client.bytes(this.#prefix + name, 4096);
      if (target !== undefined) await this.#client.abortMultipart(new TextDecoder().decode(target), upload);
    }
    await this.#delete(names.toReversed());
    this.#chain = [];
    this.#only = undefined;
    this.#hashes.forget(this.id);
  }

  /** Notes that a multipart upload to `key` is under way for this upload, so that whoever discards it, on any host, aborts that too. */
  async markMultipart(key: string, uploadId: string): Promise<void> {
    const bytes = Buffer.from(key);
    await this.#client.put(this.#prefix + multipartMark(uploadId), bytes, { sha256: sha256Hex(bytes) });
  }

  /** Takes the note away: the multipart upload is completed or aborted. */
  async unmarkMultipart(uploadId: string): Promise<void> {
    await this.#client.delete(this.#prefix + multipartMark(uploadId));
  }

  async #delete(names: readonly string[]): Promise<void> {
    for (let at = 0; at < names.length; at += DELETIONS) {
      await Promise.all(names.slice(at, at + DELETIONS).map((name) => this.#client.delete(this.#prefix + name)));
    }
  }
}

/** Where a segment says it starts, torn or not. */
function parseSegmentStart(name: string): number | undefined {
  const match = /^(\d{15})-/.exec(name);
  return match === null ? undefined : Number(match[1]);
}

const MARK = "multipart-";

function multipartMark(uploadId: string): string {
  return MARK + Buffer.from(uploadId).toString("hex");
}

function parseMultipartMark(name: string): string | undefined {
  return name.startsWith(MARK) ? Buffer.from(name.slice(MARK.length), "hex").toString() : undefined;
}
