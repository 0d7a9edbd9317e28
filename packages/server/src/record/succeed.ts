import { rm } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type Checkpoint,
  equalBytes,
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
import { newestCheckpointPath, openCheckpoint, SequencedLog } from "../log/log.ts";
import type { LogTables } from "../log/schema.ts";
import { TileFiles } from "../log/tile-files.ts";
import { TileTree } from "../log/tree.ts";
import type { WriteDatabase } from "../storage/database.ts";
import { readIfThere } from "../storage/durable.ts";
import { SYSTEM_ACTOR, SYSTEM_ORG } from "./command.ts";
import { keyDirectory, readCommitments, RECORD_LOG, recordLogDirectory } from "./open.ts";
import type { RecordParts } from "./parts.ts";
import { serviceKeys } from "./service-key-queries.ts";
import { preparedKeys, preparedLog, settleSuccession, type Succession, successions } from "./succession.ts";
import { RecordWriter } from "./writer.ts";

/** How long the sessions of servers that have just been stopped may take to end, ms. */
const SESSIONS_END_MS = 3_000;

/** What is closed, and why. */
export interface SucceedOptions {
  readonly database: WriteDatabase;
  readonly dataDirectory: string;
  readonly master: MasterKey;
  readonly parts: RecordParts;
  readonly reason: string;
  /** A checkpoint of the log that is newer than the newest this data directory has: kept elsewhere, or a witness's. */
  readonly against?: string | undefined;
  /** Hears of each step that is done. What it throws ends the work there, as a crash would. */
  readonly tell: (line: string) => void;
}

/**
 * Closes the record's log and opens a successor, when the database is behind what was signed over that log and the rest is lost. The
 * successor is a log of its own origin and key with every entry that is left, at its old place, so that sequence stays leaf index; its
 * first new entry says which log it succeeds, under which checkpoint, and what was lost. The old log signs nothing more, its files stay.
 *
 * Of a crash in the middle: before the one transaction the old log is as it was, behind and refused; after it the successor is decided,
 * and the next start, or the next call of this, puts the files where they belong. No server may run.
 *
 * @returns the succession; one that was decided and not settled yet, when that is what there was to do.
 * @throws ServerError `succession-refused` when the database is not behind or a server runs on it, `log-inconsistent` when it is no older state of this log.
 */
export async function succeedLog(options: SucceedOptions): Promise<Succession> {
  return await options.database.alone(() => succeedAlone(options));
}

async function succeedAlone(options: SucceedOptions): Promise<Succession> {
  const { database, dataDirectory, tell } = options;
  await refuseServers(database);
  const logDirectory = recordLogDirectory(dataDirectory);
  const keys = keyDirectory(dataDirectory);
  const earlier = await successions(database.reader());
  const settle = (decided: readonly Succession[]): Promise<boolean> =>
    settleSuccession({ dataDirectory, logDirectory, keyDirectory: keys, decided, tell });
  const newest = earlier.at(-1);
  if (newest !== undefined && (await settle(earlier))) return newest;

  const state = await database
    .reader()
    .tables<LogTables>()
    .selectFrom("log_state")
    .selectAll()
    .where("name", "=", RECORD_LOG)
    .executeTakeFirst();
  if (state === undefined) throw new ServerError("succession-refused", "the database holds no record");
  const signed = await newestSigned(options, state, logDirectory);
  await refuseOtherHistory(logDirectory, state);

  // The new key is durable before anything names it, and is no key of the service before that.
  const staged = preparedKeys(keys);
  const keyring = await newLogKey(staged, options.master);
  const key = keyring.key("log-record");
  const origin = nextOrigin(
    state.origin,
    earlier.map((succession) => succession.previous.origin),
  );
  const vkey = formatVkey(origin, NOTE_ED25519, rawEd25519(key));
  tell("the successor's key is made");

  const directory = preparedLog(dataDirectory);
  await rm(directory, { recursive: true, force: true });
  const noteKey = parseVkey(vkey);
  const log = await SequencedLog.open({
    name: RECORD_LOG,
    database,
    directory,
    crypto: nodeCrypto,
    vkey: state.vkey,
    entries: readCommitments,
    sign: (text) => formatNote(text, [noteSignatureLine(noteKey, keyring.sign("log-record", noteSignedBytes(text)))]),
    successor: { origin, vkey },
  });
  await refuseOtherEntries(options, state, logDirectory, (size) => log.rootAt(size));
  tell("the entries that are left hold together");
  const writer = await RecordWriter.open(database, log, options.parts, nodeCrypto);
  const succession: Succession = {
    origin,
    vkey,
    previous: {
      origin: state.origin,
      vkey: state.vkey,
      checkpoint: signed.note,
      kept: state.size,
      lost: signed.checkpoint.size - state.size,
    },
    closed: `record.closed-${earlier.length + 1}`,
    reason: options.reason,
  };
  try {
    // COMMIT POINT of a succession: one transaction appends the events that say so and swaps the log's origin, key, size and root.
    // Before: the old log stands, and a server refuses to sign for it. After: there is only the successor.
    const appended = await writer.append({
      type: "record.succeed-log",
      org: SYSTEM_ORG,
      actor: SYSTEM_ACTOR,
      body: {
        succession,
        retired: await logKeyId(database, state.vkey, state.origin),
        key: { id: key.id, purpose: "log-record", algorithm: key.algorithm, publicKey: key.publicKeyPem },
      },
    });
    if (!appended.ok) throw new ServerError("succession-refused", appended.refusal.message);
  } finally {
    await writer.stop();
  }
  tell("the succession is decided");
  await settle([...earlier, succession]);
  return succession;
}

/**
 * A server that runs knows only the closed log: it could sign nothing for it any more, but it looks after its checkpoint files, and would
 * put them over the successor's in a directory that both use.
 *
 * @throws ServerError `succession-refused`.
 */
async function refuseServers(database: WriteDatabase): Promise<void> {
  for (const deadline = Date.now() + SESSIONS_END_MS; ; await sleep(100)) {
    const servers = await database.servers();
    if (servers.length === 0) return;
    if (Date.now() < deadline) continue;
    const where = [...new Set(servers.map(({ address }) => address ?? "a local socket"))];
    throw new ServerError("succession-refused", `a server is at work on this database, from ${where.join(", ")}`, {
      hint: "stop every server of this record first. The sessions of a host that is gone end by themselves",
    });
  }
}

/** The newest checkpoint that was signed over the log. @throws ServerError `succession-refused` when the database has all of it. */
async function newestSigned(
  options: SucceedOptions,
  state: LogTables["log_state"],
  logDirectory: string,
): Promise<{ note: string; checkpoint: Checkpoint }> {
  const found: { note: string; checkpoint: Checkpoint }[] = [];
  for (const note of [options.against, await readIfThere(newestCheckpointPath(logDirectory))]) {
    if (note === undefined) continue;
    const checkpoint = await openCheckpoint(nodeCrypto, note, parseVkey(state.vkey), state.origin);
    found.push({ note, checkpoint });
  }
  const [signed] = found.toSorted((left, right) => right.checkpoint.size - left.checkpoint.size);
  if (signed === undefined || signed.checkpoint.size <= state.size) {
    throw new ServerError(
      "succession-refused",
      `the database holds all ${state.size} entries of ${state.origin} that were signed over: nothing is lost`,
      {
        hint: "a log is closed only when it cannot go on. If somebody has seen a newer checkpoint of it, name that with --against",
      },
    );
  }
  return signed;
}

/**
 * What is published of the old log must go on from the entries that are left: then they are an older state of it, and nothing else.
 *
 * @throws ServerError `log-inconsistent`.
 */
async function refuseOtherHistory(logDirectory: string, state: LogTables["log_state"]): Promise<void> {
  const files = new TileFiles(logDirectory);
  const note = await files.checkpoint();
  if (note === undefined) return;
  const checkpoint = await openCheckpoint(nodeCrypto, note, parseVkey(state.vkey), state.origin);
  if (checkpoint.size < state.size) return;
  const tree = TileTree.open(nodeCrypto, (level, index, width) => files.readTile(level, index, width), checkpoint.size);
  if (!equalBytes(tree.root(), checkpoint.root) || !equalBytes(tree.root(state.size), state.root)) {
    throw new ServerError(
      "log-inconsistent",
      `the database is no older state of ${state.origin}: its ${state.size} entries are not the first ${state.size} that were published`,
      { hint: "restore a backup of this very log" },
    );
  }
}

/**
 * Every checkpoint of the old log that is known and is over no more than what is left must be over the entries that are left. Publication
 * may have been late: then no tile tells of them, and this is all that does.
 *
 * @throws ServerError `log-inconsistent`.
 */
async function refuseOtherEntries(
  options: SucceedOptions,
  state: LogTables["log_state"],
  logDirectory: string,
  rootAt: (size: number) => Uint8Array,
): Promise<void> {
  const kept = [newestCheckpointPath(logDirectory), new TileFiles(logDirectory).checkpointPath];
  for (const note of [options.against, ...(await Promise.all(kept.map(readIfThere)))]) {
    if (note === undefined) continue;
    const { size, root } = await openCheckpoint(nodeCrypto, note, parseVkey(state.vkey), state.origin);
    if (size > state.size || equalBytes(rootAt(size), root)) continue;
    throw new ServerError(
      "log-inconsistent",
      `the database is no older state of ${state.origin}: its first ${size} entries are not those a checkpoint was signed over`,
      { hint: "restore a backup of this very log" },
    );
  }
}

/** A new key for the successor. One that an earlier call left was never decided on: it has signed nothing anybody saw. */
async function newLogKey(directory: string, master: MasterKey): Promise<Keyring> {
  await Keyring.create(directory, master, "log-record");
  return Keyring.open(directory, master);
}

/** `<origin>/2`, then `/3`: the first that no log of this record has had. */
export function nextOrigin(origin: string, earlier: readonly string[]): string {
  const taken = new Set([...earlier, origin]);
  const [root] = earlier;
  for (let number = 2; ; number += 1) {
    const next = `${root ?? origin}/${number}`;
    if (!taken.has(next)) return next;
  }
}

/** The id under which the record knows the log's key. */
async function logKeyId(database: WriteDatabase, vkey: string, origin: string): Promise<string> {
  const keys = (await serviceKeys(database.reader(), "log-record")).filter((key) => !key.retired);
  const [key] = keys;
  if (key === undefined || keys.length !== 1) {
    throw new ServerError("log-inconsistent", `the record does not know the key ${vkey} of ${origin}`, {
      hint: "run `assay server check`",
    });
  }
  return key.id;
}
