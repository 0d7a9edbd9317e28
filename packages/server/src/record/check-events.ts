import { type Crypto, equalBytes, recordCommitment, toHex } from "@assay/evidence";
import type { Reader } from "../storage/database.ts";
import { decodeEnvelope, type EventEnvelope } from "./event.ts";
import type { Finding } from "./finding.ts";
import type { RecordTables } from "./schema.ts";

/** Rows read at a time. */
const PAGE = 1000;

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

/** Every event in order, with its salt and commitment (null where the leaf is missing). */
export async function* storedEvents(reader: Reader, from = 0): AsyncGenerator<StoredEvent> {
  let next = from;
  for (;;) {
    const rows = await reader
      .tables<RecordTables>()
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
      .orderBy("event.sequence")
      .limit(PAGE)
      .execute();
    yield* rows;
    const last = rows.at(-1);
    if (last === undefined || rows.length < PAGE) return;
    next = last.sequence + 1;
  }
}

/**
 * Events against leaves and chains: each event's bytes and salt give its commitment, sequences have no gap, columns say what the
 * bytes say, and each organisation's chain links up.
 */
export class EventChecker {
  readonly #crypto: Crypto;
  readonly #heads = new Map<string, { orgSequence: number; commitment: string }>();
  #expected = 0;
  #time = 0;

  constructor(crypto: Crypto) {
    this.#crypto = crypto;
  }

  /** Events seen so far, gaps included: the size the log must have. */
  get size(): number {
    return this.#expected;
  }

  /** Checks the next event; call in order. The envelope is undefined when the bytes are no event. */
  check(event: StoredEvent): { findings: Finding[]; envelope: EventEnvelope | undefined } {
    const findings: Finding[] = [];
    const where = `event ${event.sequence}`;
    const found = (kind: Finding["kind"], problem: string): void => {
      findings.push({ kind, where, problem, action: RESTORE });
    };
    if (event.sequence !== this.#expected) {
      found("event", `events ${this.#expected} to ${event.sequence - 1} are missing`);
    }
    this.#expected = event.sequence + 1;

    const { salt, commitment } = event;
    if (salt === null || commitment === null) {
      found("leaf", "its leaf is missing");
    } else if (salt.length !== 32 || !equalBytes(recordCommitment(this.#crypto, salt, event.bytes), commitment)) {
      found("event", "its bytes, salt and commitment do not belong together: one of them was altered");
    }

    let envelope: EventEnvelope;
    try {
      envelope = decodeEnvelope(event.bytes);
    } catch (error) {
      found("event", error instanceof Error ? error.message : String(error));
      return { findings, envelope: undefined };
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

    const head = this.#heads.get(envelope.org);
    const orgSequence = head === undefined ? 0 : head.orgSequence + 1;
    if (envelope.orgSeq !== orgSequence || envelope.prev !== (head?.commitment ?? null)) {
      found("chain", `it does not continue the chain of ${envelope.org}: an event before it was left out or altered`);
    }
    this.#heads.set(envelope.org, {
      orgSequence: envelope.orgSeq,
      commitment: commitment === null ? "" : toHex(commitment),
    });
    return { findings, envelope };
  }
}
