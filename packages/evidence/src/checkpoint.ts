/** C2SP tlog-checkpoint: the text that a log signs as a note. */
import { fromBase64, toBase64 } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { HASH_SIZE } from "./merkle.ts";

/** A log's statement of its size and root. `origin` names the log; `extensions` are further lines, usually none. */
export type Checkpoint = {
  readonly origin: string;
  readonly size: number;
  readonly root: Uint8Array;
  readonly extensions: readonly string[];
};

const CONTROL = /[\u0000-\u001f]/;
const DECIMAL = /^(?:0|[1-9][0-9]{0,15})$/;

/** The note text of a checkpoint, ending in a newline. Throws `checkpoint-invalid` if it could not be read back. */
export function formatCheckpoint(checkpoint: Checkpoint): string {
  const { origin, size, root, extensions } = checkpoint;
  const lines = [origin, String(size), toBase64(root), ...extensions];
  const text = `${lines.join("\n")}\n`;
  parseCheckpoint(text);
  return text;
}

/** Reads the text of a checkpoint note (the part that is signed). Throws `checkpoint-invalid`. */
export function parseCheckpoint(text: string): Checkpoint {
  if (!text.endsWith("\n")) throw new EvidenceError("checkpoint-invalid", "A checkpoint ends with a newline.");
  const [origin, sizeText, rootText, ...extensions] = text.slice(0, -1).split("\n");
  if (origin === undefined || origin === "" || CONTROL.test(origin)) {
    throw new EvidenceError("checkpoint-invalid", "A checkpoint's first line is the log's origin.");
  }
  if (sizeText === undefined || !DECIMAL.test(sizeText) || !Number.isSafeInteger(Number(sizeText))) {
    throw new EvidenceError("checkpoint-invalid", "A checkpoint's second line is the tree size in decimal.");
  }
  if (extensions.some((line) => line === "" || CONTROL.test(line))) {
    throw new EvidenceError(
      "checkpoint-invalid",
      "A checkpoint's extension lines are not empty and hold no control characters.",
    );
  }
  return { origin, size: Number(sizeText), root: parseRoot(rootText), extensions };
}

function parseRoot(text: string | undefined): Uint8Array {
  let root: Uint8Array;
  try {
    root = fromBase64(text ?? "");
  } catch (cause) {
    throw new EvidenceError("checkpoint-invalid", "A checkpoint's third line is the root hash in base64.", { cause });
  }
  if (root.length !== HASH_SIZE)
    throw new EvidenceError("checkpoint-invalid", "A checkpoint's root hash has 32 bytes.");
  return root;
}
