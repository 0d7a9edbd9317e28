import { existsSync, mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import { type ControlledTransaction, Kysely, type SqliteDatabase, SqliteDialect, type SqliteStatement } from "kysely";
import { ServerError } from "../errors.ts";
import type { Batch, ReadDatabase, Reader, WriteDatabase } from "./database.ts";
import { translateDiskError } from "./disk-errors.ts";
import { answersAtOnce } from "./prepared.ts";

/** Prepared statements kept per connection. The server's queries are few and fixed; 512 holds all of them. */
const STATEMENT_CACHE_SIZE = 512;

/** A row read with big integers: a number wherever one can hold it. */
function plainIntegers(row: unknown): unknown {
  const plain = row as Record<string, unknown>;
  for (const column in plain) {
    const value = plain[column];
    if (typeof value === "bigint" && Number.isSafeInteger(Number(value))) plain[column] = Number(value);
  }
  return plain;
}

function* eachPlain(rows: Iterable<unknown>): Generator<unknown, undefined> {
  for (const row of rows) yield plainIntegers(row);
}

/** Rows that are read one by one, and how many such readings are under way. */
function* counted(rows: Iterable<unknown>, underWay: { count: number }): Generator<unknown, undefined> {
  underWay.count += 1;
  try {
    yield* rows;
  } finally {
    underWay.count -= 1;
  }
}

/** A prepared statement in the shape Kysely's SQLite driver expects. */
class CachedStatement implements SqliteStatement {
  readonly reader: boolean;
  readonly #statement: StatementSync;
  readonly #anyInteger: boolean;
  readonly #iterations: { count: number };

  constructor(statement: StatementSync, anyInteger: boolean, iterations: { count: number }) {
    this.#statement = statement;
    this.#anyInteger = anyInteger;
    this.#iterations = iterations;
    if (anyInteger) statement.setReadBigInts(true);
    this.reader = statement.columns().length > 0;
  }

  all(parameters: readonly unknown[]): unknown[] {
    const rows = this.#statement.all(...(parameters as SQLInputValue[]));
    return this.#anyInteger ? rows.map(plainIntegers) : rows;
  }

  run(parameters: readonly unknown[]): { changes: number | bigint; lastInsertRowid: number | bigint } {
    return this.#statement.run(...(parameters as SQLInputValue[]));
  }

  iterate(parameters: readonly unknown[]): IterableIterator<unknown> {
    const rows = counted(this.#statement.iterate(...(parameters as SQLInputValue[])), this.#iterations);
    return this.#anyInteger ? eachPlain(rows) : rows;
  }
}

/** node:sqlite behind the interface of Kysely's own SqliteDialect, with a statement cache. */
class ConnectionShim implements SqliteDatabase {
  readonly #connection: DatabaseSync;
  readonly #writer: boolean;
  readonly #anyInteger: boolean;
  readonly #cache = new Map<string, CachedStatement>();
  /** Statements whose rows are being read one by one. */
  readonly #iterations = { count: 0 };

  constructor(connection: DatabaseSync, writer: boolean, anyInteger = false) {
    this.#connection = connection;
    this.#writer = writer;
    this.#anyInteger = anyInteger;
  }

  prepare(query: string): SqliteStatement {
    // A deferred transaction that reads first and writes later can fail half-way with SQLITE_BUSY; taking the write lock at
    // `begin` makes the failure, if any, come before any work.
    const text = this.#writer && query === "begin" ? "begin immediate" : query;
    const cached = this.#cache.get(text);
    if (cached !== undefined) {
      this.#cache.delete(text);
      this.#cache.set(text, cached);
      return cached;
    }
    const statement = new CachedStatement(this.#connection.prepare(text), this.#anyInteger, this.#iterations);
    this.#cache.set(text, statement);
    if (this.#cache.size > STATEMENT_CACHE_SIZE) {
      const oldest = this.#cache.keys().next();
      if (oldest.done !== true) this.#cache.delete(oldest.value);
    }
    return statement;
  }

  /** Whether a transaction is open. False in the middle of one when SQLite has rolled it back by itself. */
  get inTransaction(): boolean {
    return this.#connection.isOpen && this.#connection.isTransaction;
  }

  /**
   * What one query answers as the database is now.
   *
   * INVARIANT: undefined while a transaction is open or rows are still being read, which both keep the connection at an earlier moment: who
   * then asks waits for the connection.
   */
  answer(text: string, parameters: readonly unknown[]): unknown[] | undefined {
    return this.#iterations.count > 0 || this.#connection.isTransaction
      ? undefined
      : this.prepare(text).all(parameters);
  }

  /** See {@link WriteDatabase.scrub}. */
  scrub(): void {
    this.#cache.clear();
    // VACUUM copies what is live into a new file and that over the old one, through the write-ahead log
    // (https://sqlite.org/lang_vacuum.html); the checkpoint then empties the log. Not in memory: the copy is as large as the database.
    this.#connection.exec("pragma temp_store = file");
    this.#connection.exec("vacuum");
    const row = this.#connection.prepare("pragma wal_checkpoint(truncate)").get();
    this.#connection.exec("pragma temp_store = memory");
    if (row?.["busy"] !== 0) {
      throw new ServerError(
        "storage-failed",
        "the write-ahead log could not be emptied: somebody is reading the database",
        {
          hint: "end every program that has the database open, and try again",
        },
      );
    }
  }

  close(): void {
    this.#cache.clear();
    if (this.#connection.isOpen) this.#connection.close();
  }
}

/** The path of the SQLite database in a data directory. */
export function databasePath(dataDirectory: string): string {
  return join(dataDirectory, "assay.db");
}

/**
 * Takes the data directory for this server, for as long as the process lives: SQLite mode has exactly one writer. The lock is an
 * operating-system lock on a file of its own, so it ends with the process however that ends.
 *
 * @throws ServerError `data-directory-busy` when another server holds it.
 */
export function lockDataDirectory(dataDirectory: string): { release(): void } {
  mkdirSync(dataDirectory, { recursive: true, mode: 0o700 });
  const lock = new DatabaseSync(join(dataDirectory, "server.lock"));
  try {
    lock.exec("pragma busy_timeout = 0");
    lock.exec("pragma locking_mode = exclusive");
    lock.exec("begin exclusive");
  } catch (cause) {
    lock.close();
    if (!isBusy(cause)) throw translateDiskError(cause);
    throw new ServerError("data-directory-busy", `another Assay server is using the data directory ${dataDirectory}`, {
      cause,
      hint: "stop the other server, or give this one a directory of its own with ASSAY_DATA",
    });
  }
  return {
    release() {
      if (lock.isOpen) lock.close();
    },
  };
}

/** Whether somebody else has the lock (SQLITE_BUSY); a full or read-only disk fails to lock, too, and says so itself. */
function isBusy(error: unknown): boolean {
  return (
    error instanceof Error && "errcode" in error && typeof error.errcode === "number" && (error.errcode & 0xff) === 5
  );
}

/**
 * Keeps a server whose database is in this directory away from it while this process lives, and finds out that one is at work here. Any
 * number of processes with their database elsewhere may hold it together.
 *
 * INVARIANT: a directory's newest checkpoint is that of one database. A record that is restored from SQLite into PostgreSQL keeps its data
 * directory; were the old server still running, both would sign, each over its own history, under the same key.
 *
 * @throws ServerError `data-directory-busy` when such a server holds it.
 */
export function shareDataDirectory(dataDirectory: string): { release(): void } {
  mkdirSync(dataDirectory, { recursive: true, mode: 0o700 });
  const lock = new DatabaseSync(join(dataDirectory, "server.lock"));
  try {
    lock.exec("pragma busy_timeout = 0");
    // A read transaction that is never ended: SQLite's shared lock (https://sqlite.org/lockingv3.html, section 3).
    lock.exec("begin");
    lock.prepare("select 1 from sqlite_schema").get();
  } catch (cause) {
    lock.close();
    if (!isBusy(cause)) throw translateDiskError(cause);
    throw new ServerError(
      "data-directory-busy",
      `an Assay server with its database in ${dataDirectory} (SQLite) is using that directory`,
      { cause, hint: "stop that server, or give this one a directory of its own with ASSAY_DATA" },
    );
  }
  return {
    release() {
      if (lock.isOpen) lock.close();
    },
  };
}

/**
 * Opens a connection that reads, also on a medium that cannot be written: there SQLite cannot make the shared-memory file of the
 * write-ahead log, and reads the database as immutable instead, which is right as long as the log is empty.
 */
function openToRead(path: string): DatabaseSync {
  const connection = new DatabaseSync(path, { readOnly: true });
  try {
    connection.prepare("select 1 from sqlite_schema limit 1").get();
    return connection;
  } catch (error) {
    connection.close();
    const log = `${path}-wal`;
    const logged = existsSync(log) && statSync(log).size > 0;
    // SQLITE_CANTOPEN, SQLITE_READONLY with its extended codes.
    const code = error instanceof Error && "errcode" in error ? Number(error.errcode) & 0xff : 0;
    if (code !== 14 && code !== 8) throw error;
    if (logged) {
      throw new ServerError(
        "data-directory-unusable",
        `${path} has a write-ahead log, and its directory cannot be written`,
        {
          cause: error,
          hint: "copy the data directory to where it can be written, and name the copy",
        },
      );
    }
    return new DatabaseSync(new URL(`${pathToFileURL(path).href}?immutable=1`), { readOnly: true });
  }
}

function openConnection(path: string, readOnly: boolean): DatabaseSync {
  const connection = readOnly ? openToRead(path) : new DatabaseSync(path);
  connection.exec("pragma busy_timeout = 5000");
  if (!readOnly) {
    connection.exec("pragma journal_mode = wal");
    // FULL syncs the write-ahead log at every commit: "committed" means on disk (https://sqlite.org/pragma.html#pragma_synchronous).
    connection.exec("pragma synchronous = full");
    const mode = connection.prepare("pragma journal_mode").get();
    const sync = connection.prepare("pragma synchronous").get();
    if (mode?.["journal_mode"] !== "wal" || sync?.["synchronous"] !== 2) {
      connection.close();
      throw new ServerError("data-directory-unusable", `SQLite cannot keep a synced write-ahead log at ${path}`, {
        hint: "put ASSAY_DATA on a local file system (not NFS)",
      });
    }
    connection.exec("pragma wal_autocheckpoint = 4000");
  }
  connection.exec("pragma foreign_keys = off");
  // What lies above the leaves of the indexes by digest is some 64 MB at ten million events; every append goes through it.
  connection.exec(`pragma cache_size = ${readOnly ? -32768 : -65536}`);
  connection.exec("pragma temp_store = memory");
  return connection;
}

/**
 * Opens a read connection. Readers never block the writer, nor it them (write-ahead log).
 *
 * @param anyInteger integers that no number holds come as bigints, instead of failing the query: for reading what may be damaged.
 */
export function openSqliteReader(path: string, anyInteger = false): ReadDatabase {
  if (!existsSync(path)) {
    throw new ServerError("data-directory-unusable", `there is no Assay database at ${path}`, {
      hint: "name the server's data directory with --data or ASSAY_DATA",
    });
  }
  const connection = new ConnectionShim(openConnection(path, true), false, anyInteger);
  const kysely = new Kysely<unknown>({ dialect: new SqliteDialect({ database: connection }) });
  answersAtOnce(kysely, (text, parameters) => connection.answer(text, parameters));
  return {
    tables<T>() {
      return kysely as unknown as Kysely<T>;
    },
    async snapshot(work) {
      return await kysely.transaction().execute((transaction) =>
        work({
          tables<T>() {
            return transaction as unknown as Kysely<T>;
          },
        }),
      );
    },
    async close() {
      await kysely.destroy();
      // Kysely closes only what it has used.
      connection.close();
    },
  };
}

class SqliteBatch implements Batch {
  readonly #transaction: ControlledTransaction<unknown>;
  readonly #connection: ConnectionShim;

  constructor(transaction: ControlledTransaction<unknown>, connection: ConnectionShim) {
    this.#transaction = transaction;
    this.#connection = connection;
  }

  tables<T>(): Kysely<T> {
    return this.#transaction as unknown as Kysely<T>;
  }

  schema(): Kysely<unknown> {
    return this.#transaction;
  }

  async savepoint<T>(work: () => Promise<T>): Promise<T> {
    // Straight to the connection, which this transaction has for itself: of a small command's statements two are these.
    this.#connection.prepare("savepoint command").run([]);
    try {
      const result = await work();
      this.#connection.prepare("release savepoint command").run([]);
      return result;
    } catch (error) {
      // A full disk or an I/O error makes SQLite roll back the whole transaction (https://sqlite.org/lang_transaction.html, section
      // 3). Nothing may follow it in this batch: each later statement would be committed by itself, an event without its leaf.
      if (!this.#connection.inTransaction) {
        const why = error instanceof Error ? error.message : String(error);
        throw new ServerError("storage-failed", `the database undid the batch: ${why}`, {
          cause: error,
          hint: "make room on the disk of ASSAY_DATA, or mend it",
        });
      }
      this.#connection.prepare("rollback to savepoint command").run([]);
      this.#connection.prepare("release savepoint command").run([]);
      throw error;
    }
  }
}

/**
 * Opens an empty database of this process's own that is gone when it is closed: in memory while it is small, in a temporary file without
 * a name when it grows (https://sqlite.org/inmemorydb.html, "temporary databases"). Nothing of it is ever synced.
 */
export function openSqliteScratch(): WriteDatabase {
  const connection = new DatabaseSync("");
  connection.exec("pragma journal_mode = memory");
  connection.exec("pragma synchronous = off");
  connection.exec("pragma cache_size = -65536");
  connection.exec("pragma foreign_keys = off");
  return writeDatabase(connection);
}

/** Opens the write connection. Only the writer (or an administrator's tool on a stopped server) does this. */
export function openSqliteWriter(path: string): WriteDatabase {
  return writeDatabase(openConnection(path, false));
}

function writeDatabase(opened: DatabaseSync): WriteDatabase {
  const connection = new ConnectionShim(opened, true);
  const kysely = new Kysely<unknown>({ dialect: new SqliteDialect({ database: connection }) });
  const reader: Reader = {
    tables<T>() {
      return kysely as unknown as Kysely<T>;
    },
  };
  return {
    shared: false,
    async transaction(work) {
      const transaction = await kysely.startTransaction().execute();
      try {
        const result = await work(new SqliteBatch(transaction, connection));
        // COMMIT POINT of a transaction in SQLite. Before: its pages are at most in the write-ahead log, without the mark that ends a
        // commit, and every start ignores them. After: the log is synced, the mark in it; copying it into the database file changes
        // nothing any more. When the sync fails SQLite rolls back, and the next transaction writes the same places again, so that no
        // later sync passes for the one that failed.
        await transaction.commit().execute();
        return result;
      } catch (error) {
        if (!transaction.isCommitted && !transaction.isRolledBack) {
          try {
            await transaction.rollback().execute();
          } catch (second) {
            // Already rolled back by SQLite itself: then the first error is the one to tell.
            if (connection.inTransaction) throw second;
          }
        }
        throw error;
      }
    },
    scrub: async () => connection.scrub(),
    servers: () => Promise.resolve([]),
    // One process holds the data directory (lockDataDirectory), so it is alone already.
    alone: (work) => work(),
    now() {
      return Promise.resolve(Date.now());
    },
    reader: () => reader,
    async close() {
      await kysely.destroy();
      // Kysely closes only what it has used.
      connection.close();
    },
  };
}
