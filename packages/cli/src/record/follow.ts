import {
  type Checkpoint,
  EvidenceError,
  fromHex,
  equalBytes,
  LIMITS,
  type NoteKey,
  openNote,
  parseCheckpoint,
  parseVkey,
  toBase64,
  utf8Decode,
  verifyConsistency,
} from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { answerInvalid } from "../answer.ts";
import type { Environment } from "../environment.ts";
import { CliError, Exit } from "../errors.ts";
import type { ServerClient } from "../http.ts";
import { parsing } from "../input.ts";
import { askObject } from "../organisation.ts";
import { keepConflict, type LastSeen, readLastSeen, writeLastSeen } from "./last-seen.ts";

/** A checkpoint whose signature by the log's own key holds. `note` is the signed text. */
type Signed = { readonly note: string; readonly checkpoint: Checkpoint };

/** That the record holds: nothing that was seen before was changed or taken away. */
export type Followed = {
  readonly origin: string;
  readonly vkey: string;
  readonly size: number;
  readonly root: Uint8Array;
  /** Entries at the last look; undefined at the first, when the key was taken on trust. */
  readonly before: number | undefined;
};

const LOG = "/logs/record";

/**
 * Follows a server's record: fetches its checkpoint, verifies the signature with the key pinned at first use, proves that it
 * extends the last checkpoint seen, and remembers it. `vkey` pins that key instead of asking the server for it.
 *
 * Errors: `record-rewritten`, `record-shrunk`, `record-key-changed`, `record-signature` (exit 1: the record does not hold),
 * and those of the network (exit 3).
 */
export async function followRecord(
  client: ServerClient,
  env: Environment,
  vkey: string | undefined,
  now: Date,
): Promise<Followed> {
  const seen = await readLastSeen(env, client.server);
  const pinned = await pinnedKey(client, seen, vkey);
  const key = parseVkey(pinned);
  const current = await open(await fetchText(client, `${LOG}/checkpoint`), key);
  const newest = seen === undefined ? current : await extend(client, env, seen, key, current, now);
  await writeLastSeen(env, { server: client.server, vkey: pinned, checkpoint: newest.note });
  const before = seen === undefined ? undefined : (await open(seen.checkpoint, key)).checkpoint.size;
  return {
    origin: newest.checkpoint.origin,
    vkey: pinned,
    size: newest.checkpoint.size,
    root: newest.checkpoint.root,
    before,
  };
}

/** The key pinned at first use. Another one is never taken silently, whoever offers it. */
async function pinnedKey(client: ServerClient, seen: LastSeen | undefined, given: string | undefined): Promise<string> {
  if (given !== undefined) parsing("--vkey", () => parseVkey(given));
  if (seen !== undefined) {
    if (given === undefined || given === seen.vkey) return seen.vkey;
    throw notHolding(
      "record-key-changed",
      `the record of ${client.server} was followed with another key than the one given`,
      `Pinned at first use: ${seen.vkey}. Find out which of the two is the log's, and from whom you have them.`,
    );
  }
  if (given !== undefined) return given;
  const offered = (await fetchText(client, `${LOG}/vkey`)).trim();
  try {
    parseVkey(offered);
    return offered;
  } catch (error) {
    throw answerInvalid("it offers no log key", error);
  }
}

/** Proves that the server's log now extends what was seen of it; answers the newest checkpoint that is proven to. */
async function extend(
  client: ServerClient,
  env: Environment,
  seen: LastSeen,
  key: NoteKey,
  current: Signed,
  now: Date,
): Promise<Signed> {
  const last = await open(seen.checkpoint, key);
  const conflict = async (code: string, what: string, conflicting: Signed): Promise<CliError> => {
    const kept = await keepConflict(env, seen, conflicting.note, now);
    const show = ({ checkpoint }: Signed): string => `${checkpoint.size} entries, root ${toBase64(checkpoint.root)}`;
    return notHolding(
      code,
      `THE RECORD WAS REWRITTEN: ${client.server} ${what}\n  seen before: ${show(last)}\n  shown now:   ${show(conflicting)}`,
      `Do not rely on this server. Both signed checkpoints are kept as proof in ${kept}.`,
    );
  };
  const from = last.checkpoint;
  const to = current.checkpoint;
  if (to.size < from.size)
    throw await conflict("record-shrunk", "shows a record with fewer entries than it had", current);
  if (to.size === from.size) {
    if (equalBytes(from.root, to.root)) return current;
    throw await conflict("record-rewritten", "signed two different records of the same size", current);
  }
  const reached = await prove(client, key, from, (wrong) =>
    conflict("record-rewritten", "cannot prove that its record extends the one it had", wrong),
  );
  // The log may have grown since the checkpoint was fetched: then that one too must lie on the way.
  if (reached.checkpoint.size === to.size) {
    if (!equalBytes(reached.checkpoint.root, to.root)) {
      throw await conflict("record-rewritten", "signed two different records of the same size", current);
    }
  } else if (reached.checkpoint.size > to.size) {
    await prove(client, key, to, (wrong) =>
      conflict("record-rewritten", "shows different records to different questions", wrong),
    );
  } else {
    throw await conflict("record-shrunk", "shows a record with fewer entries than it had", reached);
  }
  return reached;
}

/** Asks for a consistency proof from `old` and verifies it against the signed checkpoint it comes with. */
async function prove(
  client: ServerClient,
  key: NoteKey,
  old: Checkpoint,
  conflict: (wrong: Signed) => Promise<CliError>,
): Promise<Signed> {
  const answer = await askObject(client, {
    method: "GET",
    path: `${LOG}/proof/consistency`,
    query: { old: String(old.size) },
  });
  const proven = await open(answer.text("checkpoint"), key);
  const hashes = answer.texts("proof");
  if (hashes.length > LIMITS.proofHashes) throw answerInvalid("the proof is too long");
  let proof: Uint8Array[];
  try {
    proof = hashes.map(fromHex);
  } catch (error) {
    throw answerInvalid("the proof is not hexadecimal", error);
  }
  // An empty log is the beginning of every log.
  const holds =
    old.size === 0 ||
    (proven.checkpoint.size >= old.size &&
      verifyConsistency(nodeCrypto, {
        oldSize: old.size,
        newSize: proven.checkpoint.size,
        oldRoot: old.root,
        newRoot: proven.checkpoint.root,
        proof,
      }));
  if (!holds) throw await conflict(proven);
  return proven;
}

/** Opens a note with the pinned key; the log must speak under that key's own name. */
async function open(note: string, key: NoteKey): Promise<Signed> {
  let text: string;
  try {
    ({ text } = await openNote(nodeCrypto, note, [key]));
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    if (error.code !== "note-signature-invalid" && error.code !== "note-unverified") {
      throw answerInvalid("it shows no checkpoint", error);
    }
    throw notHolding(
      "record-signature",
      `the record's checkpoint is not signed by the key pinned for it (${key.name}): ${error.message}`,
      "Somebody else may be answering in the server's place, or its log key was replaced. Ask its operator by another way.",
      error,
    );
  }
  let checkpoint: Checkpoint;
  try {
    checkpoint = parseCheckpoint(text);
  } catch (error) {
    throw answerInvalid("what it signed is no checkpoint", error);
  }
  if (checkpoint.origin !== key.name)
    throw notHolding("record-signature", `the checkpoint is of another log, ${checkpoint.origin}`);
  return { note, checkpoint };
}

async function fetchText(client: ServerClient, path: string): Promise<string> {
  const answer = await client.send({ method: "GET", path, headers: { accept: "text/plain" } });
  const bytes = await answer.bytes(LIMITS.noteBytes);
  try {
    return utf8Decode(bytes);
  } catch (error) {
    throw answerInvalid("it is not UTF-8", error);
  }
}

function notHolding(code: string, message: string, hint?: string, cause?: unknown): CliError {
  return new CliError(code, message, { exit: Exit.no, hint, cause });
}
