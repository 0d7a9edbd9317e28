import {
  type ControlledTransaction,
  Kysely,
  PostgresDialect,
  type PostgresPool,
  type PostgresPoolClient,
  sql,
} from "kysely";
import { Client, Pool, type PoolClient } from "pg";
import Cursor from "pg-cursor";
import { ServerError } from "../errors.ts";
import type { Batch, ReadDatabase, Reader, WriteDatabase } from "./database.ts";
import { lostConnection, translateError, translateSecondError } from "./postgres-errors.ts";
import { outgrown, PreparedStatements } from "./postgres-statements.ts";
import { DAMAGED_VALUE_TYPES, PortableColumnsPlugin, VALUE_TYPES, type ValueTypes } from "./postgres-types.ts";

/** Connections one process opens at most: HTTP processes read on many, the writer needs its transaction and a few reads beside it. */
const READERS = 8;
const WRITERS = 4;

/** How long a connection may take to open, or to become free, ms. */
const CONNECT_MS = 5_000;

/**
 * Bounds on the writer's sessions, ms. They make the database end the transaction of a host that was stopped, cut off or overloaded in
 * the middle, with its row locks, so that the others go on within seconds. A statement waits for the log's row longer than an idle
 * holder may keep it.
 */
const IDLE_IN_TRANSACTION_MS = 4_000;
const LOCK_MS = 7_000;
const STATEMENT_MS = 10_000;
/** After this the connection itself is taken for dead: nobody answered, not even with an error. */
const ANSWER_MS = 12_000;

/** Bounds on a reader's statements, ms. `check` reads whole tables; no statement of it is as long as that. */
const READ_STATEMENT_MS = 60_000;

/** Bounds for what only an administrator starts (migrations, rebuild), ms. */
const LONG_MS = 6 * 3_600_000;

/** The oldest major version with everything that is used here. */
const OLDEST_VERSION = 140_000;

/** What the sessions of running servers are called at the database, before the name of their program. */
const SERVER_SESSION = "assay-server/";

/** The advisory lock under which one server at a time migrates and founds: "assay" in ASCII. */
const ALONE_LOCK = 0x61_73_73_61_79;
const ALONE_WAIT_MS = 60_000;

/** A pooled client with prepared statements and errors of ours, and never used again once its state is unknown. */
class ClientShim implements PostgresPoolClient {
  readonly #client: PoolClient;
  readonly #statements: PreparedStatements;
  #broken: ServerError | undefined;
  /** The statement under way: a session runs one at a time, in the order they were given. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(client: PoolClient, statements: PreparedStatements) {
    this.#client = client;
    this.#statements = statements;
  }

  // The two forms of Kysely's interface: a statement, or a cursor to be read in parts.
  query(...request: readonly unknown[]): never {
    const [statement, parameters] = request;
    if (typeof statement !== "string") return this.#client.query(statement as Cursor) as never;
    const result = this.#last.then(() => this.#run(statement, parameters as readonly unknown[]));
    // Whoever asked gets the error; here it only ends the wait.
    this.#last = result.catch(() => undefined);
    return result as never;
  }

  async #run(statement: string, parameters: readonly unknown[]): Promise<unknown> {
    if (this.#broken !== undefined) throw this.#broken;
    const name = this.#statements.nameOf(statement, parameters);
    const values = [...parameters];
    try {
      if (name === undefined) return await this.#client.query(statement, values);
      try {
        return await this.#client.query({ name, text: statement, values });
      } catch (cause) {
        if (!outgrown(cause)) throw cause;
        this.#statements.giveUp(statement);
        try {
          return await this.#client.query(statement, values);
        } catch (second) {
          throw translateSecondError(second);
        }
      }
    } catch (cause) {
      const error = translateError(cause);
      // What the session goes on doing is unknown: it must end with this use.
      if (lostConnection(cause) && error instanceof ServerError) this.#broken = error;
      throw error;
    }
  }

  release(destroy = false): void {
    this.#client.release(destroy || this.#broken !== undefined);
  }
}

/** `pg`'s pool in the shape Kysely's PostgresDialect takes; every new session is prepared, and refused when it is not fit. */
class PoolShim implements PostgresPool {
  readonly options: object = {};
  readonly #pool: Pool;
  readonly #prepare: (client: PoolClient) => Promise<void>;
  /** The sessions that are ready for use, with what they have prepared. */
  readonly #ready = new WeakMap<PoolClient, PreparedStatements>();
  #ending: Promise<void> | undefined;

  constructor(
    url: string,
    size: number,
    answerMs: number | undefined,
    prepare: (client: PoolClient) => Promise<void>,
    types: ValueTypes = VALUE_TYPES,
  ) {
    this.#prepare = prepare;
    this.#pool = new Pool({
      connectionString: url,
      max: size,
      types,
      connectionTimeoutMillis: CONNECT_MS,
      idleTimeoutMillis: 30_000,
      keepAlive: true,
      keepAliveInitialDelayMillis: 5_000,
      application_name: "assay",
      ...(answerMs === undefined ? {} : { query_timeout: answerMs }),
    });
    // A session that ends while nobody uses it (the database restarts) is replaced at the next use, which reports what is wrong then;
    // without listeners the process would end instead.
    const replaced = (): void => undefined;
    this.#pool.on("error", replaced);
    this.#pool.on("connect", (client) => client.on("error", replaced));
  }

  async connect(): Promise<ClientShim> {
    const client = await this.session();
    const statements = this.#ready.get(client);
    if (statements === undefined) throw new ServerError("internal", "a session that was not made ready");
    return new ClientShim(client, statements);
  }

  /** A session as `pg` has it. */
  async session(): Promise<PoolClient> {
    if (this.#ending !== undefined) throw new ServerError("writer-stopped", "the database is closed");
    let client: PoolClient;
    try {
      client = await this.#pool.connect();
    } catch (cause) {
      throw translateError(cause, true);
    }
    if (this.#ready.has(client)) return client;
    try {
      await this.#prepare(client);
    } catch (cause) {
      client.release(true);
      throw translateError(cause);
    }
    this.#ready.set(client, new PreparedStatements());
    return client;
  }

  end(): Promise<void> {
    this.#ending ??= this.#pool.end();
    return this.#ending;
  }
}

async function prepareReader(client: PoolClient): Promise<void> {
  // Reads are planned for what they ask about: a builder of half of all evidence and one of ten pieces need different plans, and one plan
  // for both is three times as slow for the first. What the writer runs looks up rows by their keys, where one plan does.
  await client.query(
    `set default_transaction_read_only = on; set statement_timeout = ${READ_STATEMENT_MS}; set plan_cache_mode = force_custom_plan`,
  );
}

/**
 * Prepares a session that writes.
 *
 * @throws ServerError `database-not-durable` when a commit would not be on disk (https://www.postgresql.org/docs/18/wal-async-commit.html),
 *   `database-unusable` when the database is read-only, too old, or not UTF-8.
 */
async function prepareWriter(client: PoolClient): Promise<void> {
  await client.query(
    `set idle_in_transaction_session_timeout = ${IDLE_IN_TRANSACTION_MS}; set lock_timeout = ${LOCK_MS}; set statement_timeout = ${STATEMENT_MS}; set default_transaction_isolation = 'read committed'; set default_transaction_read_only = off`,
  );
  const { rows } = await client.query<{
    fsync: string;
    synchronous_commit: string;
    encoding: string;
    version: number;
    standby: boolean;
  }>(
    "select current_setting('fsync') as fsync, current_setting('synchronous_commit') as synchronous_commit, current_setting('server_encoding') as encoding, current_setting('server_version_num')::int as version, pg_is_in_recovery() as standby",
  );
  const [found] = rows;
  if (found === undefined) throw new ServerError("internal", "the database says nothing about itself");
  if (found.fsync !== "on" || found.synchronous_commit === "off") {
    const setting = found.fsync === "on" ? "synchronous_commit" : "fsync";
    throw new ServerError(
      "database-not-durable",
      `this PostgreSQL runs with ${setting} = off: a power failure would lose records`,
      {
        hint: `set ${setting} = on for the server, the database and the user of ASSAY_DATABASE_URL`,
      },
    );
  }
  if (found.standby) {
    throw new ServerError("database-unusable", "this PostgreSQL is a standby and cannot be written", {
      hint: "point ASSAY_DATABASE_URL at the primary (or name several hosts with target_session_attrs=read-write)",
    });
  }
  if (found.version < OLDEST_VERSION || found.encoding !== "UTF8") {
    throw new ServerError(
      "database-unusable",
      `this PostgreSQL has version ${found.version} and encoding ${found.encoding}`,
      { hint: "version 14 or newer and a database with encoding UTF8 are needed" },
    );
  }
}

function kyselyOver(pool: PoolShim): Kysely<unknown> {
  return new Kysely<unknown>({
    dialect: new PostgresDialect({ pool, cursor: Cursor, controlClient: Client as never }),
  });
}

/**
 * Opens the database for reading: a pool of sessions.
 *
 * @param anyInteger integers that no number holds come as bigints, instead of failing the query: for reading what may be damaged.
 */
export function openPostgresReader(url: string, anyInteger = false): ReadDatabase {
  const pool = new PoolShim(url, READERS, undefined, prepareReader, anyInteger ? DAMAGED_VALUE_TYPES : VALUE_TYPES);
  const kysely = kyselyOver(pool);
  return {
    tables<T>() {
      return kysely as unknown as Kysely<T>;
    },
    async snapshot(work) {
      return await kysely
        .transaction()
        .setIsolationLevel("repeatable read")
        .setAccessMode("read only")
        .execute((transaction) =>
          work({
            tables<T>() {
              return transaction as unknown as Kysely<T>;
            },
          }),
        );
    },
    async close() {
      await kysely.destroy();
      await pool.end();
    },
  };
}

class PostgresBatch implements Batch {
  readonly #transaction: ControlledTransaction<unknown>;

  constructor(transaction: ControlledTransaction<unknown>) {
    this.#transaction = transaction;
  }

  tables<T>(): Kysely<T> {
    return this.#transaction as unknown as Kysely<T>;
  }

  schema(): Kysely<unknown> {
    return this.#transaction.withPlugin(new PortableColumnsPlugin());
  }

  async savepoint<T>(work: () => Promise<T>): Promise<T> {
    const point = await this.#transaction.savepoint("command").execute();
    try {
      const result = await work();
      await point.releaseSavepoint("command").execute();
      return result;
    } catch (error) {
      await point.rollbackToSavepoint("command").execute();
      await point.releaseSavepoint("command").execute();
      throw error;
    }
  }
}

/** Ends a transaction that failed. What the database says to that adds nothing: without a commit nothing of it exists. */
async function abandon(transaction: ControlledTransaction<unknown>): Promise<void> {
  if (transaction.isCommitted || transaction.isRolledBack) return;
  try {
    await transaction.rollback().execute();
  } catch (error) {
    if (!(error instanceof ServerError)) throw error;
  }
}

/**
 * Waits for {@link ALONE_LOCK}.
 *
 * @throws ServerError `database-busy` when another server keeps it: it migrates a large database, or was stopped.
 */
async function takeAloneLock(session: PoolClient): Promise<void> {
  const deadline = Date.now() + ALONE_WAIT_MS;
  for (;;) {
    let taken: boolean;
    try {
      const { rows } = await session.query<{ taken: boolean }>("select pg_try_advisory_lock($1) as taken", [
        ALONE_LOCK,
      ]);
      taken = rows[0]?.taken === true;
    } catch (cause) {
      throw translateError(cause);
    }
    if (taken) return;
    if (Date.now() > deadline) {
      throw new ServerError("database-busy", "another server is migrating or founding this database", {
        hint: "wait until it has started, then start this one again",
      });
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/**
 * Opens the database for writing. Every server host has one of these; the log's row orders them (log/log.ts).
 *
 * @param answerMs after this a connection that does not answer is taken for dead, save in `long` transactions.
 * @param server set in a running server: the program it is, which its sessions give themselves out as.
 */
export function openPostgresWriter(url: string, answerMs = ANSWER_MS, server?: string): WriteDatabase {
  const prepare = async (client: PoolClient): Promise<void> => {
    await prepareWriter(client);
    if (server === undefined) return;
    await client.query("select set_config('application_name', $1, false)", [`${SERVER_SESSION}${server}`]);
  };
  const pool = new PoolShim(url, WRITERS, answerMs, prepare);
  const kysely = kyselyOver(pool);
  // One statement of a migration or a rebuild may take minutes: no silence makes its connection dead. It opens at its first use.
  const patientPool = new PoolShim(url, 1, undefined, prepare);
  const patient = kyselyOver(patientPool);
  const reader: Reader = {
    tables<T>() {
      return kysely as unknown as Kysely<T>;
    },
  };
  return {
    shared: true,
    async transaction(work, options) {
      // READ COMMITTED: what follows the lock on the log's row sees everything committed before the lock was given.
      const transaction = await (options?.long === true ? patient : kysely).startTransaction().execute();
      try {
        if (options?.long === true) {
          await sql
            .raw(`set local statement_timeout = ${LONG_MS}; set local idle_in_transaction_session_timeout = ${LONG_MS}`)
            .execute(transaction);
        }
        const result = await work(new PostgresBatch(transaction));
        // COMMIT POINT of a transaction in PostgreSQL. Before: nothing of it exists for anybody, and a host that is gone takes it along.
        // After: PostgreSQL has synced it (a server whose database does not sync refuses to start). Between the two, without an answer,
        // only the database knows which.
        try {
          await transaction.commit().execute();
        } catch (cause) {
          // The connection ended between COMMIT and its answer: the transaction may or may not exist. The next batch finds out from the
          // log's row; this one must not be answered as if it were known.
          if (!(cause instanceof ServerError) || cause.code !== "database-unavailable") throw cause;
          throw new ServerError(
            "write-unconfirmed",
            "the database went away while it committed: the write may be recorded or not",
            {
              cause,
              hint: "look whether it is there before sending it again: a decision or an API key would be there twice",
            },
          );
        }
        return result;
      } catch (error) {
        await abandon(transaction);
        throw error;
      }
    },
    async now() {
      const { rows } = await sql<{ now: number }>`
        select (extract(epoch from clock_timestamp()) * 1000)::bigint as now`.execute(kysely);
      const [row] = rows;
      if (row === undefined) throw new ServerError("internal", "the database tells no time");
      return row.now;
    },
    async servers() {
      // A server looks after the record twice a second, so it always has a session; the database ends those of a host that is gone.
      const { rows } = await sql<{ program: string; address: string | null }>`
        select distinct substr(application_name, ${SERVER_SESSION.length + 1}::int) as program, host(client_addr) as address
        from pg_stat_activity
        where datname = current_database() and starts_with(application_name, ${SERVER_SESSION})
        order by 1, 2`.execute(kysely);
      return rows;
    },
    async scrub() {
      const session = await patientPool.session();
      try {
        await session.query(`set statement_timeout = ${LONG_MS}; set lock_timeout = ${ALONE_WAIT_MS}`);
        const { rows } = await session.query<{ name: string }>(
          "select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname = current_schema()",
        );
        // Each table's live rows go into a new file, and the old one away; ANALYZE replaces what the planner kept of its values.
        for (const { name } of rows) await session.query(`vacuum (full, analyze) ${name}`);
      } catch (cause) {
        throw translateError(cause);
      } finally {
        session.release(true);
      }
    },
    async alone(work) {
      // The lock belongs to the session and ends with it, also when this process dies.
      const session = await pool.session();
      let whole = false;
      try {
        await takeAloneLock(session);
        const result = await work();
        whole = await session.query("select pg_advisory_unlock($1)", [ALONE_LOCK]).then(
          () => true,
          // The session is gone, and the lock with it; the work is done.
          () => false,
        );
        return result;
      } finally {
        session.release(!whole);
      }
    },
    reader: () => reader,
    async close() {
      await kysely.destroy();
      await patient.destroy();
      await pool.end();
      await patientPool.end();
    },
  };
}
