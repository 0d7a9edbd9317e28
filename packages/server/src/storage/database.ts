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

/** A transaction in progress on a write connection. */
export interface Batch extends Transactor {
  /** The database as migrations see it: column types are `text`, `integer` (64 bits) and `blob` in both databases. */
  schema(): Kysely<unknown>;
  /**
   * Runs one command's work under a savepoint. When `work` throws, everything it wrote is undone, the transaction stays usable
   * and the error is thrown on: one command's failure never touches the others of its batch.
   *
   * @throws ServerError `storage-failed` when the database gave up the whole transaction: the batch must end, nothing of it exists.
   */
  savepoint<T>(work: () => Promise<T>): Promise<T>;
}

/** A server's session at the database. */
export interface ServerSession {
  /** The name of the newest schema step its program knows. */
  readonly program: string;
  /** Where it comes from; null when the database does not say. */
  readonly address: string | null;
}

/** The database opened for writing: by the one writer thread of SQLite mode, or by the writer of each host on PostgreSQL. */
export interface WriteDatabase {
  /** Whether other hosts may write too. False: what this process knows of the record cannot have changed behind its back. */
  readonly shared: boolean;
  /**
   * Runs `work` in one transaction. It is durable when the returned promise resolves; nothing of it exists when it rejects, save with
   * `write-unconfirmed`, when the database went away during the commit itself.
   *
   * @param options `long`: an administrator's work, which may take its time.
   */
  transaction<T>(work: (batch: Batch) => Promise<T>, options?: { readonly long?: boolean }): Promise<T>;
  /** Runs `work` while no other server on this database runs work of this kind: migrations, the founding of a record. */
  alone<T>(work: () => Promise<T>): Promise<T>;
  /**
   * Rewrites the database's files, so that nothing deleted or replaced before is left in them: not in free pages, and in SQLite not in the
   * write-ahead log. No server may be running. It takes as long, and as much room, as a copy of the database.
   */
  scrub(): Promise<void>;
  /** The servers at work on this database, as their sessions give themselves out; none where only one process can have it open. */
  servers(): Promise<readonly ServerSession[]>;
  /** The database's clock, ms since the epoch. */
  now(): Promise<number>;
  /** A reader beside the transactions; in SQLite mode on the write connection itself, for use between transactions only. */
  reader(): Reader;
  close(): Promise<void>;
}
