import { randomBytes } from "node:crypto";
import { type Crypto, type JsonValue, recordCommitment, type RecordReceipt, toHex } from "@assay/evidence";
import { z } from "zod";
import { ServerError } from "../errors.ts";
import type { SequencedLog } from "../log/log.ts";
import type { Batch, Reader, WriteDatabase } from "../storage/database.ts";
import { translateDiskError } from "../storage/disk-errors.ts";
import type { Appended, RecordClient } from "./client.ts";
import type { Command, DecideContext, JsonObject, NewEvent, Refusal } from "./command.ts";
import { encodeEvent, type EventEnvelope, liftEvent } from "./event.ts";
import { isRecorded, notRecorded } from "./lost-commit.ts";
import type { RecordParts } from "./parts.ts";
import { formReceipt } from "./receipt.ts";
import type { RecordTables } from "./schema.ts";
import type { RecordStamp } from "./stamp.ts";
import { ONE_ROW } from "../storage/one-row.ts";

/** Requests one transaction takes at most, and how many may wait: beyond, the answer is 503 rather than an endless queue. */
const BATCH_LIMIT = 256;
const QUEUE_LIMIT = 4096;

/** How often a host looks for what other hosts have recorded, ms: its own tiles and checkpoint follow theirs. */
const FOLLOW_MS = 500;

/** A host that has not looked for this long was stopped, ms: it may be far behind, and must not catch up while it holds the log's row. */
const ASLEEP_MS = 5_000;

/** An organisation's newest event, as the next one chains to it. */
interface Head {
  readonly orgSequence: number;
  readonly commitment: Uint8Array;
  readonly sequence: number;
}

/** An event written in the batch at hand. */
interface Written {
  readonly sequence: number;
  readonly salt: Uint8Array;
  readonly bytes: Uint8Array;
  readonly commitment: Uint8Array;
}

type Outcome =
  | { readonly kind: "appended"; readonly events: Written[]; readonly results: JsonValue[] }
  | { readonly kind: "refused"; readonly refusal: Refusal }
  | { readonly kind: "operated"; readonly result: JsonValue }
  | { readonly kind: "failed"; readonly error: unknown };

interface Waiting {
  readonly request:
    | { kind: "append"; commands: readonly Command[] }
    | { kind: "operate"; type: string; body: JsonObject }
    /** Nothing to write: take in what other hosts have committed. */
    | { kind: "follow" };
  readonly resolve: (value: { appended: Appended } | { operated: JsonValue }) => void;
  readonly reject: (error: unknown) => void;
}

/** Who is asked and told of each batch. */
interface Told {
  readonly fence?: ((reader: Reader) => Promise<void>) | undefined;
  readonly stamp?: RecordStamp | undefined;
}

/** Thrown inside a savepoint to undo a refused command. */
class RefusedSignal extends Error {
  readonly refusal: Refusal;
  constructor(refusal: Refusal) {
    super(refusal.code);
    this.refusal = refusal;
  }
}

/** The state of a batch that is not in tables yet: what the next event chains to. */
interface Pending {
  readonly heads: Map<string, Head>;
  readonly written: Written[];
  lastTime: number;
}

/**
 * The single write path. Requests wait in one queue; each turn takes what is there, runs it strictly one after another in one
 * transaction, commits once for all, and answers each. A crash at any point leaves whole batches only.
 */
export class RecordWriter implements RecordClient {
  readonly #database: WriteDatabase;
  readonly #log: SequencedLog;
  readonly #parts: RecordParts;
  readonly #crypto: Crypto;
  readonly #fence: ((reader: Reader) => Promise<void>) | undefined;
  readonly stamp: RecordStamp | undefined;
  readonly #queue: Waiting[] = [];
  #lastTime: number;
  /** The log's size when `#lastTime` was that of its newest event. */
  #timedSize: number;
  #running: Promise<void> | undefined;
  #stopped = false;
  /** Set for good when it turned out that this record is not the newest: nothing is written or signed any more. */
  #halted: ServerError | undefined;
  #following: NodeJS.Timeout | undefined;
  #looked = performance.now();

  private constructor(
    database: WriteDatabase,
    log: SequencedLog,
    parts: RecordParts,
    crypto: Crypto,
    lastTime: number,
    { fence, stamp }: Told,
  ) {
    this.#fence = fence;
    this.stamp = stamp;
    this.#database = database;
    this.#log = log;
    this.#parts = parts;
    this.#crypto = crypto;
    this.#lastTime = lastTime;
    this.#timedSize = log.size;
  }

  static async open(
    database: WriteDatabase,
    log: SequencedLog,
    parts: RecordParts,
    crypto: Crypto,
    told: Told = {},
  ): Promise<RecordWriter> {
    const writer = new RecordWriter(database, log, parts, crypto, await newestTime(database.reader()), told);
    if (database.shared) writer.#scheduleFollow();
    return writer;
  }

  async append(commands: Command | readonly Command[]): Promise<Appended> {
    const list = Array.isArray(commands) ? (commands as readonly Command[]) : [commands as Command];
    const answer = await this.#enqueue({ kind: "append", commands: list });
    if (!("appended" in answer)) throw new ServerError("internal", "the writer answered an append with something else");
    return answer.appended;
  }

  async operate(type: string, body: JsonObject): Promise<JsonValue> {
    const answer = await this.#enqueue({ kind: "operate", type, body });
    if (!("operated" in answer))
      throw new ServerError("internal", "the writer answered an operation with something else");
    return answer.operated;
  }

  /** Takes no more requests, finishes those taken and publishes them. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#following);
    while (this.#running !== undefined) await this.#running;
    try {
      await this.#log.published();
    } finally {
      this.#log.close();
    }
  }

  /** Ends this writer as a crash would: what waits is not finished, nothing more is published. */
  abandon(): void {
    this.#stopped = true;
    clearTimeout(this.#following);
  }

  #scheduleFollow(): void {
    if (this.#stopped) return;
    this.#following = setTimeout(() => void this.#follow(), FOLLOW_MS);
    this.#following.unref();
  }

  async #follow(): Promise<void> {
    try {
      const behind = await this.#log.isBehind(this.#database.reader());
      if (behind) await this.#enqueue({ kind: "follow" });
      else this.#looked = performance.now();
      this.#log.mendPublication();
    } catch {
      // Nothing is lost by being late. The next round tries again, and what keeps failing fails the next write and the readiness
      // probe, where it is answered and logged.
    } finally {
      this.#scheduleFollow();
    }
  }

  #enqueue(request: Waiting["request"]): Promise<{ appended: Appended } | { operated: JsonValue }> {
    if (this.#stopped) return Promise.reject(new ServerError("writer-stopped", "the server is stopping"));
    if (this.#halted !== undefined) return Promise.reject(this.#halted);
    if (this.#queue.length >= QUEUE_LIMIT) {
      return Promise.reject(
        new ServerError("writer-overloaded", `${QUEUE_LIMIT} writes are waiting`, { hint: "try again in a moment" }),
      );
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ request, resolve, reject });
      this.#running ??= this.#drain();
    });
  }

  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      // One turn of the event loop lets every request that has arrived join the batch.
      await new Promise((resolve) => setImmediate(resolve));
      await this.#runBatch(this.#queue.splice(0, BATCH_LIMIT));
    }
    // In the same step as the loop's last look at the queue: a request that comes later starts a new drain, none is left behind.
    this.#running = undefined;
  }

  async #runBatch(waiting: Waiting[]): Promise<void> {
    let outcomes: Outcome[];
    let ending: { committed(): void; undone(): void } | undefined;
    let others = false;
    const idle = waiting.every(({ request }) => request.kind === "follow");
    const pending: Pending = { heads: new Map(), written: [], lastTime: this.#lastTime };
    let ran: Outcome[] | undefined;
    let recovered = false;
    try {
      const asleep = this.#database.shared && performance.now() - this.#looked > ASLEEP_MS;
      if (asleep || waiting.some(({ request }) => request.kind === "follow")) {
        others = await this.#log.catchUp(this.#database.reader());
        this.#looked = performance.now();
      }
      const run = async (batch: Batch): Promise<Outcome[]> => {
        // From here to the commit no other host can sequence, and every row read below is as the last of them left it.
        if (await this.#log.enter(batch)) others = true;
        if (this.#database.shared) await this.#fence?.(batch);
        if (this.#timedSize !== this.#log.size) {
          this.#lastTime = Math.max(this.#lastTime, await newestTime(batch));
          this.#timedSize = this.#log.size;
        }
        pending.lastTime = Math.max(this.#lastTime, await this.#database.now());
        const results: Outcome[] = [];
        for (const item of waiting) results.push(await this.#runOne(batch, item, pending));
        if (pending.written.length > 0) {
          await this.#writeHeads(batch, pending.heads);
          ending = await this.#log.sequence(
            batch,
            pending.written.map((event) => event.commitment),
          );
          this.stamp?.begin();
        }
        ran = results;
        return results;
      };
      outcomes = idle ? waiting.map(() => ({ kind: "operated", result: null })) : await this.#database.transaction(run);
      this.stamp?.end();
    } catch (error) {
      this.stamp?.end();
      // The transaction rolled back: nothing of the batch exists, in tables or in the tree. Or its answer was lost.
      ending?.undone();
      const [first] = pending.written;
      const lost = error instanceof ServerError && error.code === "write-unconfirmed" && first !== undefined;
      const found = lost ? await isRecorded(this.#database, this.#log, first, () => this.#stopped) : undefined;
      if (ran === undefined || found !== true) {
        if (others) this.#log.schedulePublish();
        for (const item of waiting) item.reject(found === false ? notRecorded(error) : translateDiskError(error));
        return;
      }
      // It was committed, and the tree has it now, as it has what others committed.
      outcomes = ran;
      ending = undefined;
      recovered = true;
    }
    // COMMIT POINT of a batch. Before: nothing of it exists. After: all of it does, whatever happens to this process. Nothing is answered
    // and no checkpoint is signed before it. On PostgreSQL other hosts may have taken the log's row by now, and even committed: what is
    // signed below is over what this batch committed, a prefix of theirs.
    ending?.committed();
    if (!idle && !recovered) {
      this.#lastTime = pending.lastTime;
      this.#timedSize = this.#log.size;
    }
    this.#answer(waiting, outcomes);
    if (ending !== undefined || others || recovered) this.#log.schedulePublish();
  }

  async #runOne(batch: Batch, item: Waiting, pending: Pending): Promise<Outcome> {
    const writtenBefore = pending.written.length;
    const headsBefore = new Map(pending.heads);
    try {
      return await batch.savepoint(async (): Promise<Outcome> => {
        const { request } = item;
        if (request.kind === "follow") return { kind: "operated", result: null };
        if (request.kind === "operate") return await this.#operate(batch, request.type, request.body, pending.lastTime);
        const results: JsonValue[] = [];
        for (const command of request.commands) results.push(await this.#decide(batch, command, pending));
        return { kind: "appended", events: pending.written.slice(writtenBefore), results };
      });
    } catch (error) {
      // The transaction is gone, and the earlier requests' work with it: the batch fails as one.
      if (error instanceof ServerError && error.code === "storage-failed") throw error;
      pending.written.length = writtenBefore;
      pending.heads.clear();
      for (const [org, head] of headsBefore) pending.heads.set(org, head);
      if (error instanceof RefusedSignal) return { kind: "refused", refusal: error.refusal };
      return { kind: "failed", error: translateDiskError(error) };
    }
  }

  async #decide(batch: Batch, command: Command, pending: Pending): Promise<JsonValue> {
    const definition = this.#parts.commands.get(command.type);
    if (definition === undefined) throw new ServerError("command-unknown", `no command ${command.type}`);
    const body = definition.body.safeParse(command.body);
    if (!body.success) throw new ServerError("command-invalid", `${command.type}: ${z.prettifyError(body.error)}`);
    const context: DecideContext = {
      actor: command.actor,
      org: command.org,
      time: pending.lastTime,
      sequence: this.#log.size + pending.written.length,
    };
    // INVARIANT: a head that is written down is the newest as of its own event, whatever else stood before it in the batch.
    if (definition.readsHeads === true) await this.#writeHeads(batch, pending.heads);
    const decided = await definition.decide(batch, body.data as never, context);
    if (!decided.accepted) throw new RefusedSignal(decided.refusal);
    for (const event of decided.events) await this.#write(batch, command, event, pending);
    return decided.result;
  }

  async #write(batch: Batch, command: Command, event: NewEvent, pending: Pending): Promise<void> {
    const definition = this.#parts.events.get(event.type);
    if (definition === undefined) throw new ServerError("event-unknown", `no event ${event.type}`);
    const org = event.org ?? command.org;
    const head = pending.heads.get(org) ?? (await this.#head(batch, org));
    const envelope: EventEnvelope & { body: JsonObject } = {
      type: event.type,
      v: definition.version,
      org,
      orgSeq: head === undefined ? 0 : head.orgSequence + 1,
      prev: head === undefined ? null : toHex(head.commitment),
      actor: command.actor.id,
      time: pending.lastTime,
      body: event.body,
    };
    const bytes = encodeEvent(envelope);
    const salt = new Uint8Array(randomBytes(32));
    const commitment = recordCommitment(this.#crypto, salt, bytes);
    const sequence = this.#log.size + pending.written.length;
    const record = batch.tables<RecordTables>();
    await record
      .insertInto("event")
      .values({
        sequence,
        org,
        org_sequence: envelope.orgSeq,
        type: envelope.type,
        version: envelope.v,
        actor: envelope.actor,
        time: envelope.time,
        bytes,
      })
      .execute();
    await record.insertInto("leaf").values({ sequence, salt, commitment }).execute();
    // INVARIANT: sequence = leaf index. The row, its salt, its commitment and its projection stand in one transaction with the
    // log's compare-and-swap, so an event without a leaf cannot exist.
    pending.written.push({ sequence, salt, bytes, commitment });
    pending.heads.set(org, { orgSequence: envelope.orgSeq, commitment, sequence });
    await definition.project(batch, liftEvent(sequence, envelope, definition));
  }

  async #head(batch: Batch, org: string): Promise<Head | undefined> {
    const row = await batch
      .tables<RecordTables>()
      .selectFrom("org_head")
      .select(["org_sequence", "commitment", "sequence"])
      .where("org", "=", org)
      .executeTakeFirst();
    return row && { orgSequence: row.org_sequence, commitment: row.commitment, sequence: row.sequence };
  }

  async #writeHeads(batch: Batch, heads: ReadonlyMap<string, Head>): Promise<void> {
    for (const [org, head] of heads) await writeHead(batch, org, head);
  }

  async #operate(batch: Batch, type: string, body: JsonObject, time: number): Promise<Outcome> {
    const definition = this.#parts.operations.get(type);
    if (definition === undefined) throw new ServerError("operation-unknown", `no operation ${type}`);
    const parsed = definition.body.safeParse(body);
    if (!parsed.success) throw new ServerError("command-invalid", `${type}: ${z.prettifyError(parsed.error)}`);
    const halt = (reason: ServerError): void => {
      this.#halted = reason;
      this.#log.refuse(reason);
    };
    return {
      kind: "operated",
      result: await definition.run(batch, parsed.data as never, { time, halt, trouble: this.#log.trouble }),
    };
  }

  #answer(waiting: Waiting[], outcomes: Outcome[]): void {
    let checkpoint: string | undefined;
    for (const [index, item] of waiting.entries()) {
      const outcome = outcomes[index];
      try {
        if (outcome === undefined) throw new ServerError("internal", "a request of the batch has no outcome");
        switch (outcome.kind) {
          case "failed":
            item.reject(outcome.error);
            break;
          case "refused":
            item.resolve({ appended: { ok: false, refusal: outcome.refusal } });
            break;
          case "operated":
            item.resolve({ operated: outcome.result });
            break;
          case "appended": {
            const receipts: RecordReceipt[] = [];
            for (const event of outcome.events) {
              checkpoint ??= this.#log.signCheckpoint();
              receipts.push(this.#receipt(event, checkpoint));
            }
            item.resolve({ appended: { ok: true, receipts, results: outcome.results } });
            break;
          }
        }
      } catch (error) {
        // The events are recorded, but what proves it could not be made: the caller must not take that for a receipt.
        item.reject(outcome?.kind === "appended" ? withoutReceipt(outcome.events, error) : error);
      }
    }
  }

  #receipt(event: Written, checkpoint: string): RecordReceipt {
    const proof = this.#log.prove(event.sequence, event.commitment);
    return formReceipt(event, { size: this.#log.size, proof, checkpoint });
  }
}

/** What is told when events are recorded and cannot be proven yet. */
function withoutReceipt(events: readonly Written[], error: unknown): unknown {
  const cause = translateDiskError(error);
  const [first] = events;
  if (!(cause instanceof ServerError) || cause.code !== "storage-failed" || first === undefined) return error;
  return new ServerError(
    "receipt-unavailable",
    `it is recorded as event ${first.sequence}, but no receipt can be signed: ${cause.message}`,
    { cause, hint: `do not send it again; get the receipt at /api/assay/v1/record/${first.sequence}/receipt later` },
  );
}

/** The time of the newest event, ms; 0 before the first. */
async function newestTime(reader: Reader): Promise<number> {
  const newest = await reader
    .tables<RecordTables>()
    .selectFrom("event")
    .select("time")
    .orderBy("sequence", "desc")
    .limit(ONE_ROW)
    .executeTakeFirst();
  return newest?.time ?? 0;
}

/** Sets an organisation's head: the projection every event has, written once a batch. */
export async function writeHead(
  batch: Pick<Batch, "tables">,
  org: string,
  head: { readonly orgSequence: number; readonly commitment: Uint8Array; readonly sequence: number },
): Promise<void> {
  await batch
    .tables<RecordTables>()
    .insertInto("org_head")
    .values({
      org,
      org_sequence: head.orgSequence,
      commitment: head.commitment,
      sequence: head.sequence,
      anchored: -1,
    })
    .onConflict((conflict) =>
      conflict.column("org").doUpdateSet({
        org_sequence: head.orgSequence,
        commitment: head.commitment,
        sequence: head.sequence,
      }),
    )
    .execute();
}
