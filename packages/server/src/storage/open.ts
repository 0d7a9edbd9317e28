import type { ReadDatabase, WriteDatabase } from "./database.ts";
import { openPostgresReader, openPostgresWriter } from "./postgres.ts";
import { databasePath, lockDataDirectory, openSqliteReader, openSqliteWriter, shareDataDirectory } from "./sqlite.ts";

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

/**
 * Opens the database to look for damage: {@link openReader}, but that an integer which no number can hold comes as a bigint, instead of
 * failing the query that meets it.
 */
export function openToCheck(place: DatabasePlace): ReadDatabase {
  return place.databaseUrl === undefined
    ? openSqliteReader(databasePath(place.dataDirectory), true)
    : openPostgresReader(place.databaseUrl, true);
}

/**
 * Opens the database for writing.
 *
 * @param server in a running server: its program, by the newest schema step it knows (storage/migrate.ts).
 */
export function openWriter(place: DatabasePlace, server?: string): WriteDatabase {
  return place.databaseUrl === undefined
    ? openSqliteWriter(databasePath(place.dataDirectory))
    : openPostgresWriter(place.databaseUrl, undefined, server);
}

/**
 * Takes the data directory for this process where SQLite needs that: one writer. With PostgreSQL hosts may share a directory, with each
 * other and with no server on SQLite.
 *
 * @throws ServerError `data-directory-busy`.
 */
export function lockPlace(place: DatabasePlace): { release(): void } {
  return place.databaseUrl === undefined
    ? lockDataDirectory(place.dataDirectory)
    : shareDataDirectory(place.dataDirectory);
}
