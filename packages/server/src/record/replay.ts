import { toHex } from "@assay/evidence";
import { sql } from "kysely";
import type { Batch, Reader } from "../storage/database.ts";
import type { StoredEvent } from "./check-events.ts";
import { decodeEnvelope, liftEvent } from "./event.ts";
import type { Finding } from "./finding.ts";
import type { RecordParts } from "./parts.ts";
import { writeHead } from "./writer.ts";

/** Rows of a projected table fetched for comparison at a time. */
const PAGE = 2000;

/** Projects one stored event, exactly as the writer did. */
export async function replayEvent(batch: Batch, parts: RecordParts, event: StoredEvent): Promise<void> {
  const envelope = decodeEnvelope(event.bytes);
  await parts.events
    .get(envelope.type)
    ?.project(batch, liftEvent(event.sequence, envelope, parts.events.get(envelope.type)));
  if (event.commitment === null) return;
  await writeHead(batch, envelope.org, {
    orgSequence: envelope.orgSeq,
    commitment: event.commitment,
    sequence: event.sequence,
  });
}

/** Empties every projected table. */
export async function clearProjections(batch: Batch, parts: RecordParts): Promise<void> {
  for (const table of parts.projections) {
    await sql`delete from ${sql.table(table)}`.execute(batch.tables<unknown>());
  }
}

/** A row as one comparable line: column names and values, bytes in hex. */
function rowText(row: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(
    Object.keys(row)
      .toSorted()
      .map((column) => {
        const value = row[column];
        return [column, value instanceof Uint8Array ? toHex(value) : value];
      }),
  );
}

/** Every row of a table, in no order: rows are compared as a set. */
async function* rows(reader: Reader, table: string): AsyncGenerator<string> {
  // Kysely's reading half has no raw queries; selectAll over a table given by name is the same thing.
  interface AnyTables {
    [table: string]: Record<string, unknown>;
  }
  for await (const row of reader.tables<AnyTables>().selectFrom(table).selectAll().stream(PAGE)) yield rowText(row);
}

/** Compares each projected table with the same table refilled from the events. */
export async function* compareProjections(
  actual: Reader,
  expected: Reader,
  parts: RecordParts,
): AsyncGenerator<Finding> {
  for (const table of parts.projections) {
    const wanted = new Map<string, number>();
    for await (const row of rows(expected, table)) wanted.set(row, (wanted.get(row) ?? 0) + 1);
    for await (const row of rows(actual, table)) {
      const count = wanted.get(row);
      if (count === undefined) {
        yield {
          kind: "projection",
          where: `table ${table}, row ${row.slice(0, 400)}`,
          problem: "the events do not give this row: it was altered or added",
          action: "stop the server and run `assay server rebuild`: it refills the tables from the events",
        };
      } else if (count === 1) wanted.delete(row);
      else wanted.set(row, count - 1);
    }
    for (const row of wanted.keys()) {
      yield {
        kind: "projection",
        where: `table ${table}, row ${row.slice(0, 400)}`,
        problem: "the events give this row, but it is not there",
        action: "stop the server and run `assay server rebuild`: it refills the tables from the events",
      };
    }
  }
}
