import type { Kysely } from "kysely";

/**
 * One step of the schema. Names sort in order and are never changed or reused; each step runs in one transaction. Column types
 * are those both databases share: text, integer (64-bit), blob; booleans are integers 0/1.
 */
export interface Migration {
  readonly name: string;
  up(database: Kysely<unknown>): Promise<void>;
}
