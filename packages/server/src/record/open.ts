import { rename } from "node:fs/promises";
import { join } from "node:path";
import {
  emptyRoot,
  formatNote,
  formatVkey,
  NOTE_ED25519,
  noteSignatureLine,
  noteSignedBytes,
  parseVkey,
} from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { ServerError } from "../errors.ts";
import { Keyring, rawEd25519 } from "../keys/keyring.ts";
import type { MasterKey } from "../keys/master.ts";
import { SequencedLog } from "../log/log.ts";
import type { LogTables } from "../log/schema.ts";
import type { Reader, WriteDatabase } from "../storage/database.ts";
import { makeDurableDirectory, syncDirectory } from "../storage/durable.ts";
import { type Command, type JsonObject, SYSTEM_ACTOR, SYSTEM_ORG } from "./command.ts";
import { foundingKeyCommands, makeFoundingKeys, recordMissingKeys } from "./missing-keys.ts";
import type { RecordParts } from "./parts.ts";
import type { RecordTables } from "./schema.ts";
import type { RecordStamp } from "./stamp.ts";
import { settleSuccession, successions } from "./succession.ts";
import { RecordWriter } from "./writer.ts";
import { ONE_ROW } from "../storage/one-row.ts";

/** The record's log among the server's logs. */
export const RECORD_LOG = "record";

/** The row that stands in the place of the record's log while a record is being restored (backup/restore.ts). */
export const RESTORING_LOG = "record.restoring";

/** Where the record's tiles and checkpoints lie. */
export function recordLogDirectory(dataDirectory: string): string {
  return join(dataDirectory, "logs", RECORD_LOG);
}

/** Where the service's encrypted private keys lie. */
export function keyDirectory(dataDirectory: string): string {
  return join(dataDirectory, "keys");
}

/** Reads the commitments of entries [from, to). */
export async function readCommitments(reader: Reader, from: number, to: number): Promise<Uint8Array[]> {
  const rows = await reader
    .tables<RecordTables>()
    .selectFrom("leaf")
    .select("commitment")
    .where("sequence", ">=", from)
    .where("sequence", "<", to)
    .orderBy("sequence")
    .execute();
  return rows.map((row) => row.commitment);
}

interface OpenOptions {
  database: WriteDatabase;
  dataDirectory: string;
  master: MasterKey;
  parts: RecordParts;
  founding: readonly Command[];
  host: string | undefined;
  beforeSigning?: BeforeSigning | undefined;
  /** Asked inside each batch where other hosts may change the schema meanwhile (storage/migrate.ts). */
  fence?: ((reader: Reader) => Promise<void>) | undefined;
  /** Told of each commit of events. Only where nobody else writes the record. */
  stamp?: RecordStamp | undefined;
}

/**
 * Asked once the log is open and before the first checkpoint of this process is signed; what it throws keeps the record shut.
 *
 * @param sign signs a checkpoint's text as the log does. What it signs is on no disk: nothing but the empty tree may be signed with it.
 */
export type BeforeSigning = (log: SequencedLog, sign: (text: string) => string, reader: Reader) => Promise<void>;

/** An open record. */
export interface OpenedRecord {
  readonly writer: RecordWriter;
  readonly log: SequencedLog;
  readonly keyring: Keyring;
}

/**
 * Opens the record for writing; at first start it gives birth to it: keys, the log, and the founding events. Each step can be
 * repeated after a crash in the middle. Of several hosts started together one founds it, the others wait and find it there.
 *
 * @param founding commands for the first batch, after the record's own (the default organisation).
 * @param host the public host name, which becomes part of the log's origin when it is a real one.
 * @param beforeSigning see {@link BeforeSigning}.
 */
export async function openRecord(options: OpenOptions): Promise<OpenedRecord> {
  return await options.database.alone(() => openAlone(options));
}

async function openAlone(options: OpenOptions): Promise<OpenedRecord> {
  const keys = keyDirectory(options.dataDirectory);
  await makeDurableDirectory(keys);
  await settleSuccession({
    dataDirectory: options.dataDirectory,
    logDirectory: recordLogDirectory(options.dataDirectory),
    keyDirectory: keys,
    decided: await successions(options.database.reader()),
  });
  let keyring = Keyring.open(keys, options.master);
  const born = await options.database
    .reader()
    .tables<LogTables>()
    .selectFrom("log_state")
    .selectAll()
    .where("name", "=", RECORD_LOG)
    .executeTakeFirst();

  if (born === undefined) {
    await refuseUnfounded(options.database.reader());
    if (keyring.has("log-record")) await setAsideLogKey(keys, keyring.key("log-record").id);
  }
  if (born === undefined || born.size === 0) {
    keyring = await makeFoundingKeys(keys, options.master, options.database.reader());
  }
  const logKey = keyring.key("log-record");
  // An origin is unique and never changes: the host when the operator named one, else the log key itself.
  const origin = born?.origin ?? `${options.host ?? `assay-${logKey.id.slice(0, 16)}`}/logs/${RECORD_LOG}`;
  const vkey = formatVkey(origin, NOTE_ED25519, rawEd25519(logKey));
  if (born === undefined) {
    await options.database.transaction((batch) =>
      SequencedLog.create(batch, { name: RECORD_LOG, origin, vkey, emptyRoot: emptyRoot(nodeCrypto) }),
    );
  }
  const noteKey = parseVkey(vkey);
  const signer = keyring;
  const sign = (text: string): string =>
    formatNote(text, [noteSignatureLine(noteKey, signer.sign("log-record", noteSignedBytes(text)))]);
  const log = await SequencedLog.open({
    name: RECORD_LOG,
    database: options.database,
    directory: recordLogDirectory(options.dataDirectory),
    crypto: nodeCrypto,
    vkey,
    entries: readCommitments,
    sign,
  });
  await options.beforeSigning?.(log, sign, options.database.reader());
  const writer = await RecordWriter.open(options.database, log, options.parts, nodeCrypto, options);
  if (log.size === 0) {
    const system = (type: string, body: JsonObject): Command => ({ type, org: SYSTEM_ORG, actor: SYSTEM_ACTOR, body });
    // COMMIT POINT of the founding: one batch. Before: the log is empty, and the next start founds the record, with the keys that lie
    // there. After: the record begins with its log, its keys and the default organisation.
    const founded = await writer.append([
      system("record.create-log", { name: RECORD_LOG, origin, vkey }),
      ...(await foundingKeyCommands(writer, keyring)),
      ...options.founding,
    ]);
    if (!founded.ok) throw new ServerError("internal", `the record could not be founded: ${founded.refusal.message}`);
  } else {
    keyring = await recordMissingKeys({
      reader: options.database.reader(),
      record: writer,
      directory: keys,
      master: options.master,
      keyring,
      shared: options.database.shared,
    });
  }
  // Whoever is told that the record is open can read everything in it from the tiles.
  await log.published();
  return { writer, log, keyring };
}

/**
 * No log is founded under a key that was there before it: the key may have signed for the log of another database (a host whose
 * database's name was mistyped, a data directory that lost its database and its logs), and a second history under it would be a fork.
 * One that a start left that crashed before it wrote the log down has signed nothing, and is not missed.
 */
async function setAsideLogKey(keys: string, id: string): Promise<void> {
  const retired = join(keys, "retired");
  await makeDurableDirectory(retired);
  await rename(join(keys, "log-record.key.json"), join(retired, `log-record-${id.slice(0, 16)}.json`));
  await syncDirectory(retired);
  await syncDirectory(keys);
}

/**
 * A database without a log is founded only when nothing is in it.
 *
 * @throws ServerError `restore-unfinished`, `log-inconsistent`.
 */
async function refuseUnfounded(reader: Reader): Promise<void> {
  const restoring = await reader
    .tables<LogTables>()
    .selectFrom("log_state")
    .select("name")
    .where("name", "=", RESTORING_LOG)
    .executeTakeFirst();
  if (restoring !== undefined) {
    throw new ServerError("restore-unfinished", "a restore into this database did not come to its end", {
      hint: "run `assay server restore` again: it starts over",
    });
  }
  const event = await reader
    .tables<RecordTables>()
    .selectFrom("event")
    .select("sequence")
    .limit(ONE_ROW)
    .executeTakeFirst();
  if (event !== undefined) {
    throw new ServerError("log-inconsistent", "the database holds events, but the state of their log is gone", {
      hint: "restore it from a backup, into another database",
    });
  }
}
