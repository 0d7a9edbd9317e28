import { type Crypto, fromHex, isDigest, toHex } from "@assay/evidence";
import { LogChecker, type LogResume, readLogNotes, readLogState } from "../log/check.ts";
import { CompactTree } from "../log/compact-tree.ts";
import { publishedEntry } from "../log/tile-judge.ts";
import { bornLog } from "../record/born-log.ts";
import { EventChecker, storedEvents } from "../record/check-events.ts";
import type { Finding } from "../record/finding.ts";
import { RECORD_LOG, recordLogDirectory } from "../record/open.ts";
import type { BlobStore } from "../storage/blobs.ts";
import { judgeBlob } from "../storage/check-blobs.ts";
import type { Reader } from "../storage/database.ts";
import {
  decodeTree,
  encodeTree,
  type Recalled,
  recallScrub,
  REMEMBERED_FINDINGS,
  rememberScrub,
  type ScrubMemory,
  withPass,
} from "./memory.ts";
import { Pace } from "./pace.ts";
import { datedFindings, thingOf } from "./since.ts";

/** Events looked at between two places the scrub could go on from: 16 full tiles. */
const EVENTS = 4_096;

/** Events read at once: few, since the process does nothing else while it takes an answer of the database apart. */
const EVENTS_READ = 64;

/** A blob is read in requests of this many bytes, so that waiting holds no file and no connection. */
const PIECE = 4 * 1024 * 1024;

/** What the place is kept after, ms: a process that is killed repeats no more than this. */
const KEEP_MS = 10_000;

/** Bytes a blob counts for besides its own: a file to open, in S3 two requests. */
const BLOB_BYTES = 16 * 1024;

/** Bytes an event counts for besides its own: its row and its leaf. */
const ROW_BYTES = 200;

type Round = NonNullable<ScrubMemory["round"]>;

/** What the scrub works with. */
export interface ScrubOptions {
  readonly dataDirectory: string;
  /** Each question is its own: no moment of the database is held. */
  readonly reader: Reader;
  readonly blobs: BlobStore;
  readonly crypto: Crypto;
  /** Bytes per second. */
  readonly rate: number;
  /** How long after the end of a round the next one begins, ms. */
  readonly restMs: number;
  /** Whether the process is answering somebody at this moment: then the scrub takes less of it. */
  readonly othersServed?: () => boolean;
  readonly log: {
    error(detail: object, message: string): void;
    warn(detail: object, message: string): void;
    info(detail: object, message: string): void;
  };
  /** Hears of bytes looked at. */
  readonly scrubbed: (bytes: number) => void;
}

/** A turn of the scrub: how long it lasts, and what it hears from who runs it. */
export interface ScrubTurn {
  readonly ms: number;
  readonly signal: AbortSignal;
  /** Called now and then while it goes on. */
  readonly renew: () => Promise<void>;
}

const NOTHING: ScrubMemory = { round: null, passes: [], findings: [] };

/**
 * Goes round and round over what is stored while the server runs, slowly: events against leaves, chains and tree, tiles, checkpoints,
 * then blobs. Tables, keys and blobs that are gone are left to `assay server check`.
 *
 * It reads a few rows or a piece of a blob at a time, waits in between, and writes nothing but what it remembers in `checks/`. Where it is
 * in a round survives a restart.
 */
export class Scrub {
  readonly #options: ScrubOptions;

  constructor(options: ScrubOptions) {
    this.#options = options;
  }

  /** Goes on for one turn, and remembers where it got to. */
  async turn(turn: ScrubTurn): Promise<void> {
    const { dataDirectory, rate, restMs, othersServed } = this.#options;
    const recalled: Recalled<ScrubMemory> = await recallScrub(dataDirectory);
    if (recalled.kind === "damaged") {
      this.#options.log.warn({ problem: recalled.problem }, "what the scrub remembered is damaged: it begins anew");
    }
    const memory = recalled.kind === "there" ? recalled.memory : NOTHING;
    const rested = Date.now() - (memory.passes.at(-1)?.finished ?? 0) >= restMs;
    if (memory.round === null && !rested) return;
    const state = new TurnState(this.#options, memory, turn, new Pace(rate, turn.signal, othersServed));
    try {
      while (!state.over) {
        if (state.round.phase === "record") await this.#record(state);
        else await this.#blobs(state);
      }
    } finally {
      await state.keep();
    }
  }

  /** Events, leaves, chains, tiles and checkpoints from where the round is. */
  async #record(state: TurnState): Promise<void> {
    const { dataDirectory, reader, crypto } = this.#options;
    const directory = recordLogDirectory(dataDirectory);
    // As for every check: the checkpoints first, so that the database has all that they speak of.
    const notes = await readLogNotes(directory);
    const row = await readLogState(reader, RECORD_LOG);
    const { record } = state.round;
    const size = row?.size ?? 0;
    const options = {
      name: RECORD_LOG,
      crypto,
      directory,
      notes,
      state: row,
      born: await bornLog(reader),
      committed: async () => (await readLogState(reader, RECORD_LOG))?.size ?? 0,
    };
    const tree = decodeTree(record.tree);
    const resume: LogResume = {
      tree,
      levels: record.levels.map((items) => items.map((item) => fromHex(item))),
      size: tree.size,
      root: new CompactTree(crypto, tree).root(),
    };
    const log = tree.size > size ? undefined : await LogChecker.open(options, tree.size === 0 ? undefined : resume);
    if (log === undefined) {
      // Another record than the one the round began with: an older copy was put back.
      state.begin();
      return;
    }
    const events = new EventChecker({
      crypto,
      reader,
      published: (sequence) => publishedEntry(directory, crypto, sequence),
      before: {
        next: record.next,
        time: record.time,
        redactions: { replaced: record.replaced, named: record.named },
      },
    });
    // False once the entry of a missing event is known from nowhere: the tree cannot go on without it.
    let grows = true;
    for (let from = record.next; !state.over; ) {
      const to = Math.min(size, from + EVENTS);
      for await (const event of storedEvents(reader, from, to, EVENTS_READ)) {
        const checked = await events.check(event);
        state.found(...checked.findings);
        for (const entry of checked.entries) {
          if (entry === undefined) grows = false;
          else if (grows) log.append(entry);
        }
        await state.took(event.bytes.length + ROW_BYTES);
        if (state.stopped) return;
      }
      for await (const finding of events.strayLeaves(from, to)) state.found(finding);
      if (grows) for await (const finding of log.settle()) state.found(finding);
      from = to;
      if (to === size) {
        for await (const finding of events.finishRedactions()) state.found(finding);
        if (grows) for await (const finding of log.finish()) state.found(finding);
        state.round = { ...state.round, phase: "blobs", size };
        return;
      }
      // With an event missing at the end of these the next ones must say so first.
      if (!grows || events.size !== to || log.size !== to) continue;
      const { next, time, redactions } = events.state();
      state.round = {
        ...state.round,
        record: {
          next,
          time,
          tree: encodeTree(log.resume().tree),
          levels: log.levels().map((items) => items.map((item) => toHex(item))),
          replaced: redactions.replaced.map(([sequence, digest]) => [sequence, digest]),
          named: redactions.named.map(([sequence, by, digest]) => [sequence, by, digest]),
        },
      };
      await state.keepNowAndThen();
    }
    // There is no place to go on from: the rest of this record is for `assay server check`.
    if (!grows) state.round = { ...state.round, phase: "blobs", size };
  }

  /** Blobs from where the round is; the round ends with the last. */
  async #blobs(state: TurnState): Promise<void> {
    const { blobs } = this.#options;
    const { after } = state.round;
    if (state.over) return;
    for await (const digest of blobs.list(after !== null && isDigest(after) ? after : undefined)) {
      const judged = await judgeBlob(
        blobs,
        digest,
        async (bytes) => {
          await state.took(bytes);
          if (state.stopped) throw new Stopped();
        },
        PIECE,
      ).catch((error: unknown) => {
        if (error instanceof Stopped) return error;
        throw error;
      });
      if (state.stopped || judged instanceof Stopped) return;
      await state.took(BLOB_BYTES);
      // Gone since it was listed: nothing names it any more.
      if (judged !== undefined && judged !== "gone") state.found(judged);
      state.round = { ...state.round, after: digest };
      await state.keepNowAndThen();
      if (state.over) return;
    }
    state.end();
  }
}

/** Ends the reading of a blob that is to be given up. */
class Stopped extends Error {}

/** What a turn knows: the round, what was found in it, and when to stop. */
class TurnState {
  round: Round;
  readonly #options: ScrubOptions;
  readonly #turn: ScrubTurn;
  readonly #pace: Pace;
  readonly #until: number;
  #memory: ScrubMemory;
  #kept = Date.now();
  #ended = false;

  constructor(options: ScrubOptions, memory: ScrubMemory, turn: ScrubTurn, pace: Pace) {
    this.#options = options;
    this.#memory = memory;
    this.#turn = turn;
    this.#pace = pace;
    this.#until = Date.now() + turn.ms;
    this.round = memory.round ?? newRound();
  }

  /** Whether the process is told to stop: what is under way is given up. */
  get stopped(): boolean {
    return this.#turn.signal.aborted;
  }

  /** Whether no new piece of work is to be begun. */
  get over(): boolean {
    return this.stopped || this.#ended || Date.now() >= this.#until;
  }

  begin(): void {
    this.round = newRound();
  }

  async took(bytes: number): Promise<void> {
    this.#options.scrubbed(bytes);
    this.round.bytes += bytes;
    await this.#pace.take(bytes);
    await this.keepNowAndThen();
  }

  found(...findings: readonly Finding[]): void {
    for (const finding of findings) {
      const thing = thingOf(finding);
      if (!this.round.found.includes(thing) && this.round.found.length < REMEMBERED_FINDINGS)
        this.round.found.push(thing);
      if (this.#memory.findings.some((known) => thingOf(known) === thing)) continue;
      if (this.#memory.findings.length >= REMEMBERED_FINDINGS) continue;
      const now = { time: Date.now(), size: this.round.size };
      const dated = datedFindings([finding], now, this.#memory);
      this.#memory = { ...this.#memory, findings: [...this.#memory.findings, ...dated] };
      const { kind, where, problem, action } = finding;
      this.#options.log.error({ kind, where, problem, action }, "the scrub found damage");
    }
  }

  /** The round is done: what it did not find again was mended. */
  end(): void {
    const { round } = this;
    const found = new Set(round.found);
    for (const finding of this.#memory.findings) {
      if (!found.has(thingOf(finding))) this.#options.log.info({ where: finding.where }, "damage was mended");
    }
    const pass = {
      kind: "scrub" as const,
      from: 0,
      size: round.size,
      started: round.started,
      finished: Date.now(),
      findings: found.size,
    };
    this.#memory = {
      round: null,
      passes: withPass(this.#memory.passes, pass),
      findings: this.#memory.findings.filter((finding) => found.has(thingOf(finding))),
    };
    this.#ended = true;
  }

  async keepNowAndThen(): Promise<void> {
    if (Date.now() - this.#kept < KEEP_MS) return;
    await this.keep();
    await this.#turn.renew();
  }

  async keep(): Promise<void> {
    this.#kept = Date.now();
    await rememberScrub(this.#options.dataDirectory, { ...this.#memory, round: this.#ended ? null : this.round });
  }
}

function newRound(): Round {
  return {
    started: Date.now(),
    bytes: 0,
    phase: "record",
    record: { next: 0, time: 0, tree: { size: 0, peaks: [] }, levels: [], replaced: [], named: [] },
    size: 0,
    after: null,
    found: [],
  };
}
