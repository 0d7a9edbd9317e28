import { createHash, randomBytes } from "node:crypto";
import { toHex } from "@assay/evidence";
import { sql } from "kysely";
import type { Batch, Reader } from "../storage/database.ts";
import type { StoredEvent } from "./check-events.ts";
import { decodeEnvelope, liftEvent } from "./event.ts";
import type { Finding } from "./finding.ts";
import type { RecordParts } from "./parts.ts";
import { writeHead } from "./writer.ts";
import { ONE_ROW } from "../storage/one-row.ts";

/** Rows of a projected table fetched for comparison at a time. */
const PAGE = 2000;

/** The kind of event whose projection changes a row of `org_head`, which must be there by then. */
const ANCHORS = "record.head-written";

/**
 * Projects stored events in order, exactly as the writer did. Each organisation's head is written when an event needs its row, and at the
 * end: a row that is changed once for each event of one long transaction costs PostgreSQL ever more, as it keeps every former version.
 */
export async function replayEvents(
  batch: Batch,
  parts: RecordParts,
  events: Iterable<StoredEvent> | AsyncIterable<StoredEvent>,
): Promise<void> {
  const heads = new Map<string, Parameters<typeof writeHead>[2]>();
  const writeHeads = async (): Promise<void> => {
    for (const [org, head] of heads) await writeHead(batch, org, head);
    heads.clear();
  };
  for await (const event of events) {
    const envelope = decodeEnvelope(event.bytes);
    const definition = parts.events.get(envelope.type);
    if (envelope.type === ANCHORS) await writeHeads();
    await definition?.project(batch, liftEvent(event.sequence, envelope, definition));
    if (event.commitment === null) continue;
    heads.set(envelope.org, {
      orgSequence: envelope.orgSeq,
      commitment: event.commitment,
      sequence: event.sequence,
    });
  }
  await writeHeads();
}

/** Empties every projected table. */
export async function clearProjections(batch: Batch, parts: RecordParts): Promise<void> {
  for (const table of parts.projections) {
    await sql`delete from ${sql.table(table)}`.execute(batch.tables<unknown>());
  }
}

/** Buckets that a table's rows fall into, by their digest: few enough to be cheap, so many that one of a large table is still small. */
const BUCKETS = 4_096;

/** Rows gathered in one pass to be named, and findings about one table. */
const ROWS_AT_ONCE = 50_000;
const NAMED_ROWS = 500;

/** A row as one comparable line: column names and values, bytes in hex. */
function rowText(row: Readonly<Record<string, unknown>>, columns: readonly string[]): string {
  return JSON.stringify(
    columns.map((column) => {
      const value = row[column];
      // A number that JavaScript cannot hold comes as a bigint: no event gives such a one, so it differs from every row.
      if (typeof value === "bigint") return [column, `${value}`, "integer"];
      return [column, value instanceof Uint8Array ? toHex(value) : value];
    }),
  );
}

/** A row's text for people: long values cut, so that all columns of its key can be seen. */
function shortRow(row: string): string {
  const columns = JSON.parse(row) as [string, unknown][];
  return JSON.stringify(
    columns.map(([column, value]) => [
      column,
      typeof value === "string" && value.length > 100 ? `${value.slice(0, 100)}…` : value,
    ]),
  );
}

/**
 * Every row of a table, in no order: rows are compared as a set.
 *
 * @param columns what is taken of a row; all of it when not given.
 */
async function* rows(reader: Reader, table: string, columns?: readonly string[]): AsyncGenerator<string> {
  // Kysely's reading half has no raw queries; selectAll over a table given by name is the same thing.
  interface AnyTables {
    [table: string]: Record<string, unknown>;
  }
  let taken = columns;
  for await (const row of reader.tables<AnyTables>().selectFrom(table).selectAll().stream(PAGE)) {
    taken ??= Object.keys(row).toSorted();
    yield rowText(row, taken);
  }
}

/**
 * The columns this program's projections fill, by the refilled table. A database may have more while an upgrade is under way: the next
 * release has added some, or some wait to be taken away. Undefined when the table has no row, and so nothing to compare.
 */
async function columnsOf(expected: Reader, table: string): Promise<string[] | undefined> {
  interface AnyTables {
    [table: string]: Record<string, unknown>;
  }
  const row = await expected.tables<AnyTables>().selectFrom(table).selectAll().limit(ONE_ROW).executeTakeFirst();
  return row && Object.keys(row).toSorted();
}

/**
 * A table as sums of its rows' digests, one sum per bucket. Two tables with the same rows have the same sums, in whatever order the rows
 * came; with other rows a sum is the same only by a chance of 2^-128, because the digests are keyed with what nobody could know before.
 */
class TableSums {
  readonly #key: Uint8Array;
  readonly #lanes = new Uint32Array(BUCKETS * 4);
  readonly counts = new Uint32Array(BUCKETS);

  constructor(key: Uint8Array) {
    this.#key = key;
  }

  static digest(key: Uint8Array, row: string): Buffer {
    return createHash("sha256").update(key).update(row).digest();
  }

  static bucket(digest: Buffer): number {
    return digest.readUInt16LE(16) % BUCKETS;
  }

  add(row: string): void {
    const digest = TableSums.digest(this.#key, row);
    const bucket = TableSums.bucket(digest);
    for (let lane = 0; lane < 4; lane += 1) {
      const at = bucket * 4 + lane;
      this.#lanes[at] = (this.#lanes[at] ?? 0) + digest.readUInt32LE(lane * 4);
    }
    this.counts[bucket] = (this.counts[bucket] ?? 0) + 1;
  }

  differs(other: TableSums, bucket: number): boolean {
    if (this.counts[bucket] !== other.counts[bucket]) return true;
    for (let at = bucket * 4; at < bucket * 4 + 4; at += 1) if (this.#lanes[at] !== other.#lanes[at]) return true;
    return false;
  }
}

const REBUILD = "stop the server and run `assay server rebuild`: it refills the tables from the events";

/**
 * Compares each projected table with the same table refilled from the events. What is held does not grow with the tables: both are read
 * into sums by bucket, and only where these differ are rows looked at again, to be named.
 *
 * @param told hears of each table that was compared, with its number of rows.
 */
export async function* compareProjections(
  actual: Reader,
  expected: Reader,
  parts: RecordParts,
  told: (table: string, rows: number) => void = () => undefined,
): AsyncGenerator<Finding> {
  for (const table of parts.projections) {
    const key = randomBytes(32);
    const wanted = new TableSums(key);
    const there = new TableSums(key);
    const columns = await columnsOf(expected, table);
    for await (const row of rows(expected, table, columns)) wanted.add(row);
    let count = 0;
    for await (const row of rows(actual, table, columns)) {
      there.add(row);
      count += 1;
    }
    const differing: number[] = [];
    let gathered = 0;
    let left = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket += 1) {
      if (!wanted.differs(there, bucket)) continue;
      gathered += (wanted.counts[bucket] ?? 0) + (there.counts[bucket] ?? 0);
      if (differing.length > 0 && gathered > ROWS_AT_ONCE) left += 1;
      else differing.push(bucket);
    }
    told(table, count);
    if (differing.length === 0) continue;
    yield* nameRows(actual, expected, { table, columns, key, buckets: new Set(differing), left });
  }
}

/** Names the rows of some buckets that one side has and the other has not. */
async function* nameRows(
  actual: Reader,
  expected: Reader,
  differing: {
    readonly table: string;
    readonly columns: readonly string[] | undefined;
    readonly key: Uint8Array;
    readonly buckets: ReadonlySet<number>;
    /** Buckets that differ too and were left out. */
    readonly left: number;
  },
): AsyncGenerator<Finding> {
  const { table, columns, key, buckets, left } = differing;
  const surplus = new Map<string, number>();
  for (const [reader, sign] of [
    [actual, 1],
    [expected, -1],
  ] as const) {
    for await (const row of rows(reader, table, columns)) {
      if (!buckets.has(TableSums.bucket(TableSums.digest(key, row)))) continue;
      const count = (surplus.get(row) ?? 0) + sign;
      if (count === 0) surplus.delete(row);
      else surplus.set(row, count);
    }
  }
  let named = 0;
  for (const [row, count] of surplus) {
    named += 1;
    if (named > NAMED_ROWS) break;
    yield {
      kind: "projection",
      where: `table ${table}, row ${shortRow(row)}`,
      problem:
        count > 0
          ? "the events do not give this row: it was altered or added"
          : "the events give this row, but it is not there",
      action: REBUILD,
    };
  }
  if (named <= NAMED_ROWS && left === 0) return;
  yield {
    kind: "projection",
    where: `table ${table}`,
    problem: `more of its rows differ than are named here: at least ${surplus.size + left}`,
    action: REBUILD,
  };
}
