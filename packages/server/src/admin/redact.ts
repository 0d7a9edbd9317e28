import { rm } from "node:fs/promises";
import { beforeSigning } from "../witness-composition.ts";
import { isJsonArray, isJsonObject, type JsonValue, parseJson, type RecordReceipt } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { sql } from "kysely";
import type { AdminCommand } from "./command.ts";
import { composeParts, MIGRATIONS, refillTables } from "../composition.ts";
import { ServerError } from "../errors.ts";
import { checksDirectory } from "../integrity/memory.ts";
import { MasterKey } from "../keys/master.ts";
import { storedEvents } from "../record/check-events.ts";
import { type JsonObject, SYSTEM_ACTOR, SYSTEM_ORG } from "../record/command.ts";
import { decodeEnvelope, MAX_EVENT_BYTES } from "../record/event.ts";
import { openRecord } from "../record/open.ts";
import type { RecordParts } from "../record/parts.ts";
import {
  bytesDigest,
  type FieldRedaction,
  REDACTED,
  redactBytes,
  type RedactedBytes,
} from "../record/redacted-bytes.ts";
import { REDACTION_LIMITS } from "../record/redaction.ts";
import { refill } from "../record/refill.ts";
import type { RecordTables } from "../record/schema.ts";
import type { Batch, Reader, WriteDatabase } from "../storage/database.ts";
import { migrate } from "../storage/migrate.ts";
import { type DatabasePlace, lockPlace, openReader, openWriter } from "../storage/open.ts";
import { UNRECORDED_TABLES } from "../storage/unrecorded.ts";

/** What is to be redacted, by event. */
export type RedactionRequest = ReadonlyMap<number, readonly FieldRedaction[]>;

/** An event as it will stand. */
export interface PlannedRedaction extends RedactedBytes {
  readonly sequence: number;
  readonly org: string;
  readonly type: string;
}

/** A string of another event that holds a text that is redacted elsewhere. */
export interface Mention {
  readonly sequence: number;
  readonly type: string;
  readonly pointer: string;
}

/** What a redaction changes, and what it leaves. */
export interface RedactionPlan {
  readonly events: readonly PlannedRedaction[];
  /** Where else in the record a text stands that is redacted: at most {@link MENTIONS}. */
  readonly elsewhere: readonly Mention[];
}

export interface RedactOptions extends DatabasePlace {
  readonly masterKey?: string | undefined;
  /** Those who may know that this is an older copy of the record. */
  readonly witnessPolicy?: string | undefined;
  readonly reason: string;
  readonly request: RedactionRequest;
  readonly tell: (line: string) => void;
}

/** Other places listed at most; whoever has more of them redacts in several rounds. */
const MENTIONS = 1_000;

/** `assay server redact`. */
export const redactCommand: AdminCommand = {
  name: "redact",
  usage: "--reason TEXT [--preview] SEQUENCE:POINTER[=REPLACEMENT]…",
  summary: "replace strings of recorded events, by an event, for good (server stopped)",
  options: { reason: { type: "string" }, preview: { type: "boolean" } },
  positionals: REDACTION_LIMITS.events,
  async run({ config, positionals, flag, isSet, tell, print }) {
    const reason = flag("reason")?.trim() ?? "";
    if (reason === "" || reason.length > REDACTION_LIMITS.text || positionals.length === 0) {
      throw new ServerError(
        "config-invalid",
        `give a reason (at most ${REDACTION_LIMITS.text} characters) and what to redact`,
        {
          hint: 'assay server redact --reason "erasure request 17" 12:/body/name=redacted-1 15:/actor=person:redacted-1',
        },
      );
    }
    const request = parseRequest(positionals);
    if (isSet("preview")) {
      const plan = await previewRedaction({ ...config, request });
      print(planJson(plan), planText(plan));
      return 0;
    }
    const { events, elsewhere, receipts } = await redactDirectory({ ...config, reason, request, tell });
    const by = receipts.map((receipt) => receipt.sequence);
    const rest = elsewhere.map((mention) => `  ${mentionText(mention)}\n`).join("");
    print(
      {
        ok: true,
        redacted: events.map(({ sequence, digest }) => ({ sequence, digest })),
        by,
        elsewhere: mentionsJson(elsewhere),
      },
      (events.length === 0
        ? "nothing to redact: all of it was redacted before. The database's files are rewritten"
        : `redacted ${events.length} ${events.length === 1 ? "event" : "events"} by event ${by.join(", ")}`) +
        (rest === "" ? "" : `\nthe same text still stands at\n${rest.trimEnd()}`),
    );
    return 0;
  },
};

/** Reads `SEQUENCE:POINTER[=REPLACEMENT]`; a pointer that holds `=` is written as a URI fragment (RFC 6901, section 6). */
export function parseRequest(words: readonly string[]): RedactionRequest {
  const request = new Map<number, FieldRedaction[]>();
  for (const word of words) {
    const match = /^(0|[1-9]\d{0,14}):(#?)(\/[^=]*)(?:=(.*))?$/s.exec(word);
    if (match === null) {
      throw new ServerError("config-invalid", `${JSON.stringify(word)} does not say what to redact`, {
        hint: "write it as SEQUENCE:POINTER or SEQUENCE:POINTER=REPLACEMENT, for example 12:/body/name=redacted-1",
      });
    }
    const sequence = Number(match[1]);
    const path = match[3] ?? "";
    const fields = request.get(sequence) ?? [];
    if (fields.length === REDACTION_LIMITS.fields) {
      throw new ServerError("config-invalid", `at most ${REDACTION_LIMITS.fields} strings of one event at once`);
    }
    fields.push({ pointer: match[2] === "#" ? decodeFragment(path) : path, replacement: match[4] ?? REDACTED });
    request.set(sequence, fields);
  }
  return request;
}

function decodeFragment(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch (cause) {
    throw new ServerError("config-invalid", `#${path} is no URI fragment`, { cause });
  }
}

/** What a redaction would change. It writes nothing and may run beside a running server. */
export async function previewRedaction(
  options: DatabasePlace & { readonly request: RedactionRequest },
): Promise<RedactionPlan> {
  const reader = openReader(options);
  try {
    return await reader.snapshot(async (snapshot) => {
      const events = await plan(snapshot, composeParts(), options.request);
      return { events, elsewhere: await mentions(snapshot, events) };
    });
  } finally {
    await reader.close();
  }
}

/**
 * Redacts: takes the redaction down as an event through the ordinary write path and, in the same transaction, puts the redacted bytes in the
 * place of the events' own, empties their salts, deletes what else names the texts, and refills the tables from the events. When any of it
 * fails, nothing of it happened. Then the database's files are rewritten.
 *
 * The commitments stand, and with them the tree, every checkpoint and every receipt from before. Without its salt nothing can be
 * tried against a commitment any more: what the event said cannot even be guessed at.
 *
 * A crash after the commit leaves old bytes in free pages of the files. Asked for the same again, this rewrites the files.
 *
 * @throws ServerError `redaction-invalid`, `check-failed` when the record is damaged, and what opening it throws.
 */
export async function redactDirectory(
  options: RedactOptions,
): Promise<RedactionPlan & { readonly receipts: readonly RecordReceipt[] }> {
  const { dataDirectory, databaseUrl, masterKey, reason, request, tell } = options;
  const place = { dataDirectory, databaseUrl };
  const lock = lockPlace(place);
  const inner = openWriter(place);
  try {
    await migrate(inner, MIGRATIONS, { refill: refillTables });
    const parts = composeParts();
    const planned = await plan(inner.reader(), parts, request);
    let receipts: readonly RecordReceipt[] = [];
    if (planned.length > 0) {
      // The writer's own transaction, and ours with it: the event and what it says happened stand or fall together.
      let replace: ((batch: Batch) => Promise<void>) | undefined;
      const database: WriteDatabase = {
        ...inner,
        transaction: (work, options) => {
          const also = replace;
          if (also === undefined) return inner.transaction(work, options);
          return inner.transaction(
            async (batch) => {
              const result = await work(batch);
              await also(batch);
              return result;
            },
            { long: true },
          );
        },
      };
      const master = MasterKey.choose(masterKey, dataDirectory, false);
      const asking = beforeSigning(options.witnessPolicy, nodeCrypto, (notice) => tell(`not asked: ${notice}`));
      const opening = { database, dataDirectory, master, parts, founding: [], host: undefined, beforeSigning: asking };
      const { writer } = await openRecord(opening);
      replace = async (batch) => {
        await putBytes(batch, parts, request, planned);
        await forget(batch, formers(planned));
        await refill(batch, parts, nodeCrypto, tell);
      };
      const redactions = planned.map(({ sequence, digest, fields }) => ({
        sequence,
        digest,
        fields: fields.map(({ pointer }) => pointer),
      }));
      const appended = await writer.append({
        type: "record.redact-events",
        org: SYSTEM_ORG,
        actor: SYSTEM_ACTOR,
        body: { reason, redactions },
      });
      replace = undefined;
      await writer.stop();
      if (!appended.ok) throw new ServerError("redaction-invalid", appended.refusal.message);
      receipts = appended.receipts;
    }
    tell("rewriting the database's files");
    await inner.scrub();
    // What checks remember quotes damaged rows. Without it the next check is a full one.
    await rm(checksDirectory(dataDirectory), { recursive: true, force: true });
    return { events: planned, elsewhere: await mentions(inner.reader(), planned), receipts };
  } finally {
    await inner.close();
    lock.release();
  }
}

/** What the events asked for will be; those that are so already are left out. */
async function plan(reader: Reader, parts: RecordParts, request: RedactionRequest): Promise<PlannedRedaction[]> {
  const planned: PlannedRedaction[] = [];
  for (const [sequence, fields] of [...request].toSorted(([left], [right]) => left - right)) {
    const row = await reader
      .tables<RecordTables>()
      .selectFrom("event")
      .select(["org", "type", "bytes"])
      .where("sequence", "=", sequence)
      .executeTakeFirst();
    if (row === undefined) throw new ServerError("redaction-invalid", `there is no event ${sequence}`);
    const redacted = redactBytes(sequence, row.bytes, fields, parts.events.get(row.type));
    if (redacted.fields.length > 0) planned.push({ sequence, org: row.org, type: row.type, ...redacted });
  }
  return planned;
}

/** Puts the redacted bytes in place, once more from what the transaction sees: what was planned must be what is done. */
async function putBytes(
  batch: Batch,
  parts: RecordParts,
  request: RedactionRequest,
  planned: readonly PlannedRedaction[],
): Promise<void> {
  const tables = batch.tables<RecordTables>();
  for (const { sequence, digest } of planned) {
    const row = await tables
      .selectFrom("event")
      .select(["type", "bytes"])
      .where("sequence", "=", sequence)
      .executeTakeFirstOrThrow();
    const { bytes } = redactBytes(sequence, row.bytes, request.get(sequence) ?? [], parts.events.get(row.type));
    if (bytesDigest(bytes) !== digest) {
      throw new ServerError("redaction-invalid", `event ${sequence} was altered in the meantime`, {
        hint: "somebody else is redacting: look again with --preview",
      });
    }
    const { actor } = decodeEnvelope(bytes);
    await tables.updateTable("event").set({ bytes, actor }).where("sequence", "=", sequence).execute();
    await tables.updateTable("leaf").set({ salt: new Uint8Array() }).where("sequence", "=", sequence).execute();
  }
}

/** The texts that go, and nothing that is only part of a word. */
function formers(planned: readonly PlannedRedaction[]): RegExp | undefined {
  const texts = new Set(planned.flatMap(({ fields }) => fields.map(({ former }) => former)));
  texts.delete("");
  if (texts.size === 0) return undefined;
  const words = [...texts].map((text) => text.replaceAll(/[\\^$.*+?()[\]{}|/]/g, "\\$&")).join("|");
  return new RegExp(`(?<![\\p{L}\\p{N}])(?:${words})(?![\\p{L}\\p{N}])`, "u");
}

/**
 * Deletes the rows of unrecorded tables that hold a text that goes: each of those that name people and things may be lost without losing
 * a fact (storage/unrecorded.ts).
 */
async function forget(batch: Batch, texts: RegExp | undefined): Promise<void> {
  if (texts === undefined) return;
  interface AnyTables {
    [table: string]: Record<string, unknown>;
  }
  for (const { table, names } of UNRECORDED_TABLES) {
    if (names !== true) continue;
    const found = new Map<string, Set<string>>();
    for await (const row of batch.tables<AnyTables>().selectFrom(table).selectAll().stream(1000)) {
      for (const [column, value] of Object.entries(row)) {
        if (typeof value !== "string" || !texts.test(value)) continue;
        found.set(column, (found.get(column) ?? new Set()).add(value));
      }
    }
    for (const [column, values] of found) {
      for (const value of values) {
        await sql`delete from ${sql.table(table)} where ${sql.ref(column)} = ${value}`.execute(
          batch.tables<AnyTables>(),
        );
      }
    }
  }
}

/** Where else in the record a text that is redacted stands; the redacted places themselves are not among them. */
async function mentions(reader: Reader, planned: readonly PlannedRedaction[]): Promise<Mention[]> {
  const texts = formers(planned);
  if (texts === undefined) return [];
  const after = new Map(planned.map(({ sequence, bytes }) => [sequence, bytes]));
  const found: Mention[] = [];
  for await (const event of storedEvents(reader)) {
    const bytes = after.get(event.sequence) ?? event.bytes;
    for (const [pointer, text] of strings(parseJson(bytes, { maxBytes: MAX_EVENT_BYTES, maxDepth: 64 }), "")) {
      if (!texts.test(text)) continue;
      found.push({ sequence: event.sequence, type: event.type, pointer });
      if (found.length === MENTIONS) return found;
    }
  }
  return found;
}

/** Every string of a document with its JSON pointer; a member's name stands under its own pointer too. */
function* strings(value: JsonValue, pointer: string): Generator<[pointer: string, text: string]> {
  if (typeof value === "string") yield [pointer, value];
  else if (isJsonArray(value)) for (const [index, item] of value.entries()) yield* strings(item, `${pointer}/${index}`);
  else if (isJsonObject(value)) {
    for (const [name, item] of Object.entries(value)) {
      const inner = `${pointer}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
      yield [inner, name];
      yield* strings(item, inner);
    }
  }
}

function mentionText({ sequence, type, pointer }: Mention): string {
  return `${sequence}:${pointer}  (${type})`;
}

function mentionsJson(elsewhere: readonly Mention[]): JsonObject[] {
  return elsewhere.map((mention) => ({ ...mention }));
}

function planJson({ events, elsewhere }: RedactionPlan): JsonObject {
  return {
    ok: true,
    events: events.map(({ sequence, org, type, digest, fields }) => ({
      sequence,
      org,
      type,
      digest,
      fields: fields.map((field) => ({ ...field })),
    })),
    elsewhere: mentionsJson(elsewhere),
  };
}

function planText({ events, elsewhere }: RedactionPlan): string {
  if (events.length === 0) return "nothing would change: all of it was redacted before";
  const changes = events.map(
    ({ sequence, org, type, fields }) =>
      `event ${sequence}  ${type} of ${org}\n${fields.map(({ pointer, former, replacement }) => `  ${pointer}  ${JSON.stringify(former)} → ${JSON.stringify(replacement)}`).join("\n")}`,
  );
  const rest = elsewhere.map((mention) => `  ${mentionText(mention)}`);
  return [
    ...changes,
    ...(rest.length === 0 ? [] : ["the same text would still stand at", ...rest]),
    "nothing was changed: this is a preview",
  ].join("\n");
}
