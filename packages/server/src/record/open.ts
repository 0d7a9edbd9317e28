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
import { KEY_ALGORITHMS, type KeyPurpose, Keyring, rawEd25519 } from "../keys/keyring.ts";
import type { MasterKey } from "../keys/master.ts";
import { SequencedLog } from "../log/log.ts";
import type { LogTables } from "../log/schema.ts";
import type { Reader, WriteDatabase } from "../storage/database.ts";
import { makeDurableDirectory } from "../storage/durable.ts";
import { type Command, type JsonObject, SYSTEM_ACTOR, SYSTEM_ORG } from "./command.ts";
import type { RecordParts } from "./parts.ts";
import type { RecordTables } from "./schema.ts";
import { RecordWriter } from "./writer.ts";

/** The record's log among the server's logs. */
export const RECORD_LOG = "record";

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
}

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
 */
export async function openRecord(options: OpenOptions): Promise<OpenedRecord> {
  return await options.database.alone(() => openAlone(options));
}

async function openAlone(options: OpenOptions): Promise<OpenedRecord> {
  const keys = keyDirectory(options.dataDirectory);
  await makeDurableDirectory(keys);
  let keyring = Keyring.open(keys, options.master);
  const born = await options.database
    .reader()
    .tables<LogTables>()
    .selectFrom("log_state")
    .selectAll()
    .where("name", "=", RECORD_LOG)
    .executeTakeFirst();

  if (born === undefined || born.size === 0) {
    for (const purpose of Object.keys(KEY_ALGORITHMS) as KeyPurpose[]) {
      if (!keyring.has(purpose)) await Keyring.create(keys, options.master, purpose);
    }
    keyring = Keyring.open(keys, options.master);
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
  const log = await SequencedLog.open({
    name: RECORD_LOG,
    database: options.database,
    directory: recordLogDirectory(options.dataDirectory),
    crypto: nodeCrypto,
    vkey,
    entries: readCommitments,
    sign: (text) => formatNote(text, [noteSignatureLine(noteKey, signer.sign("log-record", noteSignedBytes(text)))]),
  });
  const writer = await RecordWriter.open(options.database, log, options.parts, nodeCrypto);
  if (log.size === 0) {
    const system = (type: string, body: JsonObject): Command => ({ type, org: SYSTEM_ORG, actor: SYSTEM_ACTOR, body });
    const founded = await writer.append([
      system("record.create-log", { name: RECORD_LOG, origin, vkey }),
      ...(Object.keys(KEY_ALGORITHMS) as KeyPurpose[]).map((purpose) => {
        const key = keyring.key(purpose);
        return system("keys.create", {
          id: key.id,
          purpose,
          algorithm: key.algorithm,
          publicKey: key.publicKeyPem,
        });
      }),
      ...options.founding,
    ]);
    if (!founded.ok) throw new ServerError("internal", `the record could not be founded: ${founded.refusal.message}`);
  }
  // Whoever is told that the record is open can read everything in it from the tiles.
  await log.published();
  return { writer, log, keyring };
}
