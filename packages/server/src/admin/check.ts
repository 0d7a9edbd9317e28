import { type Digest, isDigest, type TlogPolicy } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { checkKeys } from "./check-keys.ts";
import { checkWitnessed } from "./check-witness.ts";
import { Progress } from "./progress.ts";
import { CheckScratch } from "./check-scratch.ts";
import { composeParts, MIGRATIONS } from "../composition.ts";
import { ServerError } from "../errors.ts";
import {
  type CheckMemory,
  type DatedFinding,
  decodeTree,
  encodeTree,
  type Pass,
  type Recalled,
  recallChecks,
  recallScrub,
  REMEMBERED_FINDINGS,
  rememberChecks,
  withPass,
} from "../integrity/memory.ts";
import { datedFindings } from "../integrity/since.ts";
import {
  LogChecker,
  type LogIdentity,
  type LogNotes,
  type LogResume,
  readLogNotes,
  readLogState,
} from "../log/check.ts";
import { publishedEntry } from "../log/tile-judge.ts";
import { EventChecker, FROM_THE_FIRST, type StoredEvent, storedEvents } from "../record/check-events.ts";
import { checkSuccessions } from "../record/check-succession.ts";
import { isOfClosedLog, successions } from "../record/succession.ts";
import { bornLog } from "../record/born-log.ts";
import type { Finding } from "../record/finding.ts";
import { RECORD_LOG, recordLogDirectory } from "../record/open.ts";
import { compareProjections } from "../record/replay.ts";
import { newestSequence } from "../record/newest.ts";
import type { RecordTables } from "../record/schema.ts";
import type { BlobStore } from "../storage/blobs.ts";
import { checkBlobs } from "../storage/check-blobs.ts";
import { checkSchema } from "../storage/check-schema.ts";
import type { Reader } from "../storage/database.ts";
import { openBlobsToRead } from "../storage/open-blobs.ts";
import type { WitnessLogs } from "../witness/logs-file.ts";
import { type DatabasePlace, openToCheck } from "../storage/open.ts";
import type { S3Location } from "../storage/s3-location.ts";

/** Events replayed into the scratch database per transaction. */
const REPLAY_BATCH = 1000;

/** Findings of one check that are told one by one; of more it says how many. */
const MAX_FINDINGS = REMEMBERED_FINDINGS;

/** What was looked at, and what was wrong. */
export interface CheckReport {
  readonly mode: "full" | "incremental";
  /** The first event that was looked at: 0 in a full check. */
  readonly from: number;
  /** Events looked at. */
  readonly events: number;
  readonly blobs: number;
  readonly blobBytes: number;
  /** When it began and ended, ms since the epoch. */
  readonly started: number;
  readonly finished: number;
  readonly findings: readonly DatedFinding[];
  /** Findings beyond those told one by one. */
  readonly more: number;
  /** What this check did not look at, and why. Nothing is known of it. */
  readonly notLookedAt: readonly string[];
  /** Why it was not kept for the next check; undefined when it was. */
  readonly forgotten?: string;
}

/** What is checked, and against what. */
export interface CheckOptions extends DatabasePlace {
  readonly s3?: S3Location | undefined;
  /** ASSAY_MASTER_KEY, where it is set: what the private keys open under. */
  readonly masterKey?: string | undefined;
  /** A checkpoint note kept elsewhere: the record must still continue it. */
  readonly against?: string | undefined;
  /** Who must have cosigned the newest witnessed checkpoint; undefined: cosignatures are not judged. */
  readonly witnesses?: TlogPolicy | undefined;
  /** The keys of the logs we witness; undefined: of what we cosigned only our own cosignature is judged. */
  readonly witnessed?: WitnessLogs | undefined;
  /** Go on from the last check, if that found everything whole. */
  readonly incremental?: boolean;
  /** Hears, now and then, where the check has got to. */
  readonly tell: (line: string) => void;
}

/** Findings as they come, those beyond {@link MAX_FINDINGS} only counted. */
class Findings {
  readonly list: Finding[] = [];
  more = 0;

  add(...findings: readonly Finding[]): void {
    for (const finding of findings) {
      if (this.list.length < MAX_FINDINGS) this.list.push(finding);
      else this.more += 1;
    }
  }

  async from(findings: AsyncIterable<Finding>): Promise<void> {
    for await (const finding of findings) this.add(finding);
  }
}

/**
 * Re-verifies everything a data directory holds: events against their leaves and chains, tables against events, the log against its
 * checkpoints and tiles, blobs against their digests. It writes nothing there but what it found, and can run beside a running server.
 * What it holds in memory does not grow with the record.
 *
 * With PostgreSQL the tables are still refilled into SQLite for comparison: the same rows come of the same events in both.
 */
export async function checkDirectory(options: CheckOptions): Promise<CheckReport> {
  const { dataDirectory, databaseUrl, tell } = options;
  const started = Date.now();
  const recalled = await recallChecks(dataDirectory);
  const directory = recordLogDirectory(dataDirectory);
  const notes = await readLogNotes(directory);
  const reader = openToCheck({ dataDirectory, databaseUrl });
  // SQLite: a connection sees the moment of its transaction only, and answers nothing else until that ends.
  const live = openToCheck({ dataDirectory, databaseUrl });
  const scratch = await CheckScratch.open(MIGRATIONS);
  try {
    const findings = new Findings();
    // One read transaction: while the server goes on writing, everything below sees the same moment.
    const seen = await reader.snapshot(async (snapshot) => {
      const full =
        recalled.kind === "there" ? recalled.memory.passes.findLast(({ kind }) => kind === "full") : undefined;
      const check = new RecordCheck(options, { snapshot, live, scratch, findings, notes, full });
      return await check.run(options.incremental === true ? resumeOf(recalled, tell) : undefined);
    });
    await findings.from(checkKeys(dataDirectory, options.masterKey, reader));
    await findings.from(checkWitnessed(reader, options.witnessed));
    const { blobs, bytes } = await readBlobs(options, scratch, seen.resumed, findings);
    const finished = Date.now();
    const pass: Pass = {
      kind: seen.resumed ? "incremental" : "full",
      from: seen.from,
      size: seen.size,
      started,
      finished,
      findings: findings.list.length + findings.more,
    };
    const scrub = await recallScrub(dataDirectory);
    const former = recalled.kind === "there" ? recalled.memory : NOTHING;
    const dated = datedFindings(
      findings.list,
      { time: finished, size: seen.size },
      { findings: former.findings, passes: [...former.passes, ...(scrub.kind === "there" ? scrub.memory.passes : [])] },
    );
    const whole = pass.findings === 0 && seen.resume !== undefined;
    const forgotten = await keep(dataDirectory, {
      passes: withPass(former.passes, pass),
      resume: whole && seen.resume !== undefined ? { ...seen.resume, time: finished } : null,
      findings: dated,
    });
    if (forgotten !== undefined) tell(`this check is not remembered: ${forgotten}`);
    return {
      mode: seen.resumed ? "incremental" : "full",
      from: seen.from,
      events: seen.events,
      blobs,
      blobBytes: bytes,
      started,
      finished,
      findings: dated,
      more: findings.more,
      notLookedAt: seen.notLookedAt,
      ...(forgotten === undefined ? {} : { forgotten }),
    };
  } finally {
    await reader.close();
    await live.close();
    await scratch.close();
  }
}

const NOTHING: CheckMemory = { passes: [], resume: null, findings: [] };

/** Where the last check got to, if it found everything whole. Anything less means a full check, and says why. */
function resumeOf(recalled: Recalled<CheckMemory>, tell: (line: string) => void): CheckMemory["resume"] {
  const full = (why: string): null => {
    tell(`everything is checked: ${why}`);
    return null;
  };
  if (recalled.kind === "nothing") return full("no earlier check is remembered");
  if (recalled.kind === "damaged") return full(`what is remembered of earlier checks is damaged (${recalled.problem})`);
  return recalled.memory.resume ?? full("the last check did not find everything whole");
}

/** Remembers a check; says why it could not, which changes nothing about what was found. */
async function keep(dataDirectory: string, memory: CheckMemory): Promise<string | undefined> {
  try {
    await rememberChecks(dataDirectory, memory);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

interface Seen {
  readonly resumed: boolean;
  readonly from: number;
  readonly events: number;
  readonly size: number;
  readonly notLookedAt: readonly string[];
  readonly resume: { origin: string; size: number; root: string; tree: ReturnType<typeof encodeTree> } | undefined;
}

/** The part of a check that sees one moment of the database. */
class RecordCheck {
  readonly #options: CheckOptions;
  readonly #snapshot: Reader;
  readonly #live: Reader;
  readonly #scratch: CheckScratch;
  readonly #findings: Findings;
  readonly #notes: LogNotes;
  readonly #full: Pass | undefined;
  readonly #parts = composeParts();
  readonly #notLookedAt: string[] = [];

  constructor(
    options: CheckOptions,
    at: {
      snapshot: Reader;
      live: Reader;
      scratch: CheckScratch;
      findings: Findings;
      notes: LogNotes;
      /** The last full check that is remembered. */
      full: Pass | undefined;
    },
  ) {
    this.#options = options;
    this.#snapshot = at.snapshot;
    this.#live = at.live;
    this.#scratch = at.scratch;
    this.#findings = at.findings;
    this.#notes = at.notes;
    this.#full = at.full;
  }

  async run(remembered: CheckMemory["resume"] | undefined): Promise<Seen> {
    const snapshot = this.#snapshot;
    const { tell } = this.#options;
    await this.#findings.from(checkSchema(snapshot, MIGRATIONS));
    const born = await bornLog(snapshot);
    const { log, resume } = await this.#openLog(born, remembered ?? undefined);
    const from = resume?.tree.size ?? 0;
    const before =
      resume === undefined ? FROM_THE_FIRST : { ...FROM_THE_FIRST, next: from, time: await timeBefore(snapshot, from) };
    const directory = recordLogDirectory(this.#options.dataDirectory);
    const events = new EventChecker({
      crypto: nodeCrypto,
      reader: snapshot,
      published: (sequence) => publishedEntry(directory, nodeCrypto, sequence),
      before,
    });
    const progress = new Progress(tell, "events", Number(await newestSequence(snapshot)) + 1 - from);
    let count = 0;
    let replaying = resume === undefined;
    let pending: StoredEvent[] = [];
    const turn = async (): Promise<void> => {
      await this.#findings.from(log.settle());
      if (replaying) replaying = await this.#replay(pending);
      else if (resume !== undefined) await this.#scratch.mention(pending);
      progress.advance(pending.length);
      pending = [];
    };
    for await (const event of storedEvents(snapshot, from)) {
      const checked = await events.check(event);
      this.#findings.add(...checked.findings);
      for (const entry of checked.entries) if (entry !== undefined) log.append(entry);
      count += 1;
      if (replaying && !checked.recorded) {
        replaying = false;
        this.#notLookedAt.push(
          `the tables: event ${event.sequence} is not what was recorded, and tables follow from events`,
        );
      }
      pending.push(event);
      if (pending.length >= REPLAY_BATCH) await turn();
    }
    await turn();
    await this.#findings.from(events.finish());
    progress.end();
    if (replaying) await this.#tables();
    if (resume !== undefined) await this.#findings.from(this.#heads(events));
    await this.#findings.from(log.finish());
    await this.#findings.from(checkSuccessions(snapshot, this.#options.dataDirectory, this.#options.against));
    tell("log compared");
    await this.#scratch.name(this.#parts.blobs(snapshot), resume !== undefined);
    await this.#scratch.call(this.#parts.aliases(snapshot));
    if (resume !== undefined) {
      const last = this.#full === undefined ? "" : `; everything was looked at last on ${iso(this.#full.started)}`;
      this.#notLookedAt.push(
        `events, leaves, chains and tiles before event ${from}`,
        "the tables, but for the chain heads of organisations with newer events",
        `blobs that no event from ${from} on names${last}`,
      );
    }
    const { size, root, tree } = log.resume();
    const hex = Buffer.from(root).toString("hex");
    return {
      resumed: resume !== undefined,
      from,
      events: count,
      size: events.size,
      notLookedAt: this.#notLookedAt,
      resume: born === undefined ? undefined : { origin: born.origin, size, root: hex, tree: encodeTree(tree) },
    };
  }

  /** Opens the log's check where the last one ended, if it can be continued from there; else at its first entry. */
  async #openLog(
    born: LogIdentity | undefined,
    remembered: NonNullable<CheckMemory["resume"]> | undefined,
  ): Promise<{ log: LogChecker; resume: LogResume | undefined }> {
    const { tell, dataDirectory, witnesses } = this.#options;
    const kept = this.#options.against;
    // A checkpoint of a closed log is held against that log's own files (record/check-succession.ts).
    const closed = kept !== undefined && isOfClosedLog(kept, await successions(this.#snapshot));
    const against = closed ? undefined : kept;
    if (witnesses === undefined && this.#notes.witnessed !== undefined) {
      this.#notLookedAt.push("witnesses' cosignatures: ASSAY_WITNESS_POLICY does not say who they are");
    }
    const options = {
      name: RECORD_LOG,
      crypto: nodeCrypto,
      directory: recordLogDirectory(dataDirectory),
      notes: this.#notes,
      state: await readLogState(this.#snapshot, RECORD_LOG),
      born,
      against,
      policy: witnesses,
      committed: async () => (await readLogState(this.#live, RECORD_LOG))?.size ?? 0,
    };
    if (remembered !== undefined) {
      const resume: LogResume = {
        tree: decodeTree(remembered.tree),
        size: remembered.size,
        root: new Uint8Array(Buffer.from(remembered.root, "hex")),
      };
      const continues = remembered.origin === born?.origin && remembered.size <= (options.state?.size ?? 0);
      const log = continues ? await LogChecker.open(options, resume) : undefined;
      if (log !== undefined) return { log, resume };
      tell(
        continues
          ? "everything is checked: the published tiles do not continue what the last check found"
          : "everything is checked: this is not a continuation of the record that the last check found",
      );
    }
    const log = await LogChecker.open(options);
    if (log === undefined) throw new ServerError("internal", "a log can be checked from its first entry");
    return { log, resume: undefined };
  }

  /** Refills the tables with events that were found whole. @returns whether it can go on. */
  async #replay(events: readonly StoredEvent[]): Promise<boolean> {
    if (events.length === 0) return true;
    try {
      await this.#scratch.replay(this.#parts, events);
      return true;
    } catch (error) {
      this.#findings.add({
        kind: "event",
        where: `events ${events[0]?.sequence ?? 0} to ${events.at(-1)?.sequence ?? 0}`,
        problem: `they cannot be replayed: ${error instanceof Error ? error.message : String(error)}`,
        action: "mend what is named above first; the tables were not compared",
        entry: events[0]?.sequence ?? 0,
      });
      this.#notLookedAt.push("the tables: the events could not be replayed");
      return false;
    }
  }

  async #tables(): Promise<void> {
    const progress = new Progress(this.#options.tell, "rows");
    const expected = this.#scratch.reader();
    await this.#findings.from(
      compareProjections(this.#snapshot, expected, this.#parts, (_table, rows) => progress.advance(rows)),
    );
    progress.end();
  }

  /** The rows of `org_head` for organisations with newer events: the one table that says where a chain goes on. */
  async *#heads(events: EventChecker): AsyncGenerator<Finding> {
    for (const [org, head] of events.heads()) {
      const row = await this.#snapshot
        .tables<RecordTables>()
        .selectFrom("org_head")
        .selectAll()
        .where("org", "=", org)
        .executeTakeFirst();
      const same =
        row !== undefined &&
        row.org_sequence === head.orgSequence &&
        row.sequence === head.sequence &&
        Buffer.from(row.commitment).toString("hex") === head.commitment;
      if (same) continue;
      yield {
        kind: "projection",
        where: `table org_head, row of ${org}`,
        problem: "it does not name the newest event of its chain",
        action: "stop the server and run `assay server rebuild`: it refills the tables from the events",
      };
    }
  }
}

function iso(time: number): string {
  return new Date(time).toISOString();
}

/** The time of the event before `sequence`; 0 when there is none. */
async function timeBefore(reader: Reader, sequence: number): Promise<number> {
  const row = await reader
    .tables<RecordTables>()
    .selectFrom("event")
    .select("time")
    .where("sequence", "=", sequence - 1)
    .executeTakeFirst();
  return row === undefined ? 0 : Number(row.time);
}

/**
 * The blobs: all of them, or those that newer events name. After the database's moment is over, because it may take hours; what is
 * named then is written before what names it.
 */
async function readBlobs(
  options: CheckOptions,
  scratch: CheckScratch,
  resumed: boolean,
  findings: Findings,
): Promise<{ blobs: number; bytes: number }> {
  const { dataDirectory, s3, tell } = options;
  let blobs = 0;
  let bytes = 0;
  const progress = new Progress(tell, "blob bytes");
  const store = await openBlobsToRead({ dataDirectory, s3 }, { warn: (_detail, message) => tell(message) });
  try {
    const present = resumed ? scratch.digests() : everyBlob(store.blobs);
    await findings.from(
      checkBlobs(store.blobs, present, scratch.named(), scratch.aliased(), (read, done) => {
        bytes += read;
        if (done !== undefined) blobs += 1;
        // Digests are spread evenly, and come in order: where one stands among all possible ones is how far the work is.
        progress.advance(read, done === undefined || resumed ? undefined : fractionOf(done));
      }),
    );
  } finally {
    await store.close();
  }
  progress.end();
  return { blobs, bytes };
}

async function* everyBlob(blobs: BlobStore): AsyncGenerator<Digest> {
  for await (const digest of blobs.list()) if (isDigest(digest)) yield digest;
}

function fractionOf(digest: Digest): number {
  return Number.parseInt(digest.slice("sha256:".length, "sha256:".length + 6), 16) / 0x1_00_00_00;
}
