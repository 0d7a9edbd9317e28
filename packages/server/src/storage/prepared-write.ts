import type { Compilable, CompiledQuery } from "kysely";
import { ServerError } from "../errors.ts";
import type { Transactor } from "./database.ts";

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
 * As `prepared` (prepared.ts), for a statement that changes rows: for the few that every push makes.
 *
 * @param write the statement. It is called with a stand-in for each value, which it hands to the statement and does nothing else with.
 */
export function preparedWrite<G extends Given>(
  write: (transactor: Transactor, at: G) => Compilable<unknown>,
): (transactor: Transactor, given: G) => Promise<void> {
  // An adapter belongs to one database that is open, so a text is never run in another dialect than its own.
  const texts = new WeakMap<object, CompiledQuery>();
  return async (transactor, given) => {
    const executor = transactor.tables<unknown>().getExecutor();
    let text = texts.get(executor.adapter);
    if (text === undefined) {
      text = write(transactor, PLACES as G).compile();
      texts.set(executor.adapter, text);
    }
    const parameters = text.parameters.map((value) => {
      if (!(value instanceof Place)) return value;
      const filled = given[value.name];
      if (filled === undefined) throw new ServerError("internal", `a statement was not given its ${value.name}`);
      return filled;
    });
    await executor.executeQuery({ ...text, parameters });
  };
}
