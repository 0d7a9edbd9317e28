import type { ReadDatabase, WriteDatabase } from "./database.ts";
import { openPostgresReader, openPostgresWriter } from "./postgres.ts";
import { databasePath, lockDataDirectory, openSqliteReader, openSqliteWriter } from "./sqlite.ts";

/** Where the database is: in the data directory (SQLite), or at a URL (PostgreSQL). */
export interface DatabasePlace {
  readonly dataDirectory: string;
  /** `postgres://…`; it may hold a password and is never logged. Undefined: SQLite in the data directory. */
  readonly databaseUrl?: string | undefined;
}

/** Opens the database for reading. */
export function openReader(place: DatabasePlace): ReadDatabase {
  return place.databaseUrl === undefined
    ? openSqliteReader(databasePath(place.dataDirectory))
    : openPostgresReader(place.databaseUrl);
}

/** Opens the database for writing. */
export function openWriter(place: DatabasePlace): WriteDatabase {
  return place.databaseUrl === undefined
    ? openSqliteWriter(databasePath(place.dataDirectory))
    : openPostgresWriter(place.databaseUrl);
}

/**
 * Takes the data directory for this process where SQLite needs that: one writer. With PostgreSQL hosts may share a directory, and
 * nothing is locked.
 *
 * @throws ServerError `data-directory-busy`.
 */
export function lockPlace(place: DatabasePlace): { release(): void } {
  return place.databaseUrl === undefined ? lockDataDirectory(place.dataDirectory) : { release: () => undefined };
}
