import type { Compilable } from "kysely";
import type { Transactor } from "./database.ts";
import { writtenDown } from "./written-down.ts";

/**
 * As `prepared` (prepared.ts), for a statement that changes rows: for the few that every push makes.
 *
 * @param write the statement. It is called with a stand-in for each value, which it hands to the statement and does nothing else with.
 */
export function preparedWrite<G extends Readonly<Record<string, string | number | null>>>(
  write: (transactor: Transactor, at: G) => Compilable<unknown>,
): (transactor: Transactor, given: G) => Promise<void> {
  const statement = writtenDown(write);
  return async (transactor, given) => {
    const executor = transactor.tables<unknown>().getExecutor();
    await executor.executeQuery(statement(executor, transactor, given));
  };
}
