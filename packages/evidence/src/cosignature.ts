/** C2SP tlog-cosignature: a witness's timestamped statement that a checkpoint continues everything it saw of the log before. */
import { parseCheckpoint } from "./checkpoint.ts";
import type { Crypto } from "./crypto.ts";
import { concatBytes, equalBytes, utf8Encode } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { ed25519FromRaw } from "./keys.ts";
import { NOTE_COSIGNATURE_ED25519, type NoteKey, type NoteSignature, noteSignatureLine, parseNote } from "./note.ts";

/** A cosignature that verified: by which key, and when it says it was made. */
export type Cosignature = {
  readonly key: NoteKey;
  /** Seconds since 1970, the witness's own claim; never 0. */
  readonly time: number;
  /** What its line carries after the key hash: the time and the Ed25519 signature. */
  readonly signature: Uint8Array;
};

const TIME_SIZE = 8;
const SIGNATURE_SIZE = 64;

/**
 * The bytes an Ed25519 cosignature is made over: "cosignature/v1", the time, and the checkpoint's whole text, extension lines included.
 * `time` is in seconds since 1970. Throws `time-invalid`, `checkpoint-invalid`.
 */
export function cosignedBytes(time: number, checkpointText: string): Uint8Array {
  // A witness must not leave the time out (tlog-witness), so 0 is no time.
  if (!Number.isSafeInteger(time) || time <= 0) {
    throw new EvidenceError("time-invalid", `${time} is no time of a cosignature: whole seconds since 1970, not 0.`);
  }
  parseCheckpoint(checkpointText);
  return utf8Encode(`cosignature/v1\ntime ${time}\n${checkpointText}`);
}

/** A signature line (without newline) of `key`'s Ed25519 signature over {@link cosignedBytes} of the same time. */
export function cosignatureLine(key: Pick<NoteKey, "name" | "keyHash">, time: number, signature: Uint8Array): string {
  if (signature.length !== SIGNATURE_SIZE) {
    throw new EvidenceError("sign-invalid", `An Ed25519 signature has ${SIGNATURE_SIZE} bytes.`);
  }
  const stamp = new Uint8Array(TIME_SIZE);
  new DataView(stamp.buffer).setBigUint64(0, BigInt(time));
  return noteSignatureLine(key, concatBytes(stamp, signature));
}

/**
 * The cosignatures on a checkpoint note by the given keys, the newest of each key. Signature lines by other keys, and keys of a type other
 * than timestamped Ed25519, are ignored; a line under the name and hash of a given key that does not verify is an error.
 *
 * It says nothing of who else signed, the log included: openWitnessed (tlog-policy.ts) is the whole procedure.
 *
 * Throws `note-signature-invalid`, `note-invalid`, `checkpoint-invalid`, `too-large`.
 */
export async function verifyCosignatures(
  crypto: Crypto,
  note: string,
  keys: readonly NoteKey[],
): Promise<Cosignature[]> {
  const { text, signatures } = parseNote(note);
  parseCheckpoint(text);
  const newest = new Map<NoteKey, Cosignature>();
  for (const line of signatures) {
    // As in openNote: four bytes of hash can collide, so each key of that name and hash is asked; one of them must fit.
    const named = keys.filter(
      (key) =>
        key.algorithm === NOTE_COSIGNATURE_ED25519 && key.name === line.name && equalBytes(key.keyHash, line.keyHash),
    );
    if (named.length === 0) continue;
    let fits = false;
    for (const key of named) {
      const time = await cosignedTime(crypto, key, line, text);
      if (time === undefined) continue;
      if (time > (newest.get(key)?.time ?? 0)) newest.set(key, { key, time, signature: line.signature });
      fits = true;
    }
    if (!fits) {
      throw new EvidenceError(
        "note-signature-invalid",
        `The cosignature of ${line.name} does not match the checkpoint.`,
      );
    }
  }
  return [...newest.values()];
}

/** The time at which `key` cosigned `text` by this line; undefined if it did not. */
async function cosignedTime(
  crypto: Crypto,
  key: NoteKey,
  { signature }: NoteSignature,
  text: string,
): Promise<number | undefined> {
  if (signature.length !== TIME_SIZE + SIGNATURE_SIZE) return undefined;
  const view = new DataView(signature.buffer, signature.byteOffset, signature.byteLength);
  const time = Number(view.getBigUint64(0));
  if (!Number.isSafeInteger(time) || time === 0) return undefined;
  const holds = await crypto.verify(
    ed25519FromRaw(key.publicKey),
    signature.subarray(TIME_SIZE),
    cosignedBytes(time, text),
  );
  return holds ? time : undefined;
}
