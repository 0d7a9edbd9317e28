import { createPublicKey } from "node:crypto";
import { rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { formatVkey, NOTE_ED25519 } from "@assay/evidence";
import { z } from "zod";
import { ServerError } from "../errors.ts";
import type { Reader } from "../storage/database.ts";
import { isMissing, makeDurableDirectory, readIfThere, syncDirectory } from "../storage/durable.ts";
import { accept, defineCommand, defineEvent, type RecordPart, refuse } from "./command.ts";
import { decodeEnvelope } from "./event.ts";
import type { RecordTables } from "./schema.ts";
import type { KeyTables } from "./service-key-schema.ts";

const LOG_SUCCEEDED = "record.log-succeeded";

const hex = z.string().regex(/^[0-9a-f]{64}$/);

const succeededBody = z.strictObject({
  /** The log that goes on. Its first `previous.kept` entries are those of the closed one, its next one is this event. */
  origin: z.string(),
  vkey: z.string(),
  previous: z.strictObject({
    origin: z.string(),
    vkey: z.string(),
    /** The newest checkpoint known to be signed over the closed log. */
    checkpoint: z.string(),
    /** Entries that the successor holds too, at the same places. */
    kept: z.int().nonnegative(),
    /** Entries under that checkpoint that nobody has any more. */
    lost: z.int().nonnegative(),
  }),
  /** Where the closed log's published files lie: `logs/<closed>`, served at `/logs/<closed>/`. */
  closed: z.string().regex(/^record\.closed-[1-9]\d{0,5}$/),
  reason: z.string().min(1).max(1000),
});

/** A log that was closed, and what goes on in its place. */
export type Succession = z.output<typeof succeededBody>;

const commandBody = z.strictObject({
  succession: succeededBody,
  /** The closed log's key, which signs nothing more. */
  retired: hex,
  key: z.strictObject({ id: hex, purpose: z.literal("log-record"), algorithm: z.string(), publicKey: z.string() }),
});

/**
 * The end of a log and the birth of its successor, as one fact. Only `assay server succeed` issues it (record/succeed.ts).
 *
 * INVARIANT: a key of the purpose `log-record` is retired by this command alone, in the event after the succession's own: that is how
 * {@link successions} finds them without reading the record.
 */
export const successionPart: RecordPart = {
  projections: [],
  commands: [
    defineCommand({
      type: "record.succeed-log",
      body: commandBody,
      decide: async (_reader, { succession, retired, key }, context) => {
        if (context.actor.id !== "system") return refuse("denied", "only the service closes its log", { status: 403 });
        if (context.sequence !== succession.previous.kept) {
          return refuse(
            "succession-refused",
            `the record has ${context.sequence} events, not ${succession.previous.kept}`,
          );
        }
        return accept([
          { type: LOG_SUCCEEDED, body: succession },
          { type: "keys.key-retired", body: { id: retired } },
          { type: "keys.key-created", body: key },
          { type: "keys.key-activated", body: { id: key.id } },
        ]);
      },
    }),
  ],
  events: [
    defineEvent({
      type: LOG_SUCCEEDED,
      version: 1,
      body: succeededBody,
      project: async () => {
        // The log's own state is no projection: the same transaction swaps it (log/log.ts).
      },
    }),
  ],
  operations: [],
};

/** Every succession of the record, the oldest first. */
export async function successions(reader: Reader): Promise<Succession[]> {
  const keys = await reader
    .tables<KeyTables>()
    .selectFrom("key")
    .select("retired_sequence")
    .where("purpose", "=", "log-record")
    .where("retired_sequence", "is not", null)
    .orderBy("retired_sequence")
    .execute();
  const found: Succession[] = [];
  for (const { retired_sequence } of keys) {
    const row = await reader
      .tables<RecordTables>()
      .selectFrom("event")
      .select("bytes")
      .where("sequence", "=", (retired_sequence ?? 0) - 1)
      .executeTakeFirst();
    const envelope = row === undefined ? undefined : decodeEnvelope(row.bytes);
    if (envelope?.type === LOG_SUCCEEDED) found.push(succeededBody.parse(envelope.body));
  }
  return found;
}

/** Whether a checkpoint note is of a log that was closed, by the origin it names. */
export function isOfClosedLog(note: string, closed: readonly Succession[]): boolean {
  const [origin] = note.split("\n", 1);
  return closed.some(({ previous }) => previous.origin === origin);
}

/** Where the logs of a data directory lie. */
export function logsDirectory(dataDirectory: string): string {
  return join(dataDirectory, "logs");
}

/** Where a successor is prepared: its tiles and its key, until the decision stands. */
export function preparedLog(dataDirectory: string): string {
  return join(logsDirectory(dataDirectory), "record.successor");
}

export function preparedKeys(keyDirectory: string): string {
  return join(keyDirectory, "successor");
}

/**
 * Puts a data directory into the state that the record's newest succession decided: the closed log's files aside and untouched, the
 * successor's in their place, the old private key aside, the new one in its place. Each step is a rename, and is done when it was not
 * done; a directory that needs nothing is left alone. On another host of the same database the files are its own, the key is brought;
 * and its files may be those of a log that was closed before the last one.
 *
 * @param options `decided`: every succession of the record, the oldest first.
 * @returns whether there was anything to do.
 * @throws ServerError `succession-refused` when something lies where the closed log's files belong.
 */
export async function settleSuccession(options: {
  readonly dataDirectory: string;
  readonly logDirectory: string;
  readonly keyDirectory: string;
  readonly decided: readonly Succession[];
  readonly tell?: (line: string) => void;
}): Promise<boolean> {
  const { dataDirectory, logDirectory, keyDirectory, decided } = options;
  const newest = decided.at(-1);
  const tell = options.tell ?? ((): void => undefined);
  if (newest === undefined) return false;
  const logs = logsDirectory(dataDirectory);
  let done = false;
  const there = await originIn(logDirectory);
  const closing = decided.find(({ previous }) => previous.origin === there);
  if (closing !== undefined) {
    const closed = join(logs, closing.closed);
    if (await isThere(closed)) {
      throw new ServerError("succession-refused", `${closed} is there already`, {
        hint: "move it away: the files of the log that was closed now belong there",
      });
    }
    await rename(logDirectory, closed);
    await syncDirectory(logs);
    tell(`the closed log's files are in ${closed}`);
    done = true;
  }
  const prepared = preparedLog(dataDirectory);
  if (!(await isThere(logDirectory)) && (await originIn(prepared)) === newest.origin) {
    await rename(prepared, logDirectory);
    await syncDirectory(logs);
    tell("the successor's files are in place");
    done = true;
  }
  const file = join(keyDirectory, "log-record.key.json");
  const preparedFile = join(preparedKeys(keyDirectory), "log-record.key.json");
  const key = await readKeyFile(preparedFile, newest.origin);
  // A key that was prepared and never decided on stays where it is: it has signed nothing.
  if (key?.vkey === newest.vkey) {
    const old = await readKeyFile(file, newest.origin);
    if (old !== undefined && old.vkey !== newest.vkey) {
      const retired = join(keyDirectory, "retired");
      await makeDurableDirectory(retired);
      await rename(file, join(retired, `log-record-${old.id.slice(0, 16)}.json`));
      await syncDirectory(retired);
    }
    await rename(preparedFile, file);
    await syncDirectory(keyDirectory);
    tell("the successor's key is in place");
    done = true;
  }
  return done;
}

/** The origin of the log whose checkpoint a directory holds; undefined when it holds none. */
async function originIn(directory: string): Promise<string | undefined> {
  for (const name of ["newest-checkpoint", "checkpoint"]) {
    const note = await readIfThere(join(directory, name));
    if (note !== undefined) return note.split("\n", 1)[0];
  }
  return undefined;
}

async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

const keyFile = z.object({ id: hex, publicKey: z.string() });

/** A key file's id, and the verifier key it would be in a log of `origin`; undefined when it is not there. */
async function readKeyFile(path: string, origin: string): Promise<{ id: string; vkey: string } | undefined> {
  const text = await readIfThere(path);
  if (text === undefined) return undefined;
  const { id, publicKey } = keyFile.parse(JSON.parse(text));
  const { x } = createPublicKey(publicKey).export({ format: "jwk" });
  if (x === undefined) throw new ServerError("key-unreadable", `${path} is no Ed25519 key`);
  return { id, vkey: formatVkey(origin, NOTE_ED25519, new Uint8Array(Buffer.from(x, "base64url"))) };
}
