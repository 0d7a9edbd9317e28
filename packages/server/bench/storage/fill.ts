/**
 * Writes genuine events into a SQLite data directory, fast: real bytes, salts, commitments, chains, log and tiles, so that `check` finds the
 * result whole. Events do not pass the writer's queue and get no receipts; everything else is the server's own code.
 */
import { randomBytes } from "node:crypto";
import { type Digest, type JsonObject, recordCommitment, toHex } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { CompiledQuery } from "kysely";
import { composeParts, MIGRATIONS } from "../../src/composition.ts";
import { MasterKey } from "../../src/keys/master.ts";
import type { SequencedLog } from "../../src/log/log.ts";
import { SYSTEM_ACTOR, SYSTEM_ORG } from "../../src/record/command.ts";
import { encodeEvent, liftEvent } from "../../src/record/event.ts";
import { openRecord } from "../../src/record/open.ts";
import type { RecordTables } from "../../src/record/schema.ts";
import { writeHead } from "../../src/record/writer.ts";
import type { Batch } from "../../src/storage/database.ts";
import { DirectoryBlobs } from "../../src/storage/directory-blobs.ts";
import { migrate } from "../../src/storage/migrate.ts";
import { openWriter } from "../../src/storage/open.ts";
import { type Example, type LearntProjection, learnProjection } from "./learnt-projection.ts";

export const ORG = "default";
const ACTOR = "admin";

/** Events of one transaction. */
const BATCH = 50_000;

/** Random bytes, drawn many at a time: drawing 32 by 32 is a tenth of all work here. */
let pool = Buffer.alloc(0);

function random32(): Buffer {
  if (pool.length < 32) pool = randomBytes(1 << 16);
  const drawn = pool.subarray(0, 32);
  pool = pool.subarray(32);
  return drawn;
}

export function randomDigest(): Digest {
  return `sha256:${random32().toString("hex")}` as Digest;
}

/** One event: its type and body, and what of them differs from the next of its shape. */
export interface Draft {
  readonly type: string;
  readonly body: JsonObject;
  /** Under what its projection is learnt, where events of one type make different statements; undefined: its type. */
  readonly shape?: string;
  /** The projection's variable values besides sequence and time; undefined: the projection is run itself. */
  readonly values?: readonly (readonly [string, unknown])[];
}

const parts = composeParts();

/** Learns the projection of the events that `make` makes: it is asked for two that differ in all their values. */
export async function learnDrafts(make: (name: string) => Draft): Promise<LearntProjection> {
  const definition = parts.events.get(make("x").type);
  if (definition === undefined) throw new Error("a kind of event is unknown");
  const example = (name: string, sequence: number): Example => {
    const { type, body, values = [] } = make(name);
    const time = sequence + 1_000_000;
    const envelope = { type, v: definition.version, org: ORG, orgSeq: 0, prev: null, actor: ACTOR, time, body };
    return {
      event: liftEvent(sequence, envelope, definition),
      values: new Map<string, unknown>([["sequence", sequence], ["time", time], ...values]),
    };
  };
  return learnProjection(definition, [example("one", 1), example("two", 2)]);
}

interface Head {
  orgSequence: number;
  commitment: Uint8Array;
  sequence: number;
}

const INSERT_EVENT =
  "insert into event (sequence, org, org_sequence, type, version, actor, time, bytes) values (?, ?, ?, ?, ?, ?, ?, ?)";
const INSERT_LEAF = "insert into leaf (sequence, salt, commitment) values (?, ?, ?)";

/** Writes a batch of drafts and sequences them in the log. */
async function write(
  batch: Batch,
  log: SequencedLog,
  learnt: ReadonlyMap<string, LearntProjection>,
  drafts: readonly Draft[],
): Promise<{ committed(): void; undone(): void }> {
  const tables = batch.tables<RecordTables>();
  const run = (sql: string, parameters: readonly unknown[]): Promise<unknown> =>
    tables.executeQuery(CompiledQuery.raw(sql, [...parameters]));
  const row = await tables.selectFrom("org_head").selectAll().where("org", "=", ORG).executeTakeFirst();
  let head: Head | undefined = row && {
    orgSequence: row.org_sequence,
    commitment: row.commitment,
    sequence: row.sequence,
  };
  const commitments: Uint8Array[] = [];
  const time = Date.now();
  for (const { type, body, shape, values } of drafts) {
    const sequence = log.size + commitments.length;
    const definition = parts.events.get(type);
    if (definition === undefined) throw new Error(`a kind of event is unknown: ${type}`);
    const envelope = {
      type,
      v: definition.version,
      org: ORG,
      orgSeq: head === undefined ? 0 : head.orgSequence + 1,
      prev: head === undefined ? null : toHex(head.commitment),
      actor: ACTOR,
      time,
      body,
    };
    const bytes = encodeEvent(envelope);
    const salt = new Uint8Array(random32());
    const commitment = recordCommitment(nodeCrypto, salt, bytes);
    await run(INSERT_EVENT, [sequence, ORG, envelope.orgSeq, type, definition.version, ACTOR, time, bytes]);
    await run(INSERT_LEAF, [sequence, salt, commitment]);
    const projection = values === undefined ? undefined : learnt.get(shape ?? type);
    if (projection === undefined || values === undefined) {
      await definition.project(batch, liftEvent(sequence, envelope, definition));
    } else {
      const slots = new Map<string, unknown>([["sequence", sequence], ["time", time], ...values]);
      for (const statement of projection.statements(slots)) await run(statement.sql, statement.parameters);
    }
    commitments.push(commitment);
    head = { orgSequence: envelope.orgSeq, commitment, sequence };
  }
  if (head !== undefined) await writeHead(batch, ORG, head);
  return await log.sequence(batch, commitments);
}

async function runAll(batch: Batch, statements: readonly string[]): Promise<void> {
  const tables = batch.tables<RecordTables>();
  for (const sql of statements) await tables.executeQuery(CompiledQuery.raw(sql));
}

/**
 * Drops the indexes that no key needs: built at the end they cost a fraction of what keeping them costs. The writer's memory for pages is
 * made large for the same reason.
 *
 * @returns the statements that make them again.
 */
async function takeIndexes(batch: Batch): Promise<string[]> {
  const { rows } = await batch
    .tables<RecordTables>()
    .executeQuery<{ name: string; sql: string }>(
      CompiledQuery.raw("select name, sql from sqlite_schema where type = 'index' and sql is not null"),
    );
  await runAll(batch, ["pragma cache_size = -1048576", ...rows.map(({ name }) => `drop index "${name}"`)]);
  return rows.map(({ sql }) => sql);
}

/** Makes the events to write: `count` of them, from a sequence on. */
export type MakeDrafts = (blobs: DirectoryBlobs, sequence: number, count: number) => Promise<Draft[]>;

/** Fills `dataDirectory` up to `target` events; it may have some already. @returns how many it wrote and how long that took. */
export async function fill(
  dataDirectory: string,
  target: number,
  learnt: ReadonlyMap<string, LearntProjection>,
  make: MakeDrafts,
  tell: (events: number) => void,
): Promise<{ written: number; seconds: number }> {
  const database = openWriter({ dataDirectory });
  await migrate(database, MIGRATIONS);
  const { writer, log } = await openRecord({
    database,
    dataDirectory,
    master: MasterKey.fromDirectory(dataDirectory, true),
    parts,
    founding: [{ type: "access.bootstrap", org: SYSTEM_ORG, actor: SYSTEM_ACTOR, body: { defaultOrg: ORG } }],
    host: undefined,
  });
  try {
    const blobs = await DirectoryBlobs.open(dataDirectory);
    const start = log.size;
    const began = performance.now();
    const indexes = await database.transaction(takeIndexes);
    while (log.size < target) {
      const drafts = await make(blobs, log.size, Math.min(BATCH, target - log.size));
      const ending = await database.transaction((batch) => write(batch, log, learnt, drafts), { long: true });
      ending.committed();
      // Until it is published all of the tree lies in memory: of ten million events that is gigabytes.
      await log.published();
      tell(log.size);
    }
    await database.transaction((batch) => runAll(batch, indexes), { long: true });
    return { written: log.size - start, seconds: (performance.now() - began) / 1000 };
  } finally {
    await writer.stop();
    await database.close();
  }
}
