import type { Kysely } from "kysely";

/**
 * What may read: a room sees its own tables only, by naming them (`reader.tables<RegistryTables>()`). A Reader has no method that
 * writes, so a function that takes one cannot.
 */
export interface Reader {
  tables<T>(): ReadTables<T>;
}

/** The reading half of Kysely. */
export type ReadTables<T> = Pick<Kysely<T>, "selectFrom" | "with" | "withRecursive" | "fn" | "dynamic">;

/**
 * What may write: handed only to projections and operations, inside the writer's transaction. Everything done through it is
 * undone together when the command that caused it is refused or fails.
 */
export interface Transactor extends Reader {
  tables<T>(): Kysely<T>;
}

/** A database opened for reading; many per server. */
export interface ReadDatabase extends Reader {
  /** Runs `work` on one moment of the database: nothing written meanwhile is seen. */
  snapshot<T>(work: (reader: Reader) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/** A batch in progress on the one write connection. */
export interface Batch extends Transactor {
  /**
   * Runs one command's work under a savepoint. When `work` throws, everything it wrote is undone, the transaction stays usable
   * and the error is thrown on: one command's failure never touches the others of its batch.
   *
   * @throws ServerError `storage-failed` when the database gave up the whole transaction: the batch must end, nothing of it exists.
   */
  savepoint<T>(work: () => Promise<T>): Promise<T>;
}

/** The write connection. There is one in SQLite mode, owned by the writer thread. */
export interface WriteDatabase {
  /** Runs `work` in one transaction. It is durable when the returned promise resolves; nothing of it exists when it rejects. */
  transaction<T>(work: (batch: Batch) => Promise<T>): Promise<T>;
  /** The database's clock, ms since the epoch. */
  now(): Promise<number>;
  /** A reader on the write connection, for use between transactions only. */
  reader(): Reader;
  close(): Promise<void>;
}
