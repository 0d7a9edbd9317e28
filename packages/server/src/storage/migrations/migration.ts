import type { Kysely } from "kysely";

/**
 * One step of the schema. Names sort in order and are never changed or reused; each step runs in one transaction. Column types
 * are those both databases share: text, integer (64-bit), blob; booleans are integers 0/1.
 */
export interface Migration {
  readonly name: string;
  /**
   * `expand` (when absent): every program that knows all contracting steps before this one goes on working with the schema after it: it adds
   * tables, indexes, and columns that have a default or may be null. A server runs it when it starts, beside servers of the release before.
   *
   * `contract`: programs that do not know this step cannot work with the schema after it: it removes or narrows, or changes what a column
   * means. It waits for `assay server upgrade --finish`, and from then on those programs are refused.
   */
  readonly kind?: "expand" | "contract";
  /** @returns `refill` when the projected tables must be filled again from the events after it. */
  up(database: Kysely<unknown>): Promise<"refill" | void>;
}
