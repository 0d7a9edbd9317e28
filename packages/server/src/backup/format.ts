import { createHash } from "node:crypto";
import { z } from "zod";
import { ServerError } from "../errors.ts";
import { MAX_EVENT_BYTES } from "../record/event.ts";

/**
 * The archive format: a plain tar whose members stand in this order and no other.
 *
 *     manifest.json                  what this is: {@link Manifest}
 *     keys/<purpose>.key.json        the private keys, encrypted under the master key as they lie on disk
 *     events/<n>.jsonl               the events [from, to): {@link EventLine}
 *     redactions/<n>.jsonl           what stands now in the place of events before `from` that were redacted since: {@link RedactionLine}
 *     unrecorded/<table>/<n>.jsonl   counters worth keeping: {@link CounterLine}
 *     closed/<name>/<path>           published files of logs that were closed; in full archives only
 *     blobs/sha256/<hex>             the blobs the record needs and no earlier archive of the chain has
 *     index.json                     what is in this archive and in its chain: {@link Index}
 *
 * The archive's id is the SHA-256 of `index.json`, which names the SHA-256 of everything before it. An archive without it is cut off.
 */
export const FORMAT = "assay-backup/1";

export const MANIFEST = "manifest.json";
export const INDEX = "index.json";

/** Chunks of lines are closed at this size, in bytes: what a reader holds at once. */
export const CHUNK_BYTES = 4 * 1024 * 1024;

/** Bytes a member may have that is read whole. A chunk holds at least one line, an event in base64 takes a third more. */
export const MAX_CHUNK = CHUNK_BYTES + 2 * MAX_EVENT_BYTES;
export const MAX_SMALL = 1024 * 1024;
export const MAX_INDEX = 480 * 1024 * 1024;

const hex = z.string().regex(/^[0-9a-f]{64}$/);
const size = z.int().nonnegative();

const manifestSchema = z.strictObject({
  format: z.literal(FORMAT),
  /** The version of the program that wrote it. */
  program: z.string(),
  /** When, ISO 8601. By the clock of the machine; nothing rests on it. */
  time: z.iso.datetime(),
  origin: z.string(),
  /** The verifier key the checkpoint is signed under. */
  vkey: z.string(),
  /** The events in this archive: [from, to). */
  from: size,
  to: size,
  /** A signed checkpoint over exactly the first `to` entries. */
  checkpoint: z.string(),
  /** The archive this one goes on from. */
  base: z
    .strictObject({
      id: hex,
      checkpoint: z.string(),
      /** The tree's frontier at `from` (log/frontier.ts). */
      frontier: z.array(hex),
    })
    .optional(),
});

export type Manifest = z.output<typeof manifestSchema>;

const indexSchema = z.strictObject({
  format: z.literal(FORMAT),
  to: size,
  checkpoint: z.string(),
  /** The tree's frontier at `to`. */
  frontier: z.array(hex),
  /** The ids of the archives this one stands on, the full one first; none for a full one. */
  archives: z.array(hex),
  /** Name, size and SHA-256 of every member before this one but the blobs, whose names say it. */
  members: z.array(z.tuple([z.string(), size, hex])),
  /** Every blob the record needs at `to`: SHA-256, size, and which archive of the chain has it (`archives.length`: this one). */
  blobs: z.array(z.tuple([hex, size, size])),
});

export type Index = z.output<typeof indexSchema>;

/** An event with its leaf; bytes in base64. */
export interface EventLine {
  readonly sequence: number;
  readonly event: string;
  readonly salt: string;
  readonly commitment: string;
}

/** What stands now in the place of an event. */
export interface RedactionLine {
  readonly sequence: number;
  readonly event: string;
}

/** A row of a table as it stands: text, numbers and nulls. */
const counterLine = z.record(z.string(), z.union([z.string(), z.number(), z.null()]));
export type CounterLine = z.output<typeof counterLine>;

/** The one private key no backup holds: it signs over state that only one database has (record/missing-keys.ts). */
export const UNKEPT_KEY = "witness.key.json";

/** Member names, as the reader takes them. */
export const MEMBER_NAMES = {
  key: /^keys\/([a-z0-9-]{1,64}\.key\.json)$/,
  events: /^events\/\d{6,12}\.jsonl$/,
  redactions: /^redactions\/\d{6,12}\.jsonl$/,
  unrecorded: /^unrecorded\/([a-z0-9_]{1,64})\/\d{6,12}\.jsonl$/,
  closed:
    /^closed\/(record\.closed-[1-9]\d{0,5})\/(checkpoint|newest-checkpoint|witnessed-checkpoint|tile\/(?:entries|\d{1,2})(?:\/x?\d{3}){1,6}(?:\.p\/\d{1,3})?)$/,
  blob: /^blobs\/sha256\/([0-9a-f]{64})$/,
} as const;

/** The name of the n-th chunk in a folder. */
export function chunkName(folder: string, chunk: number): string {
  return `${folder}/${String(chunk).padStart(6, "0")}.jsonl`;
}

/** Lower-case hex SHA-256. */
export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** What is wrong with an archive. */
export function damaged(problem: string, cause?: unknown): ServerError {
  return new ServerError("archive-damaged", problem, {
    ...(cause === undefined ? {} : { cause }),
    hint: "take another copy of this archive, or an older backup; `assay server verify-backup` names everything that is wrong",
  });
}

/**
 * Reads JSON that only {@link jsonBytes} wrote: written again it is the same bytes, so no two texts mean the same.
 *
 * @throws ServerError `archive-damaged`.
 */
function readJson<S extends z.ZodType>(name: string, schema: S, bytes: Uint8Array): z.output<S> {
  let parsed: ReturnType<typeof schema.safeParse>;
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    const value: unknown = JSON.parse(text);
    if (JSON.stringify(value) !== text.replace(/\n$/, ""))
      throw new SyntaxError("it is not written as a backup writes it");
    parsed = schema.safeParse(value);
  } catch (cause) {
    throw damaged(`${name} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`, cause);
  }
  if (!parsed.success) throw damaged(`${name} is not of the format ${FORMAT}: ${z.prettifyError(parsed.error)}`);
  return parsed.data as z.output<S>;
}

export function jsonBytes(value: Manifest | Index): Uint8Array {
  return Buffer.from(`${JSON.stringify(value)}\n`);
}

export const readManifest = (bytes: Uint8Array): Manifest => readJson(MANIFEST, manifestSchema, bytes);
export const readIndex = (bytes: Uint8Array): Index => readJson(INDEX, indexSchema, bytes);
export const readCounterLine = (name: string, line: Uint8Array): CounterLine => readJson(name, counterLine, line);

/** An {@link EventLine} as it is written, and nothing else: there is one spelling of it, and most of an archive is made of them. */
const EVENT_LINE =
  /^\{"sequence":(0|[1-9]\d{0,14}),"event":"([A-Za-z0-9+/]*={0,2})"(?:,"salt":"([A-Za-z0-9+/]*={0,2})","commitment":"([A-Za-z0-9+/]*={0,2})")?\}$/;

/** @throws ServerError `archive-damaged`. */
export function readEventLine(name: string, line: Uint8Array): EventLine {
  const [, sequence, event, salt, commitment] = EVENT_LINE.exec(latin1(line)) ?? [];
  if (sequence === undefined || event === undefined || salt === undefined || commitment === undefined) {
    throw damaged(`${name} has a line that is no event`);
  }
  return { sequence: Number(sequence), event, salt, commitment };
}

/** @throws ServerError `archive-damaged`. */
export function readRedactionLine(name: string, line: Uint8Array): RedactionLine {
  const [, sequence, event, salt] = EVENT_LINE.exec(latin1(line)) ?? [];
  if (sequence === undefined || event === undefined || salt !== undefined) {
    throw damaged(`${name} has a line that is no redaction`);
  }
  return { sequence: Number(sequence), event };
}

function latin1(line: Uint8Array): string {
  return Buffer.from(line.buffer, line.byteOffset, line.length).toString("latin1");
}

/** The lines of a chunk, each without its end. */
export function* linesOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(0x0a, start);
    if (end === -1) {
      yield bytes.subarray(start);
      return;
    }
    yield bytes.subarray(start, end);
    start = end + 1;
  }
}

/** Gathers lines to chunks of about {@link CHUNK_BYTES} and hands each on under its name. */
export class Chunks {
  readonly #folder: string;
  readonly #write: (name: string, bytes: Uint8Array) => Promise<void>;
  #lines: string[] = [];
  #bytes = 0;
  #chunk = 0;

  constructor(folder: string, write: (name: string, bytes: Uint8Array) => Promise<void>) {
    this.#folder = folder;
    this.#write = write;
  }

  async add(line: EventLine | RedactionLine | CounterLine): Promise<void> {
    const text = JSON.stringify(line);
    this.#lines.push(text);
    this.#bytes += text.length + 1;
    if (this.#bytes >= CHUNK_BYTES) await this.flush();
  }

  async flush(): Promise<void> {
    if (this.#lines.length === 0) return;
    const bytes = Buffer.from(`${this.#lines.join("\n")}\n`);
    this.#lines = [];
    this.#bytes = 0;
    await this.#write(chunkName(this.#folder, this.#chunk), bytes);
    this.#chunk += 1;
  }
}
