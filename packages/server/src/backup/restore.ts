import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { emptyRoot, parseDigest, parseVkey, toHex } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { sql } from "kysely";
import { composeParts, MIGRATIONS, refillTables } from "../composition.ts";
import { prepareDataDirectory } from "../config.ts";
import { ServerError } from "../errors.ts";
import { Keyring, rawEd25519 } from "../keys/keyring.ts";
import { MasterKey } from "../keys/master.ts";
import type { LogTables } from "../log/schema.ts";
import { type StoredEvent, storedEvents } from "../record/check-events.ts";
import type { NamedBlob } from "../record/command.ts";
import { keyDirectory, RECORD_LOG, RESTORING_LOG } from "../record/open.ts";
import type { RecordParts } from "../record/parts.ts";
import { clearProjections, replayEvents } from "../record/replay.ts";
import type { RecordTables } from "../record/schema.ts";
import { serviceKeys } from "../record/service-key-queries.ts";
import type { BlobStore } from "../storage/blobs.ts";
import type { WriteDatabase } from "../storage/database.ts";
import { makeDurableDirectory, writeDurable } from "../storage/durable.ts";
import { migrate } from "../storage/migrate.ts";
import { type DatabasePlace, lockPlace, openWriter } from "../storage/open.ts";
import { openBlobs } from "../storage/open-blobs.ts";
import type { S3Location } from "../storage/s3-location.ts";
import { forgetLostDeliveries } from "../webhooks/restored.ts";
import { FIRST_GENERATION } from "../storage/generations.ts";
import { UNRECORDED_TABLES } from "../storage/unrecorded.ts";
import type { DecryptionChoice } from "./encryption.ts";
import type { CounterLine, Manifest } from "./format.ts";
import { newestSigned, placeLog } from "./place-log.ts";
import { type ArchivedEvent, type ArchiveSink, readChain } from "./verify.ts";
import { ONE_ROW } from "../storage/one-row.ts";

/** Rows of one statement: both databases bound how many values one may carry. */
const ROWS_PER_STATEMENT = 500;

/** Events replayed per transaction. */
const REPLAY_BATCH = 500;

/** The staged upload that blobs come in through, one after another. A crash leaves at most this one. */
const STAGED = "restored-blob";

/** Blobs up to this size are written in one go, bytes. */
const SMALL_BLOB = 1024 * 1024;

/** What is restored, and to where. */
export interface RestoreOptions extends DatabasePlace {
  readonly s3?: S3Location | undefined;
  readonly masterKey?: string | undefined;
  /** The full archive first. */
  readonly archives: readonly string[];
  readonly decryption?: DecryptionChoice | undefined;
  readonly vkey?: string | undefined;
  readonly tell: (line: string) => void;
}

/** What a restore came to. */
export interface RestoreReport {
  readonly events: number;
  readonly blobs: number;
  readonly origin: string;
  readonly vkey: string;
  /** Entries of the newest checkpoint that was signed in this data directory, where that is more than was restored. */
  readonly newest: number | undefined;
}

/**
 * Restores a record from a chain of archives into the configured place, whichever database and blob store that is. Everything is held
 * against what proves it while it is read (backup/verify.ts), by the same code that verifies archives without restoring them.
 *
 * Until the log's row stands, no server starts here (`restore-unfinished`); a restore that is run again starts over.
 *
 * @throws ServerError `restore-refused` when the place holds a record, or files of another; `archive-damaged`, `archive-locked`;
 *   `key-missing` and `key-unreadable` when the archive's keys do not open under the configured master key.
 */
export async function restore(options: RestoreOptions): Promise<RestoreReport> {
  prepareDataDirectory(options.dataDirectory);
  const lock = lockPlace(options);
  const database = openWriter(options);
  try {
    await migrate(database, MIGRATIONS, { refill: refillTables });
    // No server founds or migrates meanwhile: it waits, and then finds either nothing finished or everything.
    return await database.alone(async () => {
      const store = await openBlobs(options, { warn: (_detail, message) => options.tell(message) });
      try {
        return await restoreInto(options, database, store.blobs);
      } finally {
        await store.close();
      }
    });
  } finally {
    await database.close();
    lock.release();
  }
}

async function restoreInto(options: RestoreOptions, database: WriteDatabase, blobs: BlobStore): Promise<RestoreReport> {
  const { tell, dataDirectory } = options;
  const parts = composeParts();
  await begin(database, parts);
  const sink = new RestoreSink(options, database, blobs);
  const chain = await readChain({
    archives: options.archives,
    decryption: options.decryption ?? {},
    vkey: options.vkey,
    sink,
    work: "restore",
    tell,
    found({ archive, where, problem }) {
      throw new ServerError("archive-damaged", `${archive}: ${where}: ${problem}`, {
        hint: "nothing is restored from a damaged archive: take another copy of it, or an older backup. `assay server verify-backup` names all that is wrong",
      });
    },
  });
  if (chain === undefined) throw new ServerError("internal", "a chain of archives was read without an end");
  await replay(database, parts, tell);
  await sink.requireBlobs(parts);
  tell("tables refilled");
  await sink.requireKeys();
  const newest = await newestSigned(dataDirectory, database, chain);
  await sink.placeFiles();
  tell("keys in place");
  await placeLog(dataDirectory, database, chain, newest);
  tell("checkpoint and tiles in place");
  await database.transaction(async (batch) => {
    await forgetLostDeliveries(batch);
    const logs = batch.tables<LogTables>();
    await logs.deleteFrom("log_state").where("name", "=", RESTORING_LOG).execute();
    await logs
      .insertInto("log_state")
      .values({
        name: RECORD_LOG,
        origin: chain.origin,
        vkey: chain.vkey,
        epoch: 0,
        size: chain.size,
        root: chain.root,
      })
      .execute();
    // COMMIT POINT of a restore. Before: a server refuses to start here, and the next restore empties everything and starts over. After:
    // the record is here, whole: its events, tables and blobs, the keys that sign for it, and the newest checkpoint beside it.
  });
  return {
    events: chain.size,
    blobs: sink.blobs.size,
    origin: chain.origin,
    vkey: chain.vkey,
    newest: newest === undefined || newest <= chain.size ? undefined : newest,
  };
}

/** Empties what an unfinished restore left, and says that one is under way. @throws ServerError `restore-refused`. */
async function begin(database: WriteDatabase, parts: RecordParts): Promise<void> {
  await database.transaction(
    async (batch) => {
      const logs = batch.tables<LogTables>();
      const names = (await logs.selectFrom("log_state").select("name").execute()).map(({ name }) => name);
      const event = await batch
        .tables<RecordTables>()
        .selectFrom("event")
        .select("sequence")
        .limit(ONE_ROW)
        .executeTakeFirst();
      if (names.includes(RECORD_LOG) || (event !== undefined && !names.includes(RESTORING_LOG))) {
        throw new ServerError("restore-refused", "the database holds a record already", {
          hint: "restore into an empty one: another ASSAY_DATA or ASSAY_DATABASE_URL, or move the database away first (assay.db* in the data directory)",
        });
      }
      await clearProjections(batch, parts);
      for (const table of ["event", "leaf", ...UNRECORDED_TABLES.filter((t) => t.backedUp).map((t) => t.table)]) {
        await sql`delete from ${sql.table(table)}`.execute(batch.tables<unknown>());
      }
      if (names.includes(RESTORING_LOG)) return;
      await logs
        .insertInto("log_state")
        .values({ name: RESTORING_LOG, origin: "", vkey: "", epoch: 0, size: 0, root: emptyRoot(nodeCrypto) })
        .execute();
    },
    { long: true },
  );
}

/** Fills the tables from the events, which have all been verified. */
export async function replay(database: WriteDatabase, parts: RecordParts, tell: (line: string) => void): Promise<void> {
  let pending: StoredEvent[] = [];
  let count = 0;
  const flush = async (): Promise<void> => {
    const events = pending;
    pending = [];
    await database.transaction(async (batch) => {
      await replayEvents(batch, parts, events);
    });
    count += events.length;
    if (count % (REPLAY_BATCH * 20) === 0) tell(`tables: ${count} events`);
  };
  for await (const event of storedEvents(database.reader())) {
    pending.push(event);
    if (pending.length === REPLAY_BATCH) await flush();
  }
  if (pending.length > 0) await flush();
}

/** Writes the record that comes out of the archives into a database. */
export class RecordSink {
  /** Digests (hex) of the blobs that were in the archives. */
  readonly blobs = new Set<string>();
  protected readonly database: WriteDatabase;

  constructor(database: WriteDatabase) {
    this.database = database;
  }

  async events(events: readonly ArchivedEvent[]): Promise<void> {
    await this.database.transaction(async (batch) => {
      const record = batch.tables<RecordTables>();
      for (let at = 0; at < events.length; at += ROWS_PER_STATEMENT) {
        const some = events.slice(at, at + ROWS_PER_STATEMENT);
        await record
          .insertInto("event")
          .values(
            some.map(({ sequence, org, orgSequence, type, version, actor, time, bytes }) => ({
              sequence,
              org,
              org_sequence: orgSequence,
              type,
              version,
              actor,
              time,
              bytes,
            })),
          )
          .execute();
        await record
          .insertInto("leaf")
          .values(some.map(({ sequence, salt, commitment }) => ({ sequence, salt, commitment })))
          .execute();
      }
    });
  }

  async replaced(events: readonly { readonly sequence: number; readonly bytes: Uint8Array }[]): Promise<void> {
    await this.database.transaction(async (batch) => {
      const record = batch.tables<RecordTables>();
      for (const { sequence, bytes } of events) {
        await record.updateTable("event").set({ bytes }).where("sequence", "=", sequence).execute();
        await record
          .updateTable("leaf")
          .set({ salt: new Uint8Array(0) })
          .where("sequence", "=", sequence)
          .execute();
      }
    });
  }

  async counters(table: string, rows: readonly CounterLine[], last: boolean): Promise<void> {
    if (!last) return;
    // A table that this program does not count in any more is let go.
    if (!UNRECORDED_TABLES.some((known) => known.table === table && known.backedUp)) return;
    interface AnyTables {
      [table: string]: Record<string, string | number | null>;
    }
    await this.database.transaction(async (batch) => {
      for (const row of rows) await batch.tables<AnyTables>().insertInto(table).values(row).execute();
    });
  }

  /** Blobs that the refilled tables name and no archive has. */
  async *missingBlobs(parts: RecordParts): AsyncGenerator<NamedBlob> {
    for await (const blob of parts.blobs(this.database.reader())) {
      if (!this.blobs.has(blob.digest.slice("sha256:".length))) yield blob;
    }
  }
}

/** Writes what comes out of the archives. */
class RestoreSink extends RecordSink implements ArchiveSink {
  readonly #options: RestoreOptions;
  readonly #store: BlobStore;
  #vkey = "";
  #keys: ReadonlyMap<string, Uint8Array> = new Map();

  constructor(options: RestoreOptions, database: WriteDatabase, store: BlobStore) {
    super(database);
    this.#options = options;
    this.#store = store;
  }

  async manifest(manifest: Manifest): Promise<void> {
    this.#vkey = manifest.vkey;
  }

  /** Keys may have been sealed anew since an older archive: only the last one's count, and are tried before anything else is read. */
  async keys(files: ReadonlyMap<string, Uint8Array>, last: boolean): Promise<void> {
    if (!last) return;
    this.#keys = files;
    const staging = this.#staging();
    await rm(staging, { recursive: true, force: true });
    await makeDurableDirectory(staging);
    for (const [name, bytes] of files) await writeDurable(join(staging, name), Buffer.from(bytes).toString());
    const keyring = this.#opened();
    if (
      !keyring.has("log-record") ||
      toHex(rawEd25519(keyring.key("log-record"))) !== toHex(parseVkey(this.#vkey).publicKey)
    ) {
      throw new ServerError("key-missing", `the archive does not have the key of the log ${this.#vkey}`, {
        hint: "take another backup: without this key nothing could be signed",
      });
    }
    await this.#refuseOtherKeys();
  }

  async closed(log: string, path: string, bytes: Uint8Array): Promise<void> {
    const file = join(this.#options.dataDirectory, "logs", log, path);
    await makeDurableDirectory(join(file, ".."));
    await writeDurable(file, bytes, 0o644);
  }

  async blob(hex: string, size: number, content: AsyncIterable<Uint8Array>): Promise<void> {
    const digest = parseDigest(`sha256:${hex}`);
    if (size <= SMALL_BLOB) {
      const pieces: Uint8Array[] = [];
      for await (const piece of content) pieces.push(Buffer.from(piece));
      await this.#store.putSmall(Buffer.concat(pieces), FIRST_GENERATION);
    } else {
      await (await this.#store.stage(STAGED)).discard();
      const staged = await this.#store.stage(STAGED);
      // Reading to the end fails when the bytes are not the digest's, so what is adopted is what its name says.
      await staged.append(0, content, () => undefined);
      await this.#store.adopt(staged, digest, FIRST_GENERATION);
    }
    this.blobs.add(hex);
  }

  /** Every blob that the restored tables name came out of an archive. */
  async requireBlobs(parts: RecordParts): Promise<void> {
    for await (const { digest, namedBy } of this.missingBlobs(parts)) {
      throw new ServerError("archive-damaged", `no archive has the blob ${digest}, which ${namedBy} needs`, {
        hint: "take another backup",
      });
    }
  }

  /** Every private key that the restored record counts on is there. What a backup never holds is made anew at the first start. */
  async requireKeys(): Promise<void> {
    const keyring = this.#opened();
    for (const { id, purpose, retired } of await serviceKeys(this.database.reader())) {
      if (retired || purpose === "witness" || keyring.find(id) !== undefined) continue;
      throw new ServerError("key-missing", `the archive does not have the ${purpose} key ${id}`, {
        hint: "take another backup: the record counts on this key",
      });
    }
  }

  /** Puts the key files where the server looks for them. What is there already is the same key, sealed under whatever master key. */
  async placeFiles(): Promise<void> {
    const directory = keyDirectory(this.#options.dataDirectory);
    await makeDurableDirectory(directory);
    for (const [name, bytes] of this.#keys) {
      await writeDurable(join(directory, name), Buffer.from(bytes).toString());
    }
    await rm(this.#staging(), { recursive: true, force: true });
  }

  /** Opens the archive's keys. @throws ServerError `key-missing`, `key-unreadable`, saying what a restore needs. */
  #opened(): Keyring {
    const { masterKey, dataDirectory } = this.#options;
    try {
      return Keyring.open(this.#staging(), MasterKey.choose(masterKey, dataDirectory, false));
    } catch (error) {
      if (!(error instanceof ServerError) || (error.code !== "key-missing" && error.code !== "key-unreadable"))
        throw error;
      throw new ServerError(error.code, `the keys in the archive cannot be opened: ${error.message}`, {
        cause: error,
        hint: `a backup never holds the master key. Set ASSAY_MASTER_KEY to the one of the server that was backed up, or put its master.key into ${dataDirectory} (mode 0600), and restore again`,
      });
    }
  }

  /** Private keys of something else are not overwritten: they may be the only ones. */
  async #refuseOtherKeys(): Promise<void> {
    const { dataDirectory } = this.#options;
    const directory = keyDirectory(dataDirectory);
    await mkdir(directory, { recursive: true, mode: 0o700 });
    for (const name of await readdir(directory)) {
      const archived = this.#keys.get(name);
      if (archived === undefined) continue;
      const idOf = (text: string): unknown => (JSON.parse(text) as { id?: unknown }).id;
      const there = idOf(await readFile(join(directory, name), "utf8"));
      if (there !== idOf(Buffer.from(archived).toString())) {
        throw new ServerError("restore-refused", `${join(directory, name)} is another key than the archive's`, {
          hint: "this data directory belongs to another record: restore into another, or move its keys and logs away",
        });
      }
    }
  }

  #staging(): string {
    return join(this.#options.dataDirectory, "keys.restoring");
  }
}
