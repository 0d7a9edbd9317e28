import {
  canonicalJson,
  EvidenceError,
  isJsonObject,
  LIMITS,
  parseJson,
  parseReceipt,
  type RecordReceipt,
  utf8Encode,
} from "@assay/evidence";
import { answerInvalid } from "../answer.ts";
import { readInput } from "../input.ts";
import type { JsonValue } from "../output.ts";

/** Bytes of a receipt's JSON: event and salt in base64, the proof, the checkpoint. */
const RECEIPT_BYTES = 2 * LIMITS.eventBytes;
const RECEIPT_LIMITS = { maxBytes: RECEIPT_BYTES, maxDepth: LIMITS.jsonDepth };

/** The text of a receipt file: what the server answered, whole. */
export function receiptFile(receipt: JsonValue): string {
  return `${JSON.stringify(receipt, null, 2)}\n`;
}

/** The receipt in a file. Throws the EvidenceError `receipt-invalid` that says why it is none; errors of the file system as such. */
export async function readReceiptFile(path: string): Promise<RecordReceipt> {
  const bytes = await readInput(path, RECEIPT_BYTES);
  try {
    return parseReceipt(parseJson(bytes, RECEIPT_LIMITS));
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    // Whatever is wrong with the JSON, the reader must know that it is no receipt.
    throw new EvidenceError("receipt-invalid", `It is not a receipt: ${error.message}`, { cause: error });
  }
}

/**
 * The bytes of an event in a file that `record show --output json` wrote: its canonical JSON, which is what a redaction names. Throws the
 * EvidenceError `receipt-invalid` when the file holds no event.
 */
export async function readShownFile(path: string): Promise<Uint8Array> {
  const shown = parseJson(await readInput(path, RECEIPT_BYTES), RECEIPT_LIMITS);
  const event = isJsonObject(shown) ? shown["event"] : undefined;
  if (!isJsonObject(event)) throw new EvidenceError("receipt-invalid", `${path} holds no event.`);
  return utf8Encode(canonicalJson(event));
}

/** What to do about a receipt that proves nothing, in the words of this command line. */
export function receiptHint(error: EvidenceError): string {
  if (error.code === "receipt-invalid") return "Name a file written by `assay record prove` or with --receipt.";
  if (error.code !== "receipt-unproven") return error.hint;
  return "Fetch the receipt again with `assay record prove`; if it fails again, run `assay record verify` against the server.";
}

/** The receipt a server answered with. Errors: `answer-invalid`. */
export function answeredReceipt(answer: JsonValue | undefined): RecordReceipt {
  try {
    return parseReceipt(parseJson(JSON.stringify(answer ?? null), RECEIPT_LIMITS));
  } catch (error) {
    throw answerInvalid(error instanceof Error ? error.message : String(error), error);
  }
}
