import {
  type CompiledQuery,
  DummyDriver,
  Kysely,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from "kysely";
import type { EventDefinition, RecordedEvent } from "../../src/record/command.ts";

/** A statement of a projection: a parameter is a constant, or the name of what of the event stands there. */
interface LearntStatement {
  readonly sql: string;
  readonly parameters: readonly ({ readonly constant: unknown } | { readonly slot: string })[];
}

/** What a kind of event does to the tables, without building each query anew: that takes longer than running it. */
export class LearntProjection {
  readonly #statements: readonly LearntStatement[];

  constructor(statements: readonly LearntStatement[]) {
    this.#statements = statements;
  }

  /** The statements for an event with these values. */
  *statements(values: ReadonlyMap<string, unknown>): Generator<{ sql: string; parameters: unknown[] }> {
    for (const { sql, parameters } of this.#statements) {
      yield { sql, parameters: parameters.map((part) => ("slot" in part ? values.get(part.slot) : part.constant)) };
    }
  }
}

/** The statements `project` makes for an event. It must not read: nothing is there. */
async function statementsOf(definition: EventDefinition, event: RecordedEvent<never>): Promise<CompiledQuery[]> {
  const seen: CompiledQuery[] = [];
  const executeQuery = async <R>(query: CompiledQuery): Promise<QueryResult<R>> => {
    if (/^\s*(select|with)\b/i.test(query.sql))
      throw new Error(`${definition.type} reads when it projects: ${query.sql}`);
    seen.push(query);
    return { rows: [] };
  };
  class Listening extends DummyDriver {
    override async acquireConnection() {
      return {
        executeQuery,
        streamQuery(): AsyncGenerator<never> {
          throw new Error(`${definition.type} reads when it projects`);
        },
      };
    }
  }
  const kysely = new Kysely<unknown>({
    dialect: {
      createAdapter: () => new SqliteAdapter(),
      createDriver: () => new Listening(),
      createIntrospector: (database) => new SqliteIntrospector(database),
      createQueryCompiler: () => new SqliteQueryCompiler(),
    },
  });
  await definition.project({ tables: <T>() => kysely as unknown as Kysely<T> }, event);
  return seen;
}

/**
 * Learns a projection from two events that differ in everything `slots` names and in nothing else: each place in the statements must
 * hold the same constant both times, or the value of one slot both times.
 *
 * @throws Error when a projection is more than that: it must then be run itself.
 */
export async function learnProjection(
  definition: EventDefinition,
  examples: readonly [Example, Example],
): Promise<LearntProjection> {
  const [one, two] = examples;
  const first = await statementsOf(definition, one.event);
  const second = await statementsOf(definition, two.event);
  const statements = first.map((statement, index): LearntStatement => {
    const other = second[index];
    if (other?.sql !== statement.sql) throw new Error(`${definition.type} makes other statements for other values`);
    const parameters = statement.parameters.map((value, at) => {
      const twin = other.parameters[at];
      if (value === twin) return { constant: value };
      for (const [slot, held] of one.values) if (held === value && two.values.get(slot) === twin) return { slot };
      throw new Error(`${definition.type} writes something made from an event's values: ${statement.sql}`);
    });
    return { sql: statement.sql, parameters };
  });
  if (second.length !== first.length) throw new Error(`${definition.type} makes more statements for other values`);
  return new LearntProjection(statements);
}

/** An event and the values of its slots. */
export interface Example {
  readonly event: RecordedEvent<never>;
  readonly values: ReadonlyMap<string, unknown>;
}
