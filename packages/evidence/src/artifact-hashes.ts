/**
 * An artifact's bytes, for signatures that rest on more than their SHA-256 digest. Every such signature comes down to a hash of the bytes, so
 * nobody holds them: they pass by once, for all that is asked. What was hashed can be remembered for ever, because the artifact is named
 * by its content; whom to believe plays no part in it.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import type { Crypto } from "./crypto.ts";
import { type Digest, digestHex } from "./digest.ts";
import {
  type DocumentHashes,
  type DocumentHashName,
  type HashedDocument,
  type Hasher,
  hashDocument,
  type HashWay,
} from "./document-hash.ts";
import { concatBytes, fromHex, toHex, utf8Encode } from "./encoding.ts";
import { HASHES, type MessageHash } from "./noblecrypto.ts";
import type { RefusalCode } from "./verdict.ts";

/** The artifact's bytes, as far as somebody has them. */
export type ArtifactSource = {
  /** Bytes. */
  readonly size: number;
  /** The bytes from the start, each time it is called. */
  read(): AsyncIterable<Uint8Array>;
  /**
   * What is thrown when bytes that were read turn out not to be the artifact's, by a host that holds them under its digest: then they are
   * damaged, and nothing speaks against the evidence. Absent: whoever asks gave the bytes, and gave others (`subject-mismatch`).
   */
  readonly altered?: () => Error;
  /** On what terms they may be read; absent: whenever a signature needs them, and nothing is remembered. */
  readonly terms?: ReadingTerms;
};

/** What a host remembers of reading artifacts, and how much of it it allows. */
export interface ReadingTerms {
  /** What {@link remember} was given under this name, if it is still known. */
  recall(name: string): HashedDocument | undefined;
  /**
   * Keeps what came of a whole reading whose bytes were the artifact's; nothing else is ever given. `name` is a hexadecimal SHA-256 of all that
   * it follows from: the artifact's digest and the way.
   */
  remember(name: string, hashed: HashedDocument): void;
  /** Whether the question may still cost so many bytes of hashing. A text counts twice. */
  affords(bytes: number): boolean;
  /** Takes so many bytes from what it may still cost; false, taking nothing, when that is less. */
  take(bytes: number): boolean;
  /** Runs a reading when it is its turn. May throw instead, which ends the verification. */
  turn<T>(reading: () => Promise<T>): Promise<T>;
}

/** Why the bytes say nothing about a signature: a refusal, which `verify` makes of it. */
export class ArtifactUnread extends Error {
  override readonly name = "ArtifactUnread";
  readonly code: Extract<RefusalCode, "bytes-needed" | "subject-mismatch">;

  constructor(code: ArtifactUnread["code"], message: string) {
    super(message);
    this.code = code;
  }
}

/** The hashes of one artifact, read where they are not known. */
export class ArtifactHashes implements DocumentHashes {
  readonly #crypto: Crypto;
  readonly #artifact: Digest;
  readonly #source: ArtifactSource;

  constructor(crypto: Crypto, artifact: Digest, source: ArtifactSource) {
    this.#crypto = crypto;
    this.#artifact = artifact;
    this.#source = source;
  }

  /** Bytes of the artifact, as the source says. */
  get size(): number {
    return this.#source.size;
  }

  /** The hashes in the order of the ways. Throws {@link ArtifactUnread}, and what the source throws. */
  async of(ways: readonly HashWay[]): Promise<readonly HashedDocument[]> {
    const { terms, size } = this.#source;
    const asked = new Map(ways.map((way) => [this.#nameOf(way), way]));
    const known = new Map<string, HashedDocument>();
    const recall = (): void => {
      for (const name of asked.keys()) {
        const hashed = known.has(name) ? undefined : terms?.recall(name);
        if (hashed !== undefined) known.set(name, hashed);
      }
    };
    const read = async (): Promise<void> => {
      // Whoever had the turn before may have read for the same question.
      recall();
      const missing = [...asked].filter(([name]) => !known.has(name));
      if (missing.length === 0) return;
      // What is not enough for all is spent on some: asked again, those are known.
      const afforded = missing.filter(([, way]) => terms === undefined || terms.take(costOf(way, size)));
      const hashed = afforded.length === 0 ? [] : await this.#pass(afforded.map(([, way]) => way));
      for (const [index, [name]] of afforded.entries()) {
        const one = hashed[index];
        if (one === undefined) continue;
        known.set(name, one);
        terms?.remember(name, one);
      }
      if (afforded.length < missing.length) throw tooCostly();
    };
    recall();
    if (known.size < asked.size) {
      const costs = [...asked].flatMap(([name, way]) => (known.has(name) ? [] : [costOf(way, size)]));
      // Nobody waits for a turn that they cannot use.
      if (terms?.affords(Math.min(...costs)) === false) throw tooCostly();
      await (terms === undefined ? read() : terms.turn(read));
    }
    return ways.map((way) => {
      const hashed = known.get(this.#nameOf(way));
      if (hashed === undefined) throw new TypeError("an artifact was not hashed in a way that was asked for");
      return hashed;
    });
  }

  /** The digests that decide message signatures, in order. The artifact's own is known, and nothing is read for it. Throws as {@link of}. */
  async digests(asked: readonly MessageHash[]): Promise<readonly (Uint8Array | undefined)[]> {
    const isOwn = ({ hash, prefix }: MessageHash): boolean => hash === "sha256" && prefix.length === 0;
    const others = asked.filter((one) => !isOwn(one));
    const hashed = await this.of(
      others.map(({ hash, prefix }) => ({
        algorithm: OPENPGP_NAMES[hash],
        create: () => HASHES[hash].create(),
        prefix,
        isText: false,
      })),
    );
    return asked.map((one) =>
      isOwn(one) ? fromHex(digestHex(this.#artifact)) : hashed[others.indexOf(one)]?.hasher.clone().digest(),
    );
  }

  /** Reads the artifact once. INVARIANT: what comes of it was made of the very bytes that the artifact's digest names. */
  async #pass(ways: readonly HashWay[]): Promise<HashedDocument[]> {
    const { size, altered } = this.#source;
    const mismatch = (): Error =>
      altered?.() ?? new ArtifactUnread("subject-mismatch", `The bytes given are not those of ${this.#artifact}.`);
    const identity = this.#create("SHA256") ?? sha256.create();
    let bytes = 0;
    const counted = async function* (chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
      for await (const chunk of chunks) {
        bytes += chunk.length;
        if (bytes > size) throw mismatch();
        identity.update(chunk);
        yield chunk;
      }
    };
    const create = (way: HashWay): Hasher => this.#create(way.algorithm) ?? way.create();
    const hashed = await hashDocument(ways, counted(this.#source.read()), create);
    if (`sha256:${toHex(identity.digest())}` !== this.#artifact) throw mismatch();
    return hashed;
  }

  #create(algorithm: string): Hasher | undefined {
    const name = PORT_NAMES.get(algorithm);
    return name === undefined ? undefined : this.#crypto.createHash?.(name);
  }

  /** Names one hash by all that it follows from. Each part has its length before it, so that no two share a name. */
  #nameOf({ algorithm, isText, prefix }: HashWay): string {
    const parts = [DOMAIN, this.#artifact, algorithm, isText ? "text" : "bytes"].map(utf8Encode);
    const named = [...parts, prefix].flatMap((part) => [utf8Encode(`${part.length}:`), part]);
    return toHex(this.#crypto.sha256(concatBytes(...named)));
  }
}

const DOMAIN = "assay artifact hash v1";

/** What a text costs of what its bytes cost as they are: made of nothing but line ends, it is twice as long when it is hashed. */
const TEXT_COST = 2;

/** Bytes of hashing that one way over a document takes. */
function costOf({ isText }: HashWay, size: number): number {
  return isText ? TEXT_COST * size : size;
}

function tooCostly(): ArtifactUnread {
  return new ArtifactUnread(
    "bytes-needed",
    "This signature is over the artifact's bytes, and this request has read as much of artifacts as one may: ask again, or verify it where the artifact is.",
  );
}

const OPENPGP_NAMES = { sha256: "SHA256", sha384: "SHA384", sha512: "SHA512" } as const;

/** The hashes that ports may have, by OpenPGP's names: all that a signature over a document may rest on. */
const PORT_NAMES: ReadonlyMap<string, DocumentHashName> = new Map([
  ["SHA224", "sha224"],
  ["SHA256", "sha256"],
  ["SHA384", "sha384"],
  ["SHA512", "sha512"],
  ["SHA3-256", "sha3-256"],
  ["SHA3-512", "sha3-512"],
]);
