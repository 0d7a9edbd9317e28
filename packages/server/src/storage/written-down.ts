import type { Compilable, CompiledQuery, QueryExecutor } from "kysely";
import { ServerError } from "../errors.ts";

/** What a statement is given at each use. */
type Given = Readonly<Record<string, string | number | null>>;

/** Stands in a statement, while it is written down, for a value that is given at each use. */
class Place {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

/** In each place a value by its name: nobody who writes the statement down sees more of it. */
const PLACES = new Proxy({}, { get: (_target, name) => new Place(String(name)) });

/**
 * A statement that is put together once for each dialect, and then only given its values.
 *
 * @param write puts it together over a reader or a transactor. It is called with a stand-in for each value, which it hands to the statement and
 *   does nothing else with: a statement whose text depends on its values is none of these.
 * @returns the statement with its values, for the executor of the database it is asked of.
 */
export function writtenDown<Source, G extends Given, Row>(
  write: (source: Source, at: G) => Compilable<Row>,
): (executor: QueryExecutor, source: Source, given: G) => CompiledQuery<Row> {
  // An adapter belongs to one database that is open, so a text is never asked in another dialect than its own.
  const texts = new WeakMap<object, CompiledQuery<Row>>();
  return ({ adapter }, source, given) => {
    let text = texts.get(adapter);
    if (text === undefined) {
      text = write(source, PLACES as G).compile();
      texts.set(adapter, text);
    }
    const parameters = text.parameters.map((value) => {
      if (!(value instanceof Place)) return value;
      const filled = given[value.name];
      if (filled === undefined) throw new ServerError("internal", `a query was not given its ${value.name}`);
      return filled;
    });
    return { ...text, parameters };
  };
}
