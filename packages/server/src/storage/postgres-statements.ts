import { createHash } from "node:crypto";

/** Statements one session keeps prepared. The server's own are few and fixed; those with lists in them come in many lengths. */
const PREPARED = 256;

/** Statements one session remembers having run once. */
const REMEMBERED = 1024;

/** Parameters of the widest statement that is prepared, and characters of the longest: inserts of many rows have thousands. */
const MAX_PARAMETERS = 64;
const MAX_TEXT = 4096;

/**
 * Which statements of one session are prepared, by name: the database reads them once, and plans them anew only while that pays
 * (https://www.postgresql.org/docs/18/sql-prepare.html, Notes). A statement is prepared when it comes the second time, so that one that
 * comes once takes no room; none is ever given up, since `pg` knows of no way. Long ones are not: what is kept is bounded by its size too.
 */
export class PreparedStatements {
  readonly #names = new Map<string, string>();
  readonly #once = new Set<string>();
  readonly #unfit = new Set<string>();

  /** The name to run a statement under; undefined: without one. */
  nameOf(text: string, parameters: readonly unknown[]): string | undefined {
    // Without parameters it may be several commands in one, or the bounds of a transaction, where there is nothing to plan.
    if (parameters.length === 0 || this.#unfit.has(text)) return undefined;
    if (parameters.length > MAX_PARAMETERS || text.length > MAX_TEXT) return undefined;
    const known = this.#names.get(text);
    if (known !== undefined) return known;
    if (this.#names.size >= PREPARED) return undefined;
    if (!this.#once.delete(text)) {
      this.#once.add(text);
      const [oldest] = this.#once;
      if (this.#once.size > REMEMBERED && oldest !== undefined) this.#once.delete(oldest);
      return undefined;
    }
    // Names have 63 bytes at most.
    const name = `assay_${createHash("sha256").update(text).digest("hex").slice(0, 32)}`;
    this.#names.set(text, name);
    return name;
  }

  /** Never prepares a statement again in this session. */
  giveUp(text: string): void {
    this.#unfit.add(text);
  }
}

/**
 * Whether the database refused a prepared statement because its columns are others now: another host has migrated meanwhile, and
 * `select *` of a table with a column more does not keep its shape. The statement itself is as good as before.
 */
export function outgrown(error: unknown): boolean {
  return error instanceof Error && "routine" in error && error.routine === "RevalidateCachedQuery";
}
