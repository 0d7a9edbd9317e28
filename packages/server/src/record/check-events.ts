import { type Crypto, equalBytes, recordCommitment, SALT_SIZE, toHex } from "@assay/evidence";
import type { Reader } from "../storage/database.ts";
import { RedactionChecker, type RedactionState } from "./check-redactions.ts";
import { decodeEnvelope, type EventEnvelope } from "./event.ts";
import type { Finding } from "./finding.ts";
import { HEAD_WRITTEN } from "./heads.ts";
import { EVENTS_REDACTED } from "./redaction.ts";
import type { RecordTables } from "./schema.ts";
import { ONE_ROW } from "../storage/one-row.ts";

/** Rows read at a time, and what their events may hold together: an event can have megabytes. */
const PAGE = 1000;
const PAGE_BYTES = 16 * 1024 * 1024;

/** Leaves looked through per statement for those without an event. */
const LEAVES = 100_000;

/** Organisations whose newest event is remembered; of others it is looked up. */
const HEADS = 65_536;

const RESTORE = "restore this record from a backup made before the damage, or from a copy that `check` finds whole";

/** A stored event with its leaf. */
export interface StoredEvent {
  readonly sequence: number;
  readonly org: string;
  readonly orgSequence: number;
  readonly type: string;
  readonly version: number;
  readonly actor: string;
  readonly time: number;
  readonly bytes: Uint8Array;
  readonly salt: Uint8Array | null;
  readonly commitment: Uint8Array | null;
}

/** Events in order from `from` to before `to`, with salt and commitment (null where the leaf is missing). */
export async function* storedEvents(
  reader: Reader,
  from = 0,
  to = Number.MAX_SAFE_INTEGER,
  page = PAGE,
): AsyncGenerator<StoredEvent> {
  const record = reader.tables<RecordTables>();
  let next = from;
  for (;;) {
    const sizes = await record
      .selectFrom("event")
      .select((row) => ["sequence", row.fn<number>("length", ["bytes"]).as("size")])
      .where("sequence", ">=", next)
      .where("sequence", "<", to)
      .orderBy("sequence")
      .limit(page)
      .execute();
    let last: number | undefined;
    let bytes = 0;
    for (const { sequence, size } of sizes) {
      bytes += size;
      if (last !== undefined && bytes > PAGE_BYTES) break;
      last = sequence;
    }
    if (last === undefined) return;
    yield* await record
      .selectFrom("event")
      .leftJoin("leaf", "leaf.sequence", "event.sequence")
      .select([
        "event.sequence",
        "event.org",
        "event.org_sequence as orgSequence",
        "event.type",
        "event.version",
        "event.actor",
        "event.time",
        "event.bytes",
        "leaf.salt",
        "leaf.commitment",
      ])
      .where("event.sequence", ">=", next)
      .where("event.sequence", "<=", last)
      .orderBy("event.sequence")
      .execute();
    next = last + 1;
  }
}

/** What a check that begins in the middle of the record must know of what lies before. */
export interface EventsBefore {
  /** The first event to come. */
  readonly next: number;
  /** The time of the event before it; 0 when there is none. */
  readonly time: number;
  readonly redactions: RedactionState;
}

/** The record's beginning: nothing lies before it. */
export const FROM_THE_FIRST: EventsBefore = { next: 0, time: 0, redactions: { replaced: [], named: [] } };

/** One event as it was found. */
export interface CheckedEvent {
  readonly findings: Finding[];
  /** Undefined when the bytes are no event. */
  readonly envelope: EventEnvelope | undefined;
  /** Whether the bytes are those that were recorded, or that a redaction left: what may be replayed. */
  readonly recorded: boolean;
  /**
   * The log's entries up to and with this event's, as far as they can be told: those of events that are missing come first. Undefined
   * where neither leaf nor tiles have one.
   */
  readonly entries: readonly (Uint8Array | undefined)[];
}

/**
 * Events against leaves and chains: each event's bytes and salt give its commitment, sequences have no gap, columns say what the
 * bytes say, and each organisation's chain links up. Where bytes and commitment do not belong together the published entry, a third
 * copy, tells which of them was altered.
 */
export class EventChecker {
  readonly #crypto: Crypto;
  readonly #reader: Reader;
  readonly #published: (sequence: number) => Promise<Uint8Array | undefined>;
  readonly #redactions: RedactionChecker;
  readonly #from: number;
  /** The newest event of each organisation, those used last at the end. */
  readonly #heads = new Map<string, Head>();
  #expected: number;
  #time: number;

  /**
   * @param reader of the same moment as the events.
   * @param published the published log entry of a sequence, a copy to tell by which of two others was altered.
   */
  constructor(options: {
    crypto: Crypto;
    reader: Reader;
    published?: (sequence: number) => Promise<Uint8Array | undefined>;
    before?: EventsBefore;
  }) {
    const before = options.before ?? FROM_THE_FIRST;
    this.#crypto = options.crypto;
    this.#reader = options.reader;
    this.#published = options.published ?? (() => Promise.resolve(undefined));
    this.#redactions = new RedactionChecker(before.redactions);
    this.#from = before.next;
    this.#expected = before.next;
    this.#time = before.time;
  }

  /** Events seen so far, gaps and what lies before included: the size the log must have. */
  get size(): number {
    return this.#expected;
  }

  /** What a later check can go on from. */
  state(): EventsBefore {
    return { next: this.#expected, time: this.#time, redactions: this.#redactions.state() };
  }

  /** Checks the next event; call in order. */
  async check(event: StoredEvent): Promise<CheckedEvent> {
    const findings: Finding[] = [];
    const { sequence } = event;
    const found = (kind: Finding["kind"], problem: string, where = `event ${sequence}`): void => {
      findings.push({ kind, where, problem, action: RESTORE, entry: sequence });
    };
    const entries: (Uint8Array | undefined)[] = [];
    if (sequence !== this.#expected) {
      const [first, last] = [this.#expected, sequence - 1];
      if (first === last) found("event", "it is missing", `event ${first}`);
      else found("event", "they are missing", `events ${first} to ${last}`);
      entries.push(...(await this.#missing(sequence)));
    }
    this.#expected = sequence + 1;

    const { entry, recorded } = await this.#entry(event, found);
    entries.push(entry);
    let envelope: EventEnvelope;
    try {
      envelope = decodeEnvelope(event.bytes);
    } catch (error) {
      found("event", error instanceof Error ? error.message : String(error));
      return { findings, envelope: undefined, recorded: false, entries };
    }
    for (const [column, stored, said] of [
      ["org", event.org, envelope.org],
      ["org_sequence", event.orgSequence, envelope.orgSeq],
      ["type", event.type, envelope.type],
      ["version", event.version, envelope.v],
      ["actor", event.actor, envelope.actor],
      ["time", event.time, envelope.time],
    ] as const) {
      if (stored !== said) found("event", `column ${column} says ${String(stored)}, the event itself ${String(said)}`);
    }
    if (envelope.time < this.#time) found("event", "its time is before the previous event's");
    this.#time = Math.max(this.#time, envelope.time);
    if (envelope.type === HEAD_WRITTEN && !(await this.#isHead(envelope.body, sequence))) {
      found("chain", "it writes down another head than its organisation's chain had then");
    }
    if (envelope.type === EVENTS_REDACTED) findings.push(...this.#redactions.take(sequence, envelope.body));

    const head = await this.#head(envelope.org, sequence);
    const orgSequence = head === undefined ? 0 : head.orgSequence + 1;
    if (envelope.orgSeq !== orgSequence || envelope.prev !== (head?.commitment ?? null)) {
      found("chain", `it does not continue the chain of ${envelope.org}: an event before it was left out or altered`);
    }
    this.#keep(envelope.org, {
      orgSequence: envelope.orgSeq,
      commitment: entry === undefined ? "" : toHex(entry),
      sequence,
    });
    return { findings, envelope, recorded, entries };
  }

  /** After the last event: what redactions left behind, and leaves without an event. */
  async *finish(): AsyncGenerator<Finding> {
    yield* this.finishRedactions();
    // From leaf to leaf, never from number to number: one damaged sequence may lie billions beyond the others.
    for (let from: number | undefined = this.#from; from !== undefined; ) {
      const next: { sequence: number } | undefined = await this.#reader
        .tables<RecordTables>()
        .selectFrom("leaf")
        .select("sequence")
        .where("sequence", ">=", from)
        .orderBy("sequence")
        .offset(LEAVES)
        .limit(ONE_ROW)
        .executeTakeFirst();
      yield* this.strayLeaves(from, next?.sequence);
      from = next?.sequence;
    }
  }

  /** After the last event: whether each redacted event is what its newest redaction says. */
  async *finishRedactions(): AsyncGenerator<Finding> {
    yield* this.#redactions.finish(this.#from, async (sequence) => {
      for await (const event of storedEvents(this.#reader, sequence, sequence + 1)) {
        if (event.salt?.length === 0) return this.#digest(event.bytes);
      }
      return undefined;
    });
  }

  /** Leaves from `from` to before `to` that belong to no event. */
  async *strayLeaves(from: number, to?: number): AsyncGenerator<Finding> {
    let query = this.#reader
      .tables<RecordTables>()
      .selectFrom("leaf")
      .leftJoin("event", "event.sequence", "leaf.sequence")
      .select("leaf.sequence")
      .where("leaf.sequence", ">=", from)
      .where("event.sequence", "is", null);
    if (to !== undefined) query = query.where("leaf.sequence", "<", to);
    for (const { sequence } of await query.orderBy("leaf.sequence").limit(PAGE).execute()) {
      yield {
        kind: "leaf",
        where: `leaf ${sequence}`,
        problem: "there is no event for it",
        action: RESTORE,
        // A damaged sequence may be one that no number holds.
        ...(Number.isSafeInteger(sequence) ? { entry: sequence } : {}),
      };
    }
  }

  /** The newest events seen, by organisation: what the tables must say of them. */
  heads(): Iterable<readonly [org: string, head: Head]> {
    return this.#heads;
  }

  #digest(bytes: Uint8Array): string {
    return toHex(this.#crypto.sha256(bytes));
  }

  /** The log entry of an event that is there. */
  async #entry(
    event: StoredEvent,
    found: (kind: Finding["kind"], problem: string, where?: string) => void,
  ): Promise<{ entry: Uint8Array | undefined; recorded: boolean }> {
    const { salt, commitment, sequence } = event;
    if (!(event.bytes instanceof Uint8Array)) {
      found("event", "its bytes are no bytes");
      return { entry: commitment ?? undefined, recorded: false };
    }
    if (salt === null || commitment === null) {
      found("leaf", "its leaf is missing");
      return { entry: await this.#published(sequence), recorded: false };
    }
    if (salt.length === 0) {
      // Redacted: the commitment stands, and only the redaction says what the bytes must be.
      this.#redactions.replaced(sequence, this.#digest(event.bytes));
      const copy = await this.#published(sequence);
      if (copy === undefined || equalBytes(copy, commitment)) return { entry: commitment, recorded: true };
      found("leaf", "its commitment was altered: it is not the one that is published");
      return { entry: copy, recorded: true };
    }
    const given = salt.length === SALT_SIZE ? recordCommitment(this.#crypto, salt, event.bytes) : undefined;
    if (given !== undefined && equalBytes(given, commitment)) return { entry: commitment, recorded: true };
    const published = await this.#published(sequence);
    if (published !== undefined && given !== undefined && equalBytes(published, given)) {
      found("leaf", "its commitment was altered: its bytes and its salt give the one that is published");
      return { entry: given, recorded: true };
    }
    if (published !== undefined && equalBytes(published, commitment)) {
      found("event", "its bytes, salt and commitment do not belong together: its bytes or its salt were altered");
    } else {
      found("event", "its bytes, salt and commitment do not belong together: one of them was altered");
    }
    return { entry: commitment, recorded: false };
  }

  /** The log entries of events that are gone, before `to`: from their leaves, else from the published bundles. */
  async #missing(to: number): Promise<(Uint8Array | undefined)[]> {
    // A gap wider than this is no damage that entries could be told for: the log's size says the rest.
    const from = this.#expected;
    if (to - from > PAGE) return [];
    const rows = await this.#reader
      .tables<RecordTables>()
      .selectFrom("leaf")
      .select(["sequence", "commitment"])
      .where("sequence", ">=", from)
      .where("sequence", "<", to)
      .execute();
    const known = new Map(rows.map((row) => [row.sequence, row.commitment]));
    const entries: (Uint8Array | undefined)[] = [];
    for (let sequence = from; sequence < to; sequence += 1) {
      entries.push(known.get(sequence) ?? (await this.#published(sequence)));
    }
    return entries;
  }

  /** Whether what an event writes down is the newest event of that organisation before it. */
  async #isHead(body: EventEnvelope["body"], sequence: number): Promise<boolean> {
    const head = await this.#head(String(body["org"]), sequence);
    return (
      head !== undefined &&
      body["orgSeq"] === head.orgSequence &&
      body["commitment"] === head.commitment &&
      body["sequence"] === head.sequence
    );
  }

  /** The newest event of an organisation before `sequence`. */
  async #head(org: string, sequence: number): Promise<Head | undefined> {
    const kept = this.#heads.get(org);
    if (kept !== undefined) return kept;
    const row = await this.#reader
      .tables<RecordTables>()
      .selectFrom("event")
      .innerJoin("leaf", "leaf.sequence", "event.sequence")
      .select(["event.sequence", "event.org_sequence", "leaf.commitment"])
      .where("event.org", "=", org)
      .where("event.sequence", "<", sequence)
      .orderBy("event.org_sequence", "desc")
      .limit(ONE_ROW)
      .executeTakeFirst();
    if (row === undefined) return undefined;
    return { orgSequence: row.org_sequence, commitment: toHex(row.commitment), sequence: row.sequence };
  }

  #keep(org: string, head: Head): void {
    this.#heads.delete(org);
    this.#heads.set(org, head);
    if (this.#heads.size <= HEADS) return;
    const oldest = this.#heads.keys().next();
    if (oldest.done !== true) this.#heads.delete(oldest.value);
  }
}

/** An organisation's newest event. */
export interface Head {
  readonly orgSequence: number;
  /** Lower-case hex; empty when it is not known. */
  readonly commitment: string;
  readonly sequence: number;
}
