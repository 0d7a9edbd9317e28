import type { Dirent } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import {
  type Checkpoint,
  cosigners,
  type Crypto,
  equalBytes,
  isQuorum,
  leafHash,
  nodeHash,
  type NoteKey,
  parseNote,
  parseTilePath,
  parseVkey,
  TILE_HEIGHT,
  TILE_WIDTH,
  type TlogPolicy,
  toHex,
  verifyCosignatures,
} from "@assay/evidence";
import type { Reader } from "../storage/database.ts";
import { isMissing } from "../storage/durable.ts";
import { type CompactState, CompactTree } from "./compact-tree.ts";
import type { LogFinding } from "./finding.ts";
import { newestCheckpointPath, openCheckpoint } from "./log.ts";
import type { LogTables } from "./schema.ts";
import { entriesUnder, foldTile, judgeTile, type KnownTile, publishedHashes, REBUILD_TILES } from "./tile-judge.ts";
import { tileLevelSize } from "./tree.ts";

const RESTORE = "the record was altered after it was signed: restore it from a backup";
const PUT_BACK = "put it back from a copy: without it an older copy of the database could not be told from the newest";

/** A note's file as it was at one reading. */
export type NoteFile = { readonly note: string } | { readonly error: string } | undefined;

/** A log's checkpoints as they were at one reading. */
export interface LogNotes {
  /** The newest checkpoint witnesses cosigned; undefined when there is none. */
  readonly witnessed: NoteFile;
  readonly published: NoteFile;
  /** The newest checkpoint ever signed. */
  readonly newest: NoteFile;
}

/** The file of the newest checkpoint that witnesses cosigned: the note with their signature lines. */
export function witnessedCheckpointPath(directory: string): string {
  return join(directory, "witnessed-checkpoint");
}

async function readNote(path: string): Promise<NoteFile> {
  try {
    return { note: await readFile(path, "utf8") };
  } catch (error) {
    if (isMissing(error)) return undefined;
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

/**
 * Reads a log's checkpoints. They are to be read before the database is: a server that goes on meanwhile then has in the database all
 * that they speak of. What follows from what is read first: published only after it was signed, cosigned only after that.
 */
export async function readLogNotes(directory: string): Promise<LogNotes> {
  const witnessed = await readNote(witnessedCheckpointPath(directory));
  const published = await readNote(join(directory, "checkpoint"));
  const newest = await readNote(newestCheckpointPath(directory));
  return { witnessed, published, newest };
}

/** What a log is: fixed at its birth, and repeated in its state. */
export interface LogIdentity {
  readonly origin: string;
  readonly vkey: string;
}

/** A log's row in the database. */
export type LogState = LogTables["log_state"];

export async function readLogState(reader: Reader, name: string): Promise<LogState | undefined> {
  return await reader
    .tables<LogTables>()
    .selectFrom("log_state")
    .selectAll()
    .where("name", "=", name)
    .executeTakeFirst();
}

/** A checkpoint that was read: opened, or why not. */
interface Held {
  readonly what: string;
  readonly action: string;
  readonly file: NoteFile;
  readonly checkpoint: Checkpoint | undefined;
  readonly error: string | undefined;
  /** What is wrong with its other signature lines. */
  readonly others: readonly string[];
}

export interface LogCheckOptions {
  readonly name: string;
  readonly crypto: Crypto;
  /** Where checkpoints and tiles lie. */
  readonly directory: string;
  /** Read before `state`'s moment; see {@link readLogNotes}. */
  readonly notes: LogNotes;
  /** Undefined: its row is gone. */
  readonly state: LogState | undefined;
  /** What the record itself says the log was born as; undefined when that cannot be read. */
  readonly born: LogIdentity | undefined;
  /** A checkpoint that was kept elsewhere: what an operator who rewrote everything here cannot have rewritten. */
  readonly against?: string | undefined;
  /** Who must have cosigned the newest witnessed checkpoint; undefined: cosignatures are not judged. */
  readonly policy?: TlogPolicy | undefined;
  /** How many entries are committed now, whatever was committed at `state`'s moment. */
  readonly committed: () => Promise<number>;
}

/** Entries [0, size) that an earlier check found whole. */
export interface LogResume {
  /** The tree under the last full tile before `size`. */
  readonly tree: CompactState;
  /** The hashes of the tiles under way at `tree`, by level; taken from the published tiles when they are not given. */
  readonly levels?: readonly (readonly Uint8Array[])[] | undefined;
  readonly size: number;
  readonly root: Uint8Array;
}

/**
 * Checks a log while its entries pass by in order: its committed state against them, each checkpoint against the tree it names, every
 * tile and entry bundle against what the entries give. What it holds does not grow with the log: the tree's right edge, and per level
 * the hashes of the tile under way.
 */
export class LogChecker {
  readonly #options: LogCheckOptions;
  readonly #held: Held[];
  readonly #published: number | undefined;
  readonly #tree: CompactTree;
  readonly #resume: LogResume | undefined;
  /** The hashes of the tile under way, by level; the tiles before it are judged. */
  readonly #levels: Uint8Array[][] = [];
  #bundle: Uint8Array[] = [];
  #base: CompactState;
  readonly #ready: KnownTile[] = [];
  /** Roots at the sizes that somebody signed or remembered; undefined until the tree gets there. */
  readonly #roots = new Map<number, Uint8Array | undefined>();
  readonly #beyond = new Map<string, number>();

  private constructor(options: LogCheckOptions, held: Held[], resume: LogResume | undefined, levels: Uint8Array[][]) {
    this.#options = options;
    this.#held = held;
    this.#published = held.find(({ what }) => what === PUBLISHED)?.checkpoint?.size;
    this.#resume = resume;
    this.#tree = new CompactTree(options.crypto, resume?.tree);
    this.#base = this.#tree.state();
    this.#levels = levels;
    for (const { checkpoint } of held) if (checkpoint !== undefined) this.#roots.set(checkpoint.size, undefined);
    if (resume !== undefined) this.#roots.set(resume.size, undefined);
    this.#note();
  }

  /**
   * Opens the check of a log from its first entry, or from where `resume` says that an earlier one had got to.
   *
   * @returns undefined when the published tiles do not continue `resume`: then only a check from the first entry can say why.
   */
  static async open(options: LogCheckOptions, resume?: LogResume): Promise<LogChecker | undefined> {
    const levels = resume === undefined ? [] : await edgeOf(options, resume);
    if (levels === undefined) return undefined;
    return new LogChecker(options, await openNotes(options), resume, levels);
  }

  /** Entries seen so far. */
  get size(): number {
    return this.#tree.size;
  }

  /** What a later check can go on from. */
  resume(): LogResume {
    return { tree: this.#base, size: this.#tree.size, root: this.#tree.root() };
  }

  /** The hashes of the tiles under way, by level. With a full last bundle they belong to {@link resume}. */
  levels(): readonly (readonly Uint8Array[])[] {
    return this.#levels.map((items) => [...items]);
  }

  /** Takes the next entry. Tiles it completes wait for {@link settle}. */
  append(entry: Uint8Array): void {
    const leaf = leafHash(this.#options.crypto, entry);
    this.#bundle.push(entry);
    this.#tree.append(leaf, (height, hash) => {
      if (height % TILE_HEIGHT === 0) this.#push(height / TILE_HEIGHT, hash);
    });
    if (this.#bundle.length === TILE_WIDTH) {
      this.#ready.push({ level: "entries", index: this.#tree.size / TILE_WIDTH - 1, items: this.#bundle });
      this.#bundle = [];
      this.#base = this.#tree.state();
    }
    this.#note();
  }

  #push(level: number, hash: Uint8Array): void {
    const items = (this.#levels[level] ??= []);
    items.push(hash);
    if (items.length < TILE_WIDTH) return;
    const size = this.#tree.size + 1;
    this.#ready.push({ level, index: Math.floor(size / TILE_WIDTH ** (level + 1)) - 1, items });
    this.#levels[level] = [];
  }

  /** Keeps the root when the tree has a size that somebody named. */
  #note(): void {
    if (this.#roots.has(this.#tree.size)) this.#roots.set(this.#tree.size, this.#tree.root());
  }

  /** Holds the files of the tiles that have become complete against the entries. */
  async *settle(): AsyncGenerator<LogFinding> {
    // Tiles of entries the database lacks cannot be judged by it, and may be all that is left of them.
    const { state } = this.#options;
    const judge = state === undefined || (this.#published ?? 0) <= state.size;
    for (const tile of this.#ready.splice(0)) if (judge) yield* this.#judge(tile);
  }

  #judge(tile: KnownTile): AsyncGenerator<LogFinding> {
    return judgeTile(this.#options.directory, tile, this.#published, (path, entries) => {
      this.#beyond.set(path, entries);
    });
  }

  /** After the last entry: the tiles that are not full, the state, the checkpoints, and files that are no tile of this log. */
  async *finish(): AsyncGenerator<LogFinding> {
    yield* this.settle();
    if ((this.#published ?? 0) <= this.size) {
      for (const [level, items] of this.#levels.entries()) {
        if (items.length === 0) continue;
        yield* this.#judge({ level, index: Math.floor(tileLevelSize(this.size, level) / TILE_WIDTH), items });
      }
      if (this.#bundle.length > 0) {
        const index = Math.floor(this.size / TILE_WIDTH);
        yield* this.#judge({ level: "entries", index, items: this.#bundle });
      }
      yield* this.#strays();
    }
    yield* this.#state();
    for (const held of this.#held) yield* this.#checkpoint(held);
    const signed = this.#held.find(({ what }) => what === NEWEST)?.checkpoint?.size;
    if (signed !== undefined && this.#published !== undefined && signed < this.#published) {
      yield {
        kind: "checkpoint",
        where: NEWEST,
        problem: `it is over ${signed} entries, but a checkpoint over ${this.#published} is published: it is an older copy`,
        action: PUT_BACK,
      };
    }
  }

  *#state(): Generator<LogFinding> {
    const { state, born, name } = this.#options;
    const found = (problem: string): LogFinding => ({
      kind: "log",
      where: `log_state ${name}`,
      problem,
      action: RESTORE,
    });
    if (state === undefined) {
      yield found("the log's state is missing");
      return;
    }
    if (born !== undefined) {
      for (const column of ["origin", "vkey"] as const) {
        if (state[column] !== born[column]) {
          yield found(`column ${column} says ${state[column]}, the log was born with ${born[column]}`);
        }
      }
    }
    if (!Number.isSafeInteger(state.epoch) || state.epoch < 0) yield found("column epoch is no count");
    if (this.size !== state.size) {
      yield found(`the log's state says ${state.size} entries, the database holds ${this.size}`);
    } else if (!(state.root instanceof Uint8Array) || !equalBytes(this.#tree.root(), state.root)) {
      yield found(`the entries have the root ${toHex(this.#tree.root())}, the log committed to ${hexOf(state.root)}`);
    }
    const resume = this.#resume;
    const root = resume === undefined ? undefined : this.#roots.get(resume.size);
    if (resume !== undefined && (root === undefined || !equalBytes(root, resume.root))) {
      yield found(`the first ${resume.size} entries are not those that the last check found whole`);
    }
  }

  *#checkpoint({ what: where, file, checkpoint, error, action, others }: Held): Generator<LogFinding> {
    const found = (problem: string, then: string): LogFinding => ({
      kind: "checkpoint",
      where,
      problem,
      action: then,
    });
    if (file === undefined) {
      if (where !== WITNESSED && this.size !== 0) yield found("it is missing", action);
      return;
    }
    if (checkpoint === undefined) {
      yield found(error ?? "it cannot be read", action);
      return;
    }
    const { size } = checkpoint;
    const root = this.#roots.get(size);
    if (size > this.size) {
      yield found(`it was signed over ${size} entries, the database has ${this.size}: entries are missing`, RESTORE);
    } else if (root === undefined) {
      // Only entries after an earlier check have passed by; those under this checkpoint had then.
      if (this.#resume === undefined || size >= this.#resume.tree.size) yield found("its root is not known", RESTORE);
    } else if (!equalBytes(root, checkpoint.root)) {
      yield found(`it was signed over another history of the first ${size} entries`, RESTORE);
    }
    for (const line of others) yield found(line, action);
  }

  /** Files among the tiles that are none, or that speak of entries which are not there. */
  async *#strays(): AsyncGenerator<LogFinding> {
    const { directory } = this.#options;
    if (this.#resume === undefined) {
      for await (const path of files(join(directory, "tile"))) {
        const name = relative(directory, path).split(sep).join("/");
        try {
          const { level, index, width } = parseTilePath(name);
          if (index * TILE_WIDTH >= tileLevelSize(this.size, level === "entries" ? 0 : level)) {
            this.#beyond.set(name, entriesUnder(level, index, width));
          }
        } catch {
          yield { kind: "tile", where: name, problem: "it is no tile of this log", action: "remove it" };
        }
      }
    }
    if (this.#beyond.size === 0) return;
    // Asked after the files were seen: a server that goes on publishes only what it has committed.
    const committed = await this.#options.committed();
    for (const [path, entries] of this.#beyond) {
      if (entries <= committed) continue;
      yield {
        kind: "tile",
        where: path,
        problem: `it speaks of ${entries} entries, the database has ${committed}`,
        action: REBUILD_TILES,
      };
    }
  }
}

const PUBLISHED = "published checkpoint";
const NEWEST = "newest signed checkpoint";
const WITNESSED = "witnessed checkpoint";
const AGAINST = "checkpoint it was held against";

function hexOf(value: unknown): string {
  return value instanceof Uint8Array ? toHex(value) : String(value);
}

/** Opens every checkpoint under the log's key. */
async function openNotes(options: LogCheckOptions): Promise<Held[]> {
  const { notes, crypto, against } = options;
  const identity = options.born ?? options.state;
  const named: [what: string, file: NoteFile, action: string][] = [
    [PUBLISHED, notes.published, REBUILD_TILES],
    [NEWEST, notes.newest, PUT_BACK],
    [WITNESSED, notes.witnessed, "put it back from a copy, or remove it: it is asked for again at the next checkpoint"],
  ];
  if (against !== undefined) named.push([AGAINST, { note: against }, "keep a whole copy of a checkpoint"]);
  const held: Held[] = [];
  for (const [what, file, action] of named) {
    const one = { what, file, action, checkpoint: undefined, error: undefined, others: [] };
    if (file === undefined) held.push(one);
    else if ("error" in file) held.push({ ...one, error: `it cannot be read: ${file.error}` });
    else {
      try {
        if (identity === undefined) throw new Error("nothing says what the log's key is");
        const key = parseVkey(identity.vkey);
        const checkpoint = await openCheckpoint(crypto, file.note, key, identity.origin);
        const policy = what === WITNESSED ? options.policy : undefined;
        const others = what === AGAINST ? [] : await judgeOthers(crypto, file.note, key, what === WITNESSED, policy);
        held.push({ ...one, checkpoint, others });
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        held.push({ ...one, error: `it does not verify under the log's key: ${why}` });
      }
    }
  }
  return held;
}

/**
 * What is wrong with the signature lines of a checkpoint that are not the log's own.
 *
 * @param cosigned whether witnesses' lines belong there; judged only with the policy that names their keys.
 */
async function judgeOthers(
  crypto: Crypto,
  note: string,
  log: NoteKey,
  cosigned: boolean,
  policy: TlogPolicy | undefined,
): Promise<string[]> {
  if (cosigned && policy === undefined) return [];
  const keys = policy?.witnesses.map(({ key }) => key) ?? [];
  const strangers = parseNote(note).signatures.filter(
    (line) => ![log, ...keys].some(({ name, keyHash }) => line.name === name && equalBytes(line.keyHash, keyHash)),
  );
  const found = strangers.map(
    ({ name }) => `it carries a line under a name or key that does not belong there: ${name}`,
  );
  if (policy === undefined) return found;
  try {
    const cosignatures = await verifyCosignatures(crypto, note, keys);
    if (!isQuorum(policy, cosigners(policy, cosignatures)))
      found.push("no quorum of the configured witnesses cosigned it");
  } catch (error) {
    found.push(error instanceof Error ? error.message : String(error));
  }
  return found;
}

/**
 * The hashes of the tiles under way in a tree of full bundles, by level, which must give the tree's own subtrees. Undefined when they
 * do not.
 */
async function edgeOf(
  options: LogCheckOptions,
  { tree, levels: known }: LogResume,
): Promise<Uint8Array[][] | undefined> {
  const { directory, crypto } = options;
  if (tree.size % TILE_WIDTH !== 0) return undefined;
  const levels: Uint8Array[][] = [[]];
  const given: Uint8Array[] = [];
  for (let level = 1; tileLevelSize(tree.size, level) > 0; level += 1) {
    const size = tileLevelSize(tree.size, level);
    const width = size % TILE_WIDTH;
    const hashes =
      known === undefined && width > 0
        ? await publishedHashes(directory, level, Math.floor(size / TILE_WIDTH), width)
        : [...(known?.[level] ?? [])];
    if (hashes?.length !== width) return undefined;
    levels.push(hashes);
    given.unshift(...foldTile(hashes, (left, right) => nodeHash(crypto, left, right)));
  }
  const same =
    given.length === tree.peaks.length &&
    given.every((hash, at) => {
      const peak = tree.peaks[at];
      return peak !== undefined && equalBytes(hash, peak);
    });
  return same ? levels : undefined;
}

async function* files(directory: string): AsyncGenerator<string> {
  let names: Dirent[];
  try {
    names = await readdir(directory, { withFileTypes: true });
  } catch (error) {
    if (isMissing(error)) return;
    throw error;
  }
  for (const entry of names) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) yield* files(path);
    else if (!entry.name.endsWith(".tmp")) yield path;
  }
}
