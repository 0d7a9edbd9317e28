import { LIMITS, parseJson, parseReceipt, type RecordReceipt } from "@assay/evidence";
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

/** The receipt in a file. Throws the EvidenceError that says why it is none; errors of the file system as such. */
export async function readReceiptFile(path: string): Promise<RecordReceipt> {
  return parseReceipt(parseJson(await readInput(path, RECEIPT_BYTES), RECEIPT_LIMITS));
}

/** The receipt a server answered with. Errors: `answer-invalid`. */
export function answeredReceipt(answer: JsonValue | undefined): RecordReceipt {
  try {
    return parseReceipt(parseJson(JSON.stringify(answer ?? null), RECEIPT_LIMITS));
  } catch (error) {
    throw answerInvalid(error instanceof Error ? error.message : String(error), error);
  }
}
