import {
  type Digest,
  EvidenceError,
  formatOpenPgpSignature,
  isDigest,
  LIMITS,
  type NoteKey,
  parseTrustFile,
  parseVkey,
  type ProvenTime,
  receiptTime,
  recogniseOpenPgp,
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
import { claimIn } from "./claim.ts";
import type { Piece } from "./piece.ts";

/** A receipt file, verified against the logs that trust names, or why it proves nothing. */
export type OfflineReceipt =
  | { readonly file: string; readonly status: "proven"; readonly receipt: VerifiedReceipt }
  | { readonly file: string; readonly status: "refused"; readonly code: string; readonly message: string };

/** Reads a trust file. Errors: those of the file system; `trust-invalid` and its kin as wrong usage. */
export async function readTrust(path: string): Promise<TrustVersion> {
  const bytes = await readInput(path, LIMITS.trustBytes);
  return parsing(path, () => parseTrustFile(bytes), "Give a trust file, as written by `assay trust export`.");
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

/** What evidence is judged by, with nothing but what is given. */
export type OfflineQuestion = {
  readonly artifact: Digest;
  readonly artifactBytes: Uint8Array | undefined;
  readonly repository: string | undefined;
  readonly trust: TrustVersion;
  readonly receipts: readonly OfflineReceipt[];
};

/** Verifies one file of evidence; a detached OpenPGP signature is taken to be over the artifact. */
export async function checkBundle(path: string, question: OfflineQuestion): Promise<Piece> {
  const bytes = await readInput(path, LIMITS.bundleBytes);
  const form = recogniseOpenPgp(bytes);
  // As `assay evidence add --signature` gives it to the server: the same bytes, and so the same evidence.
  const isDetached = form === "armored" || form === "binary";
  const bundle = isDetached ? formatOpenPgpSignature({ subject: question.artifact, signature: bytes }) : bytes;
  return checkEvidence(bundle, path, question);
}

/** Verifies evidence at hand. @param path where it came from, for people. */
export async function checkEvidence(bundle: Uint8Array, path: string, question: OfflineQuestion): Promise<Piece> {
  const { artifact, artifactBytes, repository, trust, receipts } = question;
  // It brings a library, which is loaded only where somebody is trusted whose signatures it reads.
  const openpgp = trust.entries.some(({ kind }) => kind === "openpgp")
    ? { openpgp: (await import("@assay/evidence/openpgp")).openPgp }
    : {};
  const judge = (times: readonly ProvenTime[]) =>
    verify(nodeCrypto, {
      bundle,
      artifact,
      trust,
      times,
      now: Date.now(),
      ...openpgp,
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
  const claim = claimIn(bundle) ?? null;
  const here = { primary: false, sameSignatureAs: null, receivedAt: null, sequence: null };
  const common = { evidence: verdict.evidence, claim, ...here, file: path };
  if (verdict.status === "refused") {
    const { code, message } = verdict;
    return {
      ...common,
      steps: verdict.steps,
      predicateType: verdict.predicateType ?? null,
      status: { status: "refused", code, message },
    };
  }
  const { entry, name, keyId, kind, certificate, entries } = verdict.signer;
  const by = { entry, name, keyId, kind, issuedFor: certificate?.subject ?? null, entries };
  return {
    ...common,
    steps: verdict.steps,
    predicateType: verdict.statement.predicateType,
    status: { status: "verified", by, time: verdict.time },
  };
}

/** Whether a receipt proves when one of these pieces was there. One about other evidence proves nothing here. */
function isUsed(receipt: VerifiedReceipt, pieces: readonly Piece[]): boolean {
  return pieces.some(({ evidence }) => isDigest(evidence) && receiptTime(receipt, evidence) !== undefined);
}

/** The evidence that a receipt's event names, for people and programs. */
function evidenceOf({ event }: VerifiedReceipt): string | null {
  const evidence = event.body["evidence"];
  return typeof evidence === "string" ? evidence : null;
}

/** A receipt in words, beside the pieces it was given for. */
export function receiptLines(receipt: OfflineReceipt, pieces: readonly Piece[]): string[] {
  if (receipt.status === "refused") {
    return [`refused   receipt ${receipt.file}`, `          because   ${receipt.message} [${receipt.code}]`];
  }
  const { event, sequence, checkpoint } = receipt.receipt;
  const when = `          when      ${showMoment(event.time)} (record ${sequence} of ${checkpoint.origin}, ${checkpoint.size} entries)`;
  const says = `          says      ${event.type} of ${event.org} by ${event.actor}`;
  if (isUsed(receipt.receipt, pieces)) return [`proven    receipt ${receipt.file}`, says, when];
  const evidence = evidenceOf(receipt.receipt);
  const about = evidence === null ? "no evidence" : `other evidence, ${evidence}`;
  return [`not used  receipt ${receipt.file}`, `          proves    ${about}`, says, when];
}

export function receiptJson(receipt: OfflineReceipt, pieces: readonly Piece[]): JsonValue {
  if (receipt.status === "refused") return receipt;
  const { event, sequence, checkpoint } = receipt.receipt;
  return {
    file: receipt.file,
    status: isUsed(receipt.receipt, pieces) ? "proven" : "not-used",
    sequence,
    time: event.time,
    type: event.type,
    org: event.org,
    actor: event.actor,
    evidence: evidenceOf(receipt.receipt),
    log: { origin: checkpoint.origin, size: checkpoint.size },
  };
}
