import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import {
  type Checkpoint,
  equalBytes,
  fromHex,
  leafHash,
  parseDigest,
  parseVkey,
  recordCommitment,
  toBase64,
  toHex,
} from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { checkKeys } from "../admin/check-keys.ts";
import { composeParts, MIGRATIONS } from "../composition.ts";
import { ServerError } from "../errors.ts";
import { comingKeyPath } from "../keys/master.ts";
import { CompactTree } from "../log/compact-tree.ts";
import { newestCheckpointPath, openCheckpoint } from "../log/log.ts";
import type { LogTables } from "../log/schema.ts";
import { storedEvents } from "../record/check-events.ts";
import { keyDirectory, RECORD_LOG, recordLogDirectory } from "../record/open.ts";
import { EVENTS_REDACTED } from "../record/redaction.ts";
import type { RecordTables } from "../record/schema.ts";
import { VERSION } from "../serve.ts";
import { successions } from "../record/succession.ts";
import type { BlobStore } from "../storage/blobs.ts";
import type { Reader } from "../storage/database.ts";
import { readIfThere, writeDurable } from "../storage/durable.ts";
import { schemaState } from "../storage/migrate.ts";
import { type DatabasePlace, openReader } from "../storage/open.ts";
import { openBlobsToRead } from "../storage/open-blobs.ts";
import type { S3Location } from "../storage/s3-location.ts";
import { UNRECORDED_TABLES } from "../storage/unrecorded.ts";
import { ArchiveWriter } from "./archive-writer.ts";
import { closedLogFiles } from "./closed-logs.ts";
import { chooseEncryption, type DecryptionChoice, type EncryptionChoice } from "./encryption.ts";
import { Chunks, FORMAT, type Index, jsonBytes, MANIFEST, type Manifest, UNKEPT_KEY } from "./format.ts";
import { type ArchiveIndex, indexBeside, readArchiveIndex } from "./open-archive.ts";
import { Progress } from "./progress.ts";
import { ONE_ROW } from "../storage/one-row.ts";

/** How often a moment is looked for in which no event after the newest checkpoint redacts one before it, and how far apart, ms. */
const MOMENTS = { attempts: 40, apart: 250 };

/** What is backed up, and to where. */
export interface BackupOptions extends DatabasePlace {
  readonly s3?: S3Location | undefined;
  /** ASSAY_MASTER_KEY, where it is set: the private keys must open under it. */
  readonly masterKey?: string | undefined;
  /** A path, or `-` for standard output. */
  readonly to: string;
  /** The archive (or the index) that this one goes on from; undefined: everything. */
  readonly since?: string | undefined;
  readonly encryption?: EncryptionChoice | undefined;
  /** What opens `since`, where it is encrypted and its index is not beside it. */
  readonly decryption?: DecryptionChoice | undefined;
  readonly tell: (line: string) => void;
}

/** What a backup came to. */
export interface BackupReport {
  readonly id: string;
  readonly from: number;
  readonly to: number;
  /** Blobs in this archive; the chain may have more. */
  readonly blobs: number;
  readonly bytes: number;
}

/** The record at the moment of a backup. */
interface Moment {
  readonly snapshot: Reader;
  readonly origin: string;
  readonly vkey: string;
  readonly note: string;
  readonly checkpoint: Checkpoint;
}

/**
 * Backs up a record, beside a running server or not: everything under one signed checkpoint, events and the blobs they need. Each event
 * is held against its commitment, all of them against the checkpoint's root, each blob against its digest, so that what cannot be
 * restored is not written.
 *
 * @throws ServerError `check-failed` naming the event or the blob that is damaged, `log-behind-checkpoint` when the database is an older
 *   copy, `backup-refused`, `archive-damaged` and `archive-locked` of `since`.
 */
export async function backUp(options: BackupOptions): Promise<BackupReport> {
  const { tell } = options;
  const encryption = options.encryption ?? { recipients: [] };
  const encrypt = chooseEncryption(encryption);
  const base =
    options.since === undefined ? undefined : await readArchiveIndex(options.since, options.decryption ?? {});
  const time = new Date();
  const reader = openReader(options);
  const writer = await ArchiveWriter.create({ to: options.to, encrypt, time });
  try {
    await refuseOlderSchema(reader);
    const progress = new Progress("backup", tell);
    const taken = await atMoment(reader, options.dataDirectory, (moment) =>
      writeRecord(writer, moment, base, time, options, progress),
    );
    // The database is let go before the blobs are read, which may take hours: they are never changed, and what the record needs stays.
    const store = await openBlobsToRead(options, { warn: (_detail, message) => tell(message) });
    let blobs: Index["blobs"];
    try {
      blobs = await writeBlobs(writer, store.blobs, taken.named, base, progress);
    } finally {
      await store.close();
    }
    const index: Index = {
      format: FORMAT,
      to: taken.to,
      checkpoint: taken.checkpoint,
      frontier: taken.frontier,
      archives: base === undefined ? [] : [...base.index.archives, base.id],
      members: writer.members,
      blobs,
    };
    const id = await writer.finish(index);
    if (encrypt !== undefined && options.to !== "-") {
      await writeDurable(indexBeside(options.to), jsonBytes(index));
    }
    progress.end();
    const own = index.archives.length;
    return {
      id,
      from: base?.index.to ?? 0,
      to: taken.to,
      blobs: blobs.filter(([, , archive]) => archive === own).length,
      bytes: writer.bytes,
    };
  } finally {
    await writer.abort();
    await reader.close();
  }
}

/** The tables are read as this program knows them. @throws ServerError `backup-refused`, `schema-too-new`. */
async function refuseOlderSchema(reader: Reader): Promise<void> {
  const steps = (await schemaState(reader, MIGRATIONS)).pending.filter(({ kind }) => kind === "expand");
  if (steps.length === 0) return;
  throw new ServerError(
    "backup-refused",
    `the database lacks the schema steps ${steps.map(({ name }) => name).join(", ")}`,
    {
      hint: "make the backup with the version of Assay that wrote it, or start this version's server once",
    },
  );
}

/**
 * Runs `work` on one moment of the database that the newest signed checkpoint is about.
 *
 * INVARIANT: the checkpoint is read first, so the moment has all that it is over. What came after it is left out, and nothing that came
 * after it changed what is before, but for a redaction, whose replacement could not be told from damage: then a newer one is waited for.
 */
async function atMoment<T>(
  reader: ReturnType<typeof openReader>,
  dataDirectory: string,
  work: (moment: Moment) => Promise<T>,
): Promise<T> {
  const path = newestCheckpointPath(recordLogDirectory(dataDirectory));
  for (let attempt = 1; ; attempt += 1) {
    const note = await readIfThere(path);
    if (note === undefined) {
      throw new ServerError("backup-refused", `no checkpoint was ever signed here: there is no ${path}`, {
        hint: "run the backup on a host that runs a server, with that server's ASSAY_DATA",
      });
    }
    const done = await reader.snapshot(async (snapshot) => {
      const state = await snapshot
        .tables<LogTables>()
        .selectFrom("log_state")
        .select(["origin", "vkey", "size"])
        .where("name", "=", RECORD_LOG)
        .executeTakeFirst();
      if (state === undefined) {
        throw new ServerError("backup-refused", "the database holds no record", { hint: "run `assay server check`" });
      }
      const checkpoint = await openCheckpoint(nodeCrypto, note, parseVkey(state.vkey), state.origin).catch(
        (cause: unknown) => {
          throw new ServerError("backup-refused", `${path} is no checkpoint of the record's log ${state.origin}`, {
            cause,
            hint: "where the log was closed a moment ago, start the server: it puts the successor's files in place. Else run `assay server check`",
          });
        },
      );
      if (checkpoint.size > state.size) {
        throw new ServerError(
          "log-behind-checkpoint",
          `the database holds ${state.size} entries of ${state.origin}, but a checkpoint over ${checkpoint.size} was signed`,
          { hint: "this is an older copy of the database, and no backup is made of it" },
        );
      }
      const redacted = await snapshot
        .tables<RecordTables>()
        .selectFrom("event")
        .select("sequence")
        .where("sequence", ">=", checkpoint.size)
        .where("type", "=", EVENTS_REDACTED)
        .limit(ONE_ROW)
        .executeTakeFirst();
      if (redacted !== undefined) return undefined;
      return { result: await work({ snapshot, origin: state.origin, vkey: state.vkey, note, checkpoint }) };
    });
    if (done !== undefined) return done.result;
    if (attempt === MOMENTS.attempts) {
      throw new ServerError("backup-refused", "events were redacted that no checkpoint covers yet", {
        hint: "start the server: it signs one at once",
      });
    }
    await new Promise((resolve) => setTimeout(resolve, MOMENTS.apart));
  }
}

interface Taken {
  readonly to: number;
  readonly checkpoint: string;
  readonly frontier: string[];
  /** Digests of the blobs the record needs, in order. */
  readonly named: readonly string[];
}

/** Writes all but the blobs. */
async function writeRecord(
  writer: ArchiveWriter,
  moment: Moment,
  base: ArchiveIndex | undefined,
  time: Date,
  { dataDirectory, masterKey, tell }: BackupOptions,
  progress: Progress,
): Promise<Taken> {
  const { snapshot, checkpoint } = moment;
  const to = checkpoint.size;
  const from = base?.index.to ?? 0;
  const tree = await treeAt(moment, base);
  const manifest: Manifest = {
    format: FORMAT,
    program: VERSION,
    time: time.toISOString(),
    origin: moment.origin,
    vkey: moment.vkey,
    from,
    to,
    checkpoint: moment.note,
    ...(base === undefined
      ? {}
      : { base: { id: base.id, checkpoint: base.index.checkpoint, frontier: base.index.frontier } }),
  };
  await writer.add(MANIFEST, jsonBytes(manifest));
  for (const [name, bytes] of await keyFiles(dataDirectory, masterKey, snapshot))
    await writer.add(`keys/${name}`, bytes);

  const add = (name: string, bytes: Uint8Array): Promise<void> => writer.add(name, bytes);
  const events = new Chunks("events", add);
  const redactions = snapshot.tables<RecordTables>().selectFrom("redaction");
  let next = from;
  for await (const { sequence, bytes, salt, commitment } of storedEvents(snapshot, from, to)) {
    const failed = (problem: string): never => {
      throw new ServerError("check-failed", `event ${sequence}: ${problem}`, {
        hint: "no backup is made of a damaged record: `assay server check` names all that is wrong",
      });
    };
    if (sequence !== next) return failed(`events ${next} to ${sequence - 1} are missing`);
    next += 1;
    if (salt === null || commitment === null) return failed("its leaf is missing");
    if (salt.length === 0) {
      const row = await redactions.select("digest").where("sequence", "=", sequence).executeTakeFirst();
      if (row?.digest !== toHex(nodeCrypto.sha256(bytes))) {
        return failed("it is redacted, but its bytes are not those its redaction left");
      }
    } else if (!equalBytes(recordCommitment(nodeCrypto, salt, bytes), commitment)) {
      return failed("its bytes, salt and commitment do not belong together");
    }
    tree.append(leafHash(nodeCrypto, commitment));
    await events.add({
      sequence,
      event: toBase64(bytes),
      salt: toBase64(salt),
      commitment: toBase64(commitment),
    });
    progress.event(bytes.length);
  }
  await events.flush();
  if (next !== to || !equalBytes(tree.root(), checkpoint.root)) {
    throw new ServerError(
      "check-failed",
      `the ${next} events do not have the root of the checkpoint over ${to} that was signed`,
      { hint: "no backup is made of a damaged record: `assay server check` names what is wrong" },
    );
  }

  // An event before this archive that a redaction in it names: whoever has only the earlier archives has what stood there before.
  const lines = new Chunks("redactions", add);
  const replaced = await redactions
    .select("sequence")
    .where("redacted_by", ">=", from)
    .where("sequence", "<", from)
    .orderBy("sequence")
    .execute();
  for (const { sequence } of replaced) {
    for await (const event of storedEvents(snapshot, sequence, sequence + 1)) {
      await lines.add({ sequence, event: toBase64(event.bytes) });
    }
  }
  await lines.flush();
  await writeCounters(snapshot, add);
  if (base === undefined) {
    const closedLogs = new Set<string>();
    for await (const { name, bytes } of closedLogFiles(dataDirectory)) {
      await writer.add(`closed/${name}`, bytes);
      closedLogs.add(name.slice(0, name.indexOf("/")));
    }
    for (const { closed, previous } of await successions(snapshot)) {
      if (closedLogs.has(closed)) continue;
      tell(
        `logs/${closed} is not here: this archive does not have the files of the closed log ${previous.origin}. Copy them from the host that has them, and make another`,
      );
    }
  }

  const named = new Set<string>();
  for await (const { digest } of composeParts().blobs(snapshot, to)) named.add(digest);
  return { to, checkpoint: moment.note, frontier: tree.state().peaks.map(toHex), named: [...named].toSorted() };
}

/** The tree at the first event to write. @throws ServerError `backup-refused` when the base is of another history. */
async function treeAt(moment: Moment, base: ArchiveIndex | undefined): Promise<CompactTree> {
  if (base === undefined) return new CompactTree(nodeCrypto);
  const { index } = base;
  const refuse = (problem: string, cause?: unknown): never => {
    throw new ServerError("backup-refused", `the archive to go on from ${problem}`, {
      ...(cause === undefined ? {} : { cause }),
      hint: "make a full backup: leave --since out",
    });
  };
  let checkpoint: Checkpoint;
  try {
    checkpoint = await openCheckpoint(nodeCrypto, index.checkpoint, parseVkey(moment.vkey), moment.origin);
  } catch (cause) {
    return refuse(`is not of the log ${moment.origin}`, cause);
  }
  const tree = new CompactTree(nodeCrypto, { size: index.to, peaks: index.frontier.map(fromHex) });
  if (checkpoint.size !== index.to || !equalBytes(tree.root(), checkpoint.root)) {
    return refuse("does not hold together: its frontier is not that of its checkpoint");
  }
  if (index.to > moment.checkpoint.size) {
    return refuse(`reaches to event ${index.to}, and the newest checkpoint here only to ${moment.checkpoint.size}`);
  }
  return tree;
}

/**
 * The private keys as they lie on disk, but for the witness's: it never signs for another place than the one it was made in.
 *
 * They are held against the record and opened, as `check` does it: a restore needs every one of them, under one master key.
 *
 * @throws ServerError `check-failed` when one is missing or does not open, `backup-refused` while the master key is being changed.
 */
async function keyFiles(
  dataDirectory: string,
  masterKey: string | undefined,
  reader: Reader,
): Promise<[name: string, bytes: Uint8Array][]> {
  const directory = keyDirectory(dataDirectory);
  const files: [string, Uint8Array][] = [];
  for (const name of (await readdir(directory)).toSorted()) {
    if (name.endsWith(".key.json") && name !== UNKEPT_KEY) {
      files.push([name, await readFile(join(directory, name))]);
    }
  }
  for await (const { where, problem } of checkKeys(dataDirectory, masterKey, reader)) {
    // With several hosts it may be at another; no backup holds it anyway.
    if (where.startsWith("witness key ")) continue;
    throw new ServerError("check-failed", `${where}: ${problem}`, {
      hint: "without its private keys a record cannot be restored: put back the key directory and the master key that belong to it, and run the backup with the server's settings",
    });
  }
  if (existsSync(comingKeyPath(dataDirectory))) {
    throw new ServerError("backup-refused", "the master key is being changed: the private keys are under two", {
      hint: "end it with `assay server rotate-master-key`, then make the backup",
    });
  }
  return files;
}

async function writeCounters(snapshot: Reader, add: (name: string, bytes: Uint8Array) => Promise<void>): Promise<void> {
  interface AnyTables {
    [table: string]: Record<string, string | number | null>;
  }
  for (const { table, backedUp } of UNRECORDED_TABLES) {
    if (backedUp !== true) continue;
    const lines = new Chunks(`unrecorded/${table}`, add);
    for await (const row of snapshot.tables<AnyTables>().selectFrom(table).selectAll().stream(1000)) {
      await lines.add({ ...row });
    }
    await lines.flush();
  }
}

/** Writes the blobs that the chain does not have yet. */
async function writeBlobs(
  writer: ArchiveWriter,
  blobs: BlobStore,
  named: readonly string[],
  base: ArchiveIndex | undefined,
  progress: Progress,
): Promise<Index["blobs"]> {
  const own = base === undefined ? 0 : base.index.archives.length + 1;
  const there = new Map((base?.index.blobs ?? []).map((entry) => [entry[0], entry]));
  const listed: Index["blobs"] = [];
  const missing: string[] = [];
  for (const text of named) {
    const digest = parseDigest(text);
    const hex = text.slice("sha256:".length);
    const earlier = there.get(hex);
    if (earlier !== undefined) {
      listed.push(earlier);
      continue;
    }
    const size = await blobs.size(digest);
    if (size === undefined) {
      missing.push(text);
      continue;
    }
    if (missing.length > 0) continue;
    const hash = createHash("sha256");
    const content = async function* (): AsyncGenerator<Uint8Array> {
      for await (const piece of (await blobs.read(digest)) as AsyncIterable<Uint8Array>) {
        hash.update(piece);
        progress.bytes(piece.length);
        yield piece;
      }
      if (hash.digest("hex") !== hex)
        throw damagedBlob(`the blob ${text} was altered: its bytes do not have this digest`);
    };
    await writer.stream(`blobs/sha256/${hex}`, size, content());
    progress.blob();
    listed.push([hex, size, own]);
  }
  if (missing.length > 0) {
    throw damagedBlob(
      `${missing.length} blobs the record needs are missing: ${missing.slice(0, 20).join(", ")}${missing.length > 20 ? ", …" : ""}`,
    );
  }
  return listed;
}

function damagedBlob(problem: string): ServerError {
  return new ServerError("check-failed", problem, {
    hint: "push the same content again (the digest names it); `assay server check` says what needs it",
  });
}

/** The name a person knows an archive by. */
export function archiveName(path: string): string {
  return path === "-" ? "standard input" : basename(path);
}
