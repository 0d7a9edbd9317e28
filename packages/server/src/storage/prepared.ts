import type { Compilable, CompiledQuery, Kysely } from "kysely";
import { ServerError } from "../errors.ts";
import type { Reader } from "./database.ts";

/** What a query is given at each use. */
type Given = Readonly<Record<string, string | number>>;

/** Stands in a query, while it is written down, for a value that is given at each use. */
class Place {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

/** Answers a query without a wait between its beginning and its end; undefined when it cannot just now. */
type AtOnce = (text: string, parameters: readonly unknown[]) => unknown[] | undefined;

const AT_ONCE = new WeakMap<object, AtOnce>();

/** Says of a database's reading connection that it answers within the call: its prepared queries need not take turns for it. */
export function answersAtOnce(database: Kysely<unknown>, answer: AtOnce): void {
  AT_ONCE.set(database, answer);
}

/** In each place a value by its name: nobody who writes the query down sees more of it. */
const PLACES = new Proxy({}, { get: (_target, name) => new Place(String(name)) });

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
  // An adapter belongs to one database that is open, so a text is never asked in another dialect than its own.
  const texts = new WeakMap<object, CompiledQuery<Row>>();
  return async (reader, given) => {
    // INVARIANT: what is run is what `write` made of a reader, which makes nothing but queries.
    const database = reader.tables<unknown>() as Kysely<unknown>;
    const executor = database.getExecutor();
    let text = texts.get(executor.adapter);
    if (text === undefined) {
      text = write(reader, PLACES as G).compile();
      texts.set(executor.adapter, text);
    }
    const parameters = text.parameters.map((value) => {
      if (!(value instanceof Place)) return value;
      const filled = given[value.name];
      if (filled === undefined) throw new ServerError("internal", `a query was not given its ${value.name}`);
      return filled;
    });
    const atOnce = AT_ONCE.get(database)?.(text.sql, parameters);
    if (atOnce !== undefined) return atOnce as Row[];
    const { rows } = await executor.executeQuery<Row>({ ...text, parameters });
    return rows;
  };
}
