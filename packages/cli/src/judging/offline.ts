import {
  type Digest,
  EvidenceError,
  LIMITS,
  type NoteKey,
  parseTrustFile,
  parseVkey,
  type ProvenTime,
  receiptTime,
  type TrustVersion,
  type VerifiedReceipt,
  verify,
  verifyReceipt,
} from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { parsing, readInput } from "../input.ts";
import { showMoment } from "../moment.ts";
import type { JsonValue } from "../output.ts";
import { readReceiptFile } from "../record/receipt.ts";
import type { Piece } from "./piece.ts";

/** A receipt file, verified against the logs that trust names, or why it proves nothing. */
export type OfflineReceipt =
  | { readonly file: string; readonly status: "proven"; readonly receipt: VerifiedReceipt }
  | { readonly file: string; readonly status: "refused"; readonly code: string; readonly message: string };

/** Reads a trust file. Errors: those of the file system; `trust-invalid` and its kin as wrong usage. */
export async function readTrust(path: string): Promise<TrustVersion> {
  const bytes = await readInput(path, LIMITS.trustBytes);
  return parsing(path, () => parseTrustFile(bytes));
}

/** The log keys of a trust file that receipts are verified with. */
export function logKeys(trust: TrustVersion): NoteKey[] {
  return trust.logs.map(parseVkey);
}

/** Verifies a receipt file. What is wrong with the receipt is an answer; a file that cannot be read is an error. */
export async function checkReceipt(path: string, keys: readonly NoteKey[]): Promise<OfflineReceipt> {
  try {
    const receipt = await readReceiptFile(path);
    return { file: path, status: "proven", receipt: await verifyReceipt(nodeCrypto, receipt, keys) };
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    return { file: path, status: "refused", code: error.code, message: error.message };
  }
}

/** Verifies one bundle file with nothing but what is given. */
export async function checkBundle(
  path: string,
  request: {
    readonly artifact: Digest;
    readonly artifactBytes: Uint8Array | undefined;
    readonly repository: string | undefined;
    readonly trust: TrustVersion;
    readonly receipts: readonly OfflineReceipt[];
  },
): Promise<Piece> {
  const bundle = await readInput(path, LIMITS.bundleBytes);
  const { artifact, artifactBytes, repository, trust, receipts } = request;
  const judge = (times: readonly ProvenTime[]) =>
    verify(nodeCrypto, {
      bundle,
      artifact,
      trust,
      times,
      ...(artifactBytes === undefined ? {} : { artifactBytes }),
      ...(repository === undefined ? {} : { repository }),
    });
  // Verified once for the digest that its receipts must name, and again with the times they prove.
  const untimed = await judge([]);
  const times = receipts.flatMap((receipt) => {
    const time = receipt.status === "proven" ? receiptTime(receipt.receipt, untimed.evidence) : undefined;
    return time === undefined ? [] : [time];
  });
  const verdict = times.length === 0 ? untimed : await judge(times);
  const common = { evidence: verdict.evidence, primary: false, receivedAt: null, sequence: null, file: path };
  if (verdict.status === "refused") {
    const { code, message } = verdict;
    return { ...common, predicateType: verdict.predicateType ?? null, status: { status: "refused", code, message } };
  }
  const { entry, name, keyId } = verdict.signer;
  return {
    ...common,
    predicateType: verdict.statement.predicateType,
    status: { status: "verified", by: { entry, name, keyId }, time: verdict.time },
  };
}

/** A receipt in words. */
export function receiptLines(receipt: OfflineReceipt): string[] {
  if (receipt.status === "refused") {
    return [`refused   receipt ${receipt.file}`, `          because   ${receipt.message} [${receipt.code}]`];
  }
  const { event, sequence, checkpoint } = receipt.receipt;
  return [
    `proven    receipt ${receipt.file}`,
    `          says      ${event.type} of ${event.org} by ${event.actor}`,
    `          when      ${showMoment(event.time)} (record ${sequence} of ${checkpoint.origin}, ${checkpoint.size} entries)`,
  ];
}

export function receiptJson(receipt: OfflineReceipt): JsonValue {
  if (receipt.status === "refused") return receipt;
  const { event, sequence, checkpoint } = receipt.receipt;
  return {
    file: receipt.file,
    status: "proven",
    sequence,
    time: event.time,
    type: event.type,
    org: event.org,
    actor: event.actor,
    evidence: typeof event.body["evidence"] === "string" ? event.body["evidence"] : null,
    log: { origin: checkpoint.origin, size: checkpoint.size },
  };
}
