import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { type ControlledTransaction, Kysely, type SqliteDatabase, SqliteDialect, type SqliteStatement } from "kysely";
import { ServerError } from "../errors.ts";
import type { Batch, ReadDatabase, Reader, WriteDatabase } from "./database.ts";

/** Prepared statements kept per connection. The server's queries are few and fixed; 512 holds all of them. */
const STATEMENT_CACHE_SIZE = 512;

/** A prepared statement in the shape Kysely's SQLite driver expects. */
class CachedStatement implements SqliteStatement {
  readonly reader: boolean;
  readonly #statement: StatementSync;

  constructor(statement: StatementSync) {
    this.#statement = statement;
    this.reader = statement.columns().length > 0;
  }

  all(parameters: readonly unknown[]): unknown[] {
    return this.#statement.all(...(parameters as SQLInputValue[]));
  }

  run(parameters: readonly unknown[]): { changes: number | bigint; lastInsertRowid: number | bigint } {
    return this.#statement.run(...(parameters as SQLInputValue[]));
  }

  iterate(parameters: readonly unknown[]): IterableIterator<unknown> {
    return this.#statement.iterate(...(parameters as SQLInputValue[]));
  }
}

/** node:sqlite behind the interface of Kysely's own SqliteDialect, with a statement cache. */
class ConnectionShim implements SqliteDatabase {
  readonly #connection: DatabaseSync;
  readonly #writer: boolean;
  readonly #cache = new Map<string, CachedStatement>();

  constructor(connection: DatabaseSync, writer: boolean) {
    this.#connection = connection;
    this.#writer = writer;
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
    const statement = new CachedStatement(this.#connection.prepare(text));
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

function openConnection(path: string, readOnly: boolean): DatabaseSync {
  const connection = new DatabaseSync(path, { readOnly });
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
    connection.exec("pragma wal_autocheckpoint = 2000");
  }
  connection.exec("pragma foreign_keys = off");
  connection.exec("pragma cache_size = -32768");
  connection.exec("pragma temp_store = memory");
  return connection;
}

/** Opens a read connection. Readers never block the writer, nor it them (write-ahead log). */
export function openSqliteReader(path: string): ReadDatabase {
  if (!existsSync(path)) {
    throw new ServerError("data-directory-unusable", `there is no Assay database at ${path}`, {
      hint: "name the server's data directory with --data or ASSAY_DATA",
    });
  }
  const connection = new ConnectionShim(openConnection(path, true), false);
  const kysely = new Kysely<unknown>({ dialect: new SqliteDialect({ database: connection }) });
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
    const point = await this.#transaction.savepoint("command").execute();
    try {
      const result = await work();
      await point.releaseSavepoint("command").execute();
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
      await point.rollbackToSavepoint("command").execute();
      await point.releaseSavepoint("command").execute();
      throw error;
    }
  }
}

/** Opens the write connection. Only the writer (or an administrator's tool on a stopped server) does this. */
export function openSqliteWriter(path: string): WriteDatabase {
  const connection = new ConnectionShim(openConnection(path, false), true);
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
