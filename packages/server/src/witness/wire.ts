import { fromBase64, toBase64, utf8Decode } from "@assay/evidence";
import { ServerError } from "../errors.ts";

/** Consistency proof lines a request may have (C2SP tlog-witness). */
const PROOF_LINES = 63;

/** Bytes of a request: 63 hashes, and a checkpoint with room for many cosignatures, ML-DSA-44 ones too. */
export const REQUEST_BYTES = 128 * 1024;

/** What says the size in a 409's body. */
export const SIZE_TYPE = "text/x.tlog.size";

const OLD = /^old (0|[1-9][0-9]{0,15})$/;

/** A request to cosign (C2SP tlog-witness, add-checkpoint). Nothing in it is verified. */
export interface AddCheckpoint {
  /** The size the witness is taken to have cosigned last. */
  readonly old: number;
  /** From `old` to the checkpoint's size. */
  readonly proof: readonly Uint8Array[];
  /** The checkpoint as a signed note. */
  readonly note: string;
  /** The first line of the note: which log it says it is of. */
  readonly origin: string;
}

/** The body of a request. */
export function formatAddCheckpoint(request: Pick<AddCheckpoint, "old" | "proof" | "note">): string {
  const { old, proof, note } = request;
  return `old ${old}\n${proof.map((hash) => `${toBase64(hash)}\n`).join("")}\n${note}`;
}

/** Reads the body of a request. @throws ServerError `witness-request-invalid`. */
export function parseAddCheckpoint(bytes: Uint8Array): AddCheckpoint {
  const text = decode(() => utf8Decode(bytes), "the request is not UTF-8");
  // The first empty line ends the proof; the checkpoint after it has empty lines of its own.
  const split = text.indexOf("\n\n");
  if (split < 0) throw invalid("an empty line must come before the checkpoint");
  const [first = "", ...lines] = text.slice(0, split).split("\n");
  const old = Number(OLD.exec(first)?.[1] ?? Number.NaN);
  if (!Number.isSafeInteger(old)) throw invalid("the first line must be: old <size>");
  if (lines.length > PROOF_LINES) throw invalid(`a proof has at most ${PROOF_LINES} lines`);
  const proof = lines.map((line) => {
    const hash = decode(() => fromBase64(line), "a proof line is not base64");
    if (hash.length !== 32) throw invalid("a proof line is not a hash of 32 bytes");
    return hash;
  });
  const note = text.slice(split + 2);
  return { old, proof, note, origin: note.slice(0, Math.max(note.indexOf("\n"), 0)) };
}

function decode<T>(read: () => T, message: string): T {
  try {
    return read();
  } catch (cause) {
    throw new ServerError("witness-request-invalid", message, { cause });
  }
}

function invalid(message: string): ServerError {
  return new ServerError("witness-request-invalid", message);
}
