import { ServerError } from "../errors.ts";

/** SQLSTATEs (https://www.postgresql.org/docs/18/errcodes-appendix.html) that say the session is over, or was never there. */
const LOST = /^(08|57P0[1-5]|25P0[34]|53300)/;

/** SQLSTATEs of a statement that waited too long, for a lock or altogether; the session stands. */
const LATE = /^(55P03|57014|40P01|40001)/;

/** SQLSTATE of a statement in a transaction that an earlier error has ended. */
const ENDED = "25P02";

function sqlState(error: unknown): string | undefined {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" && /^[0-9A-Z]{5}$/.test(code) ? code : undefined;
}

/** Whether the session that gave this error is over, or in a state nobody knows. Errors that did not come from the database are. */
export function lostConnection(error: unknown): boolean {
  if (error instanceof ServerError) return error.code === "database-unavailable";
  const state = sqlState(error);
  return state === undefined || LOST.test(state);
}

/**
 * A `pg` error as one of ours where the database is away or busy; others, and ours, come back as they are. Messages of `pg` name host
 * and user at most, never the password.
 *
 * @param connecting the error came while connecting, where a wrong password or name is the operator's to mend.
 */
export function translateError(error: unknown, connecting = false): unknown {
  if (error instanceof ServerError || !(error instanceof Error)) return error;
  // A fault of ours, not of the database.
  if (error instanceof TypeError || error instanceof RangeError) return error;
  const state = sqlState(error);
  if (state !== undefined && LATE.test(state)) {
    return new ServerError("database-busy", `the database did not get to it in time: ${error.message}`, {
      cause: error,
      hint: "try again in a moment; if it lasts, look for long transactions in pg_stat_activity",
    });
  }
  if (state === "22021") {
    return new ServerError("text-invalid", "a text has a character the database cannot hold (U+0000)", {
      cause: error,
    });
  }
  if (connecting || lostConnection(error)) {
    return new ServerError("database-unavailable", `the database cannot be reached: ${reason(error)}`, {
      cause: error,
      hint: "the server connects again by itself; if it lasts, look at PostgreSQL and ASSAY_DATABASE_URL",
    });
  }
  return error;
}

/**
 * What a statement failed with that was tried again after the database had refused it as prepared: in a transaction it finds that the first failure has ended
 * that. The transaction is then to be tried again, where it runs.
 */
export function translateSecondError(error: unknown): unknown {
  if (sqlState(error) !== ENDED) return error;
  return new ServerError("database-busy", "another server changed the database's tables while they were used", {
    cause: error,
    hint: "try again in a moment",
  });
}

/** An AggregateError (several addresses tried) has no message of its own. */
function reason(error: Error): string {
  if (error.message !== "") return error.message;
  return error instanceof AggregateError ? error.errors.map(String).join("; ") : error.name;
}
