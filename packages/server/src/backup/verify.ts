import { createHash } from "node:crypto";
import { type Checkpoint, equalBytes, leafHash, parseVkey, recordCommitment, SALT_SIZE, toHex } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { ServerError } from "../errors.ts";
import { CompactTree } from "../log/compact-tree.ts";
import { openCheckpoint } from "../log/log.ts";
import type { StoredEvent } from "../record/check-events.ts";
import { RedactionChecker } from "../record/check-redactions.ts";
import { decodeEnvelope } from "../record/event.ts";
import { EVENTS_REDACTED } from "../record/redaction.ts";
import { archiveName } from "./backup.ts";
import type { DecryptionChoice } from "./encryption.ts";
import {
  chunkName,
  type CounterLine,
  damaged,
  INDEX,
  type Index,
  linesOf,
  MANIFEST,
  type Manifest,
  MAX_CHUNK,
  MAX_INDEX,
  MAX_SMALL,
  MEMBER_NAMES,
  readCounterLine,
  readEventLine,
  readIndex,
  readManifest,
  readRedactionLine,
  sha256,
  UNKEPT_KEY,
} from "./format.ts";
import { archiveBytes } from "./open-archive.ts";
import { Progress } from "./progress.ts";
import { readTar, type TarMember, wholeMember } from "./tar-reader.ts";

/** Something wrong with an archive. */
export interface ArchiveFinding {
  readonly archive: string;
  /** Names the thing: a member, an event, a blob. */
  readonly where: string;
  readonly problem: string;
}

/** An event as it comes out of an archive. */
export type ArchivedEvent = StoredEvent & { readonly salt: Uint8Array; readonly commitment: Uint8Array };

/** What becomes of an archive's contents. Everything handed over has been held against what proves it, but the order of findings. */
export interface ArchiveSink {
  manifest(manifest: Manifest, last: boolean): Promise<void>;
  /** The key files, once all of an archive are there. */
  keys(files: ReadonlyMap<string, Uint8Array>, last: boolean): Promise<void>;
  events(events: readonly ArchivedEvent[]): Promise<void>;
  /** Bytes that stand now in the place of events that were handed over before. */
  replaced(events: readonly { readonly sequence: number; readonly bytes: Uint8Array }[]): Promise<void>;
  /** Rows of a counter's table; those of the last archive are the ones that count. */
  counters(table: string, rows: readonly CounterLine[], last: boolean): Promise<void>;
  /** A published file of a closed log. */
  closed(log: string, path: string, bytes: Uint8Array): Promise<void>;
  /** A blob; reading `content` to its end fails when the bytes do not have the digest. */
  blob(hex: string, size: number, content: AsyncIterable<Uint8Array>): Promise<void>;
}

/** What a chain of archives is held against. */
export interface ChainOptions {
  readonly archives: readonly string[];
  readonly decryption: DecryptionChoice;
  /** The verifier key that must have signed. Without it an archive vouches for itself. */
  readonly vkey?: string | undefined;
  /** A checkpoint note kept elsewhere, which the record must continue. */
  readonly against?: string | undefined;
  readonly sink?: ArchiveSink | undefined;
  /** What it is read for, in the progress that is told. */
  readonly work?: "verify" | "restore";
  readonly tell: (line: string) => void;
  /** Hears of everything that is wrong; may throw to end it. */
  readonly found: (finding: ArchiveFinding) => void;
}

/** What a chain of archives holds. */
export interface Chain {
  readonly origin: string;
  readonly vkey: string;
  readonly size: number;
  readonly root: Uint8Array;
  readonly checkpoint: string;
  /** The id of the last archive. */
  readonly id: string;
  readonly time: string;
  readonly blobs: number;
  readonly bytes: number;
}

/** Kinds of member in the order they stand in. */
const ORDER = ["keys", "events", "redactions", "unrecorded", "closed", "blobs", "index"] as const;

const KEPT = "checkpoint it was held against";

function isDamage(error: unknown): error is Error {
  return error instanceof ServerError && error.code === "archive-damaged";
}

/**
 * Reads a chain of archives, the full one first, each once and as a stream, and holds everything in it against what proves it: members
 * against the index, events against salts and commitments, the organisations' chains, the tree's root against the signed checkpoint,
 * redactions, blobs against their digests, and each archive against the one before it. What it holds in memory are 32 bytes a blob and
 * the newest event of each organisation.
 *
 * @returns undefined when it could not be read to its end; then something was found.
 * @throws ServerError `archive-locked`, `config-invalid` (no such file).
 */
export async function readChain(options: ChainOptions): Promise<Chain | undefined> {
  const chain = new ChainReader(options);
  for (const [index, archive] of options.archives.entries()) {
    const name = archiveName(archive);
    try {
      await chain.read(name, archiveBytes(archive, options.decryption), index === options.archives.length - 1);
    } catch (error) {
      if (!isDamage(error)) throw error;
      // What comes after it cannot be judged: it stands on this one.
      options.found({ archive: name, where: "archive", problem: error.message });
      return undefined;
    }
  }
  return await chain.end();
}

class ChainReader {
  readonly #options: ChainOptions;
  readonly #progress: Progress;
  readonly #tree = new CompactTree(nodeCrypto);
  readonly #redactions = new RedactionChecker();
  /** Newest event of each organisation: its own sequence and its commitment in hex. */
  readonly #heads = new Map<string, { orgSequence: number; commitment: string }>();
  /** Which archive a blob was seen in. */
  readonly #blobs = new Map<string, { archive: number; size: number }>();
  readonly #ids: string[] = [];
  /** The checkpoint kept elsewhere, once it has been opened, and the tree's root at its size. */
  #against: { readonly checkpoint: Checkpoint; root: Uint8Array | undefined } | undefined;
  #time = 0;
  #bytes = 0;
  #name = "";
  /** The checkpoint of the archive at hand, if it holds. */
  #checkpoint: Checkpoint | undefined;
  /** The blob before, in this archive. */
  #blob = "";
  #last: { manifest: Manifest; index: Index } | undefined;

  constructor(options: ChainOptions) {
    this.#options = options;
    this.#progress = new Progress(options.work ?? "verify", options.tell);
  }

  async read(name: string, source: AsyncIterable<Uint8Array>, last: boolean): Promise<void> {
    this.#name = name;
    this.#blob = "";
    const { sink } = this.#options;
    const members: Index["members"] = [];
    const keys = new Map<string, Uint8Array>();
    const own = this.#ids.length;
    let manifest: Manifest | undefined;
    let keysTold = false;
    let index: { index: Index; id: string } | undefined;
    let phase = 0;
    const chunks = new Map<string, number>();
    for await (const member of readTar(this.#counted(source))) {
      if (index !== undefined) throw damaged(`${member.name} comes after the index`);
      if (manifest === undefined) {
        if (member.name !== MANIFEST)
          throw damaged(`it begins with ${member.name}, not with ${MANIFEST}: it is no backup`);
        const bytes = await wholeMember(member, MAX_SMALL);
        members.push([member.name, member.size, sha256(bytes)]);
        manifest = readManifest(bytes);
        await this.#begin(manifest);
        await sink?.manifest(manifest, last);
        continue;
      }
      const kind = member.name === INDEX ? "index" : member.name.split("/", 1)[0];
      const at = ORDER.findIndex((known) => known === kind);
      if (at < phase) throw damaged(`${member.name} does not belong there`);
      phase = at;
      if (phase > 0 && !keysTold) {
        keysTold = true;
        await sink?.keys(keys, last);
      }
      if (kind === "index") {
        const bytes = await wholeMember(member, MAX_INDEX);
        index = { index: readIndex(bytes), id: sha256(bytes) };
        continue;
      }
      const blob = MEMBER_NAMES.blob.exec(member.name)?.[1];
      if (blob !== undefined) {
        await this.#readBlob(member, blob, own);
        continue;
      }
      const bytes = await wholeMember(member, kind === "keys" ? MAX_SMALL : MAX_CHUNK);
      members.push([member.name, member.size, sha256(bytes)]);
      const key = MEMBER_NAMES.key.exec(member.name)?.[1];
      if (key !== undefined) {
        if (key === UNKEPT_KEY) throw damaged(`${member.name} is in no backup`);
        if (keys.has(key) || keys.size >= 64) throw damaged(`${member.name} is there twice`);
        keys.set(key, bytes);
        continue;
      }
      const [, log, path] = MEMBER_NAMES.closed.exec(member.name) ?? [];
      if (log !== undefined && path !== undefined) {
        await sink?.closed(log, path, bytes);
        continue;
      }
      const folder = member.name.slice(0, member.name.lastIndexOf("/"));
      const chunk = chunks.get(folder) ?? 0;
      if (member.name !== chunkName(folder, chunk)) throw damaged(`${member.name} does not belong there`);
      chunks.set(folder, chunk + 1);
      if (MEMBER_NAMES.events.test(member.name)) await this.#events(member.name, bytes, manifest);
      else if (MEMBER_NAMES.redactions.test(member.name)) await this.#replaced(member.name, bytes, manifest);
      else await this.#counters(member.name, bytes, last);
    }
    if (manifest === undefined || index === undefined) {
      throw damaged("it has no index at its end: the archive was cut off");
    }
    if (!keysTold) await sink?.keys(keys, last);
    this.#end(manifest, index.index, members, own);
    this.#ids.push(index.id);
    this.#last = { manifest, index: index.index };
  }

  /** After the last archive. */
  async end(): Promise<Chain | undefined> {
    if (this.#last === undefined) return undefined;
    const { manifest, index } = this.#last;
    for await (const { where, problem } of this.#redactions.finish(0, () => Promise.resolve(undefined))) {
      this.#found(where, problem);
    }
    // Blobs are taken from whichever archive has them; the newest index says what the record needs.
    for (const [hex, size, archive] of index.blobs) {
      const seen = this.#blobs.get(hex);
      if (seen === undefined) {
        this.#found(`blob sha256:${hex}`, "the record needs it, and no archive of the chain has it");
      } else if (seen.archive !== archive || seen.size !== size) {
        this.#found(`blob sha256:${hex}`, "the index says something else of it than what is there");
      }
    }
    if (this.#against !== undefined) {
      const { checkpoint, root } = this.#against;
      if (root === undefined) {
        this.#found(
          KEPT,
          `it is over ${checkpoint.size} entries, and the archives have ${this.#tree.size}: they are older`,
        );
      } else if (!equalBytes(root, checkpoint.root)) {
        this.#found(KEPT, `it was signed over another history of the first ${checkpoint.size} entries`);
      }
    }
    this.#progress.end();
    return {
      origin: manifest.origin,
      vkey: manifest.vkey,
      size: this.#tree.size,
      root: this.#tree.root(),
      checkpoint: manifest.checkpoint,
      id: this.#ids.at(-1) ?? "",
      time: manifest.time,
      blobs: index.blobs.length,
      bytes: this.#bytes,
    };
  }

  #found(where: string, problem: string): void {
    this.#options.found({ archive: this.#name, where, problem });
  }

  async *#counted(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const piece of source) {
      this.#bytes += piece.length;
      yield piece;
    }
  }

  /** The manifest against the archives before. A break in the chain ends the reading: nothing after it means anything. */
  async #begin(manifest: Manifest): Promise<void> {
    const before = this.#last;
    const { base, vkey } = manifest;
    if (this.#options.vkey !== undefined && this.#options.vkey !== vkey) {
      throw damaged(`it is of the log ${vkey}, not of ${this.#options.vkey}`);
    }
    if (before === undefined) {
      if (base !== undefined || manifest.from !== 0) {
        throw damaged(`it goes on from the archive ${base?.id ?? "of another chain"}, which was not given before it`);
      }
    } else if (base === undefined) {
      throw damaged("it is a full archive: it stands on none of those given before it");
    } else if (base.id !== this.#ids.at(-1)) {
      throw damaged(`it goes on from the archive ${base.id}, and the one before it is ${this.#ids.at(-1)}`);
    } else if (
      manifest.origin !== before.manifest.origin ||
      vkey !== before.manifest.vkey ||
      manifest.from !== before.index.to ||
      base.checkpoint !== before.index.checkpoint ||
      base.frontier.join() !== before.index.frontier.join()
    ) {
      throw damaged("it says something else of the archive it goes on from than that one says");
    }
    if (manifest.to < manifest.from) throw damaged("it ends before it begins");
    this.#checkpoint = undefined;
    try {
      const checkpoint = await this.#open(manifest.checkpoint, manifest);
      if (checkpoint.size !== manifest.to) throw new Error(`it is over ${checkpoint.size} entries, not ${manifest.to}`);
      this.#checkpoint = checkpoint;
    } catch (error) {
      this.#found("checkpoint", `it does not hold: ${error instanceof Error ? error.message : String(error)}`);
    }
    const { against } = this.#options;
    if (against !== undefined && before === undefined) {
      try {
        this.#against = { checkpoint: await this.#open(against, manifest), root: undefined };
        this.#noteRoot();
      } catch (error) {
        this.#found(KEPT, `it is not of this log: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }

  async #open(note: string, manifest: Manifest): Promise<Checkpoint> {
    return await openCheckpoint(nodeCrypto, note, parseVkey(manifest.vkey), manifest.origin);
  }

  async #events(name: string, bytes: Uint8Array, manifest: Manifest): Promise<void> {
    const events: ArchivedEvent[] = [];
    for (const line of linesOf(bytes)) {
      const { sequence, event, salt, commitment } = readEventLine(name, line);
      if (sequence !== this.#tree.size || sequence >= manifest.to) {
        throw damaged(`${name} has event ${sequence} where event ${this.#tree.size} belongs`);
      }
      events.push(this.#event(sequence, base64(name, event), base64(name, salt), base64(name, commitment)));
    }
    await this.#options.sink?.events(events);
  }

  /** One event: what the record's own check asks of it (record/check-events.ts), without a database to look things up in. */
  #event(sequence: number, bytes: Uint8Array, salt: Uint8Array, commitment: Uint8Array): ArchivedEvent {
    const found = (problem: string): void => this.#found(`event ${sequence}`, problem);
    if (commitment.length !== 32) throw damaged(`the commitment of event ${sequence} is damaged`);
    if (salt.length === 0) this.#redactions.replaced(sequence, sha256(bytes));
    else if (salt.length !== SALT_SIZE || !equalBytes(recordCommitment(nodeCrypto, salt, bytes), commitment)) {
      found("its bytes, salt and commitment do not belong together: one of them was altered");
    }
    this.#tree.append(leafHash(nodeCrypto, commitment));
    this.#noteRoot();
    let envelope: ReturnType<typeof decodeEnvelope>;
    try {
      envelope = decodeEnvelope(bytes);
    } catch (error) {
      throw damaged(`event ${sequence}: ${error instanceof Error ? error.message : String(error)}`, error);
    }
    if (envelope.time < this.#time) found("its time is before the previous event's");
    this.#time = Math.max(this.#time, envelope.time);
    const head = this.#heads.get(envelope.org);
    if (envelope.orgSeq !== (head?.orgSequence ?? -1) + 1 || envelope.prev !== (head?.commitment ?? null)) {
      found(`it does not continue the chain of ${envelope.org}: an event before it was left out or altered`);
    }
    this.#heads.set(envelope.org, { orgSequence: envelope.orgSeq, commitment: toHex(commitment) });
    if (envelope.type === EVENTS_REDACTED) {
      for (const { where, problem } of this.#redactions.take(sequence, envelope.body)) this.#found(where, problem);
    }
    this.#progress.event(bytes.length);
    const { org, orgSeq: orgSequence, type, v: version, actor, time } = envelope;
    return { sequence, org, orgSequence, type, version, actor, time, bytes, salt, commitment };
  }

  async #replaced(name: string, bytes: Uint8Array, manifest: Manifest): Promise<void> {
    const events: { sequence: number; bytes: Uint8Array }[] = [];
    for (const line of linesOf(bytes)) {
      const { sequence, event } = readRedactionLine(name, line);
      if (sequence >= manifest.from) throw damaged(`${name} replaces event ${sequence}, which this archive has itself`);
      const replacement = base64(name, event);
      // Whether it is what a redaction left is known once all of them have been read.
      this.#redactions.replaced(sequence, sha256(replacement));
      events.push({ sequence, bytes: replacement });
    }
    await this.#options.sink?.replaced(events);
  }

  async #counters(name: string, bytes: Uint8Array, last: boolean): Promise<void> {
    const table = MEMBER_NAMES.unrecorded.exec(name)?.[1];
    if (table === undefined) throw damaged(`${name.slice(0, 200)} does not belong there`);
    const rows = [...linesOf(bytes)].map((line) => readCounterLine(name, line));
    await this.#options.sink?.counters(table, rows, last);
  }

  async #readBlob(member: TarMember, hex: string, own: number): Promise<void> {
    // In the order of their digests: none is there twice.
    if (this.#blob !== "" && hex <= this.#blob) throw damaged(`${member.name} does not belong there`);
    this.#blob = hex;
    this.#blobs.set(hex, { archive: own, size: member.size });
    const hash = createHash("sha256");
    const hashed = async function* (this: ChainReader): AsyncGenerator<Uint8Array> {
      for await (const piece of member.content) {
        hash.update(piece);
        this.#progress.bytes(piece.length);
        yield piece;
      }
      if (hash.digest("hex") !== hex)
        this.#found(`blob sha256:${hex}`, "its bytes do not have this digest: it was altered");
    }.bind(this)();
    const { sink } = this.#options;
    await (sink === undefined ? drain(hashed) : sink.blob(hex, member.size, hashed));
    this.#progress.blob();
  }

  /** The index against everything that came before it. */
  #end(manifest: Manifest, index: Index, members: Index["members"], own: number): void {
    if (this.#tree.size !== manifest.to) {
      throw damaged(`it has the events up to ${this.#tree.size}, and says up to ${manifest.to}`);
    }
    // One that does not hold was found when it was opened.
    if (this.#checkpoint !== undefined && !equalBytes(this.#checkpoint.root, this.#tree.root())) {
      this.#found("events", `their root ${toHex(this.#tree.root())} is not the one the checkpoint was signed over`);
    }
    const says = (what: string): void => this.#found(INDEX, `it says something else of ${what} than what is there`);
    if (index.to !== manifest.to || index.checkpoint !== manifest.checkpoint) says("the checkpoint");
    if (index.frontier.join() !== this.#tree.state().peaks.map(toHex).join()) says("the tree");
    if (index.archives.join() !== this.#ids.join()) says("the archives it stands on");
    for (let at = 0; at < Math.max(members.length, index.members.length); at += 1) {
      const [there, said] = [members[at], index.members[at]];
      if (there?.join() !== said?.join()) {
        this.#found(
          there?.[0] ?? said?.[0] ?? INDEX,
          "it is not the member that the index names there: one of them was altered",
        );
      }
    }
    const listed = new Set(index.blobs.filter(([, , archive]) => archive === own).map(([hex]) => hex));
    if (listed.size !== index.blobs.filter(([, , archive]) => archive === own).length) says("the blobs");
    for (const [hex, { archive }] of this.#blobs) {
      if (archive === own && !listed.has(hex))
        this.#found(`blob sha256:${hex}`, "it is there, but the index does not list it");
    }
    for (const hex of listed) {
      if (this.#blobs.get(hex)?.archive !== own) {
        this.#found(`blob sha256:${hex}`, "the index lists it in this archive, but it is not there");
      }
    }
  }

  /** Remembers the tree's root where the checkpoint it is held against was signed. */
  #noteRoot(): void {
    if (this.#against?.checkpoint.size === this.#tree.size) this.#against.root = this.#tree.root();
  }
}

async function drain(source: AsyncIterator<Uint8Array>): Promise<void> {
  while ((await source.next()).done !== true);
}

/** Bytes of base64 in its one canonical spelling. @throws ServerError `archive-damaged`. */
function base64(name: string, text: string): Uint8Array {
  const bytes = Buffer.from(text, "base64");
  if (bytes.toString("base64") !== text) throw damaged(`${name} holds damaged base64`);
  return new Uint8Array(bytes);
}
