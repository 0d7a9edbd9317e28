import type { Compilable, Kysely } from "kysely";
import type { Reader, ReadTables } from "./database.ts";
import { writtenDown } from "./written-down.ts";

/** What a query is given at each use. */
type Given = Readonly<Record<string, string | number>>;

/** Answers a query without a wait between its beginning and its end; undefined when it cannot just now. */
type AtOnce = (text: string, parameters: readonly unknown[]) => unknown[] | undefined;

const AT_ONCE = new WeakMap<object, AtOnce>();

/** Says of a database's reading connection that it answers within the call: its prepared queries need not take turns for it. */
export function answersAtOnce(database: Kysely<unknown>, answer: AtOnce): void {
  AT_ONCE.set(database, answer);
}

/**
 * A query that is written down once for each dialect and then only given its values. Building and compiling one costs several times what
 * SQLite takes to answer it, so what every request asks is asked like this; everything else in the plain way.
 *
 * ```ts
 * const byName = prepared((reader, at: { name: string }) =>
 *   reader.tables<AccessTables>().selectFrom("organisation").selectAll().where("name", "=", at.name),
 * );
 * const [organisation] = await byName(reader, { name });
 * ```
 *
 * @param write the query. It is called with a stand-in for each value, which it hands to the query and does nothing else with: a query
 *   whose text depends on its values is none of these.
 * @returns the query, to be asked of any reader: also of one in a transaction.
 */
export function prepared<G extends Given, Row>(
  write: (reader: Reader, at: G) => Compilable<Row>,
): (reader: Reader, given: G) => Promise<Row[]> {
  const query = writtenDown(write);
  return async (reader, given) => {
    // INVARIANT: what is run is what `write` made of a reader, which makes nothing but queries.
    const database = reader.tables<unknown>() as Kysely<unknown>;
    const executor = database.getExecutor();
    const compiled = query(executor, reader, given);
    const atOnce = AT_ONCE.get(database)?.(compiled.sql, compiled.parameters);
    if (atOnce !== undefined) return atOnce as Row[];
    const { rows } = await executor.executeQuery<Row>(compiled);
    return rows;
  };
}

/** Answers that one settled reader remembers. */
const REMEMBERED = 4096;

let queries = 0;

/** One name for each query with its values: each value with its kind and length, so that no two run into one another. */
function nameOf(query: number, given: Given): string {
  let name = String(query);
  for (const value of Object.values(given)) {
    name += typeof value === "string" ? `"${value.length}:${value}` : `,${value}`;
  }
  return name;
}

/**
 * A query like those of {@link prepared} over tables that nothing but the projection of events changes: what it answers follows from the
 * record, and a {@link SettledReader} asks the database for it once.
 */
export function recorded<G extends Given, Row extends object>(
  write: (reader: Reader, at: G) => Compilable<Row>,
): (reader: Reader, given: G) => Promise<readonly Row[]> {
  const ask = prepared(write);
  const query = queries++;
  return async (reader, given) => {
    if (!(reader instanceof SettledReader)) return await ask(reader, given);
    return await reader.answer(nameOf(query, given), () => ask(reader, given));
  };
}

/**
 * A reader for as long as the record does not grow: it remembers what queries of {@link recorded} answered and what was concluded from the
 * record, and asks all others anew. Whoever hands it out knows that the record has not grown since its newest sequence was looked up
 * (record/settled.ts); whoever gets it is done with it before waiting for anything but the database.
 */
export class SettledReader implements Reader {
  /** The record's newest sequence, as it was looked up. */
  readonly asOf: number;
  readonly #reader: Reader;
  readonly #answers = new Map<string, readonly unknown[]>();
  #conclusions = new WeakMap<object, Map<string, unknown>>();
  /** How many there are, of all together. */
  #concluded = 0;

  constructor(reader: Reader, asOf: number) {
    this.#reader = reader;
    this.asOf = asOf;
  }

  tables<T>(): ReadTables<T> {
    return this.#reader.tables<T>();
  }

  /** What a query answers. Rows go to many: nobody can change them. */
  async answer<Row extends object>(name: string, ask: () => Promise<Row[]>): Promise<readonly Row[]> {
    const known = this.#answers.get(name);
    if (known !== undefined) return known as readonly Row[];
    const rows: readonly Row[] = Object.freeze((await ask()).map((row) => Object.freeze(row)));
    if (this.#answers.size >= REMEMBERED) this.#answers.clear();
    this.#answers.set(name, rows);
    return rows;
  }

  /**
   * What follows from somebody or something, and from the record.
   *
   * @param of is never changed, and is the same object when it is asked of again.
   * @param name what is asked of it.
   * @param conclude INVARIANT: it asks of nothing but what the projection of events changes, and of no clock.
   */
  async conclude<T>(of: object, name: string, conclude: () => Promise<T>): Promise<T> {
    let known = this.#conclusions.get(of);
    if (known === undefined) {
      known = new Map<string, unknown>();
      this.#conclusions.set(of, known);
    }
    const before = known.get(name);
    if (before !== undefined || known.has(name)) return before as T;
    const found = await conclude();
    if (this.#concluded >= REMEMBERED) {
      // Whoever asks names what is asked of: however many ask, no more than this is kept.
      this.#conclusions = new WeakMap();
      this.#concluded = 0;
    } else {
      known.set(name, found);
      this.#concluded += 1;
    }
    return found;
  }
}
