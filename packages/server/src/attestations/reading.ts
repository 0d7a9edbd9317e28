import {
  canonicalJson,
  type Digest,
  digestOf,
  EvidenceError,
  isJsonObject,
  type JsonValue,
  LIMITS,
  parseJson,
  parseStatement,
  readEvidence,
  recogniseOpenPgp,
  STATEMENT_V1,
  subjectDigests,
  utf8Encode,
} from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { Problem } from "../http/problem.ts";
import { isIndexableType, readFields } from "./fields.ts";
import type { Piece } from "./piece.ts";
import { readStep } from "./step.ts";
import { wrappingOf } from "./wrapping.ts";

/** What bytes say of themselves; who signed them is found out separately. */
export type ReadPiece = Omit<Piece, "signers">;

/** The bytes of evidence that was posted as JSON: a string as it is, an object in its canonical form (RFC 8785). */
export function postedBytes(evidence: string | Record<string, unknown>): Uint8Array {
  return orProblem(() => utf8Encode(typeof evidence === "string" ? evidence : canonicalJson(evidence as JsonValue)));
}

/** Reads posted evidence of any form. @throws Problem 400 with the code of what is wrong with it: the sender is there to mend it. */
export function readPosted(bytes: Uint8Array): ReadPiece {
  const openpgp = recogniseOpenPgp(bytes);
  if (openpgp === "armored" || openpgp === "binary") {
    throw new Problem(400, "evidence-without-subject", "a detached signature does not say what it is about", {
      hint: "send it with the digest of what it signs, as `subject`",
    });
  }
  const piece = orProblem(() => readSigned(bytes));
  if (piece.subjects.length > 0) return piece;
  throw new Problem(400, "evidence-without-subject", "the evidence names no artifact by a sha256 digest", {
    hint: "evidence is about a digest: sign a statement with a sha256 subject, or attach the bundle to its artifact as a referrer",
  });
}

/**
 * Reads evidence that came attached to an artifact. What cannot be read is kept as just that, about the artifact: visible, and never
 * counting.
 */
export function readAttached(bytes: Uint8Array, subject: Digest): ReadPiece {
  try {
    const piece = readSigned(bytes);
    if (piece.subjects.length > 0) return piece;
    // A signature over bytes that does not state their digest is about what it is attached to, if it is about anything.
    return piece.form === "message-signature" ? { ...piece, subjects: [subject] } : piece;
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    return unreadablePiece(digestOf(nodeCrypto, bytes), bytes.length, subject, `${error.code}: ${error.message}`);
  }
}

/** Evidence as it came in a manifest: what is known of it, and the bytes that its digest names. */
export interface AttachedPiece {
  readonly piece: ReadPiece;
  readonly bytes: Uint8Array;
}

/** Reads what came attached as an in-toto statement: signed in an envelope, or, as build tools attach it, not signed at all: a report. */
export function readAttachedStatement(bytes: Uint8Array, subject: Digest): AttachedPiece {
  if (isUnsignedStatement(bytes)) {
    try {
      const report = reportOf(parseJson(bytes));
      if (report.piece.subjects.length > 0) return report;
    } catch (error) {
      if (!(error instanceof EvidenceError)) throw error;
      // Kept below, as what it is: unreadable.
    }
  }
  return { piece: readAttached(bytes, subject), bytes };
}

function isUnsignedStatement(bytes: Uint8Array): boolean {
  try {
    const json = parseJson(bytes);
    return isJsonObject(json) && json["_type"] !== undefined && json["payloadType"] === undefined;
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    return false;
  }
}

/** Reads a line of a JSON Lines file. Throws the EvidenceError that says why it is no evidence. */
export function readLine(bytes: Uint8Array): ReadPiece {
  const piece = readSigned(bytes);
  if (piece.subjects.length > 0) return piece;
  throw new EvidenceError("statement-invalid", "The evidence names no artifact by a sha256 digest.");
}

/** The report that an SBOM is that somebody attached to an artifact unsigned. @param predicateType undefined: of no known form. */
export function readSbom(bytes: Uint8Array, predicateType: string | undefined, subject: Digest): AttachedPiece {
  try {
    if (predicateType === undefined)
      throw new EvidenceError("json-invalid", "It is an SBOM of a form that is not JSON.");
    const predicate = parseJson(bytes);
    const named = [{ digest: { sha256: subject.slice("sha256:".length) } }];
    return reportOf({ _type: STATEMENT_V1, subject: named, predicateType, predicate });
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    const reason = `${error.code}: ${error.message}`;
    return { piece: unreadablePiece(digestOf(nodeCrypto, bytes), bytes.length, subject, reason), bytes };
  }
}

/** A piece that came as evidence and is none. */
export function unreadablePiece(evidence: Digest, size: number, subject: Digest, reason: string): ReadPiece {
  return {
    evidence,
    size,
    form: "unreadable",
    predicateType: null,
    subjects: [subject],
    payloadDigest: null,
    signature: null,
    hint: null,
    unreadable: reason.slice(0, 1_000),
    step: null,
    wrapping: null,
    fields: [],
  };
}

/** What a report is made from: a whole in-toto statement, or its parts. */
export type ReportInput =
  | { readonly statement: Record<string, unknown> }
  | { readonly subject: Digest; readonly predicateType: string; readonly predicate: Record<string, unknown> };

/** The bytes and the reading of an unsigned report: an in-toto statement in canonical form. @throws Problem 400. */
export function readReport(input: ReportInput): AttachedPiece {
  const statement =
    "statement" in input
      ? input.statement
      : {
          _type: STATEMENT_V1,
          subject: [{ digest: { sha256: input.subject.slice("sha256:".length) } }],
          predicateType: input.predicateType,
          predicate: input.predicate,
        };
  const report = orProblem(() => reportOf(statement as JsonValue));
  if (report.piece.subjects.length > 0) return report;
  throw new Problem(400, "evidence-without-subject", "the report names no artifact by a sha256 digest");
}

/** Throws the EvidenceError that says why the statement is none. */
function reportOf(statement: JsonValue): AttachedPiece {
  const bytes = utf8Encode(canonicalJson(statement));
  const { predicateType, subjects, predicate } = parseStatement(bytes);
  checkType(predicateType);
  const piece: ReadPiece = {
    evidence: digestOf(nodeCrypto, bytes),
    size: bytes.length,
    form: "report",
    predicateType,
    subjects: subjectDigests(subjects),
    payloadDigest: null,
    signature: null,
    hint: null,
    unreadable: null,
    step: readStep(predicateType, predicate),
    wrapping: null,
    fields: readFields(predicateType, predicate),
  };
  return { bytes, piece };
}

/** Reads signed evidence of any form. Throws the EvidenceError that says what is wrong with it. */
function readSigned(bytes: Uint8Array): ReadPiece {
  const read = readEvidence(nodeCrypto, bytes);
  checkType(read.predicateType);
  return {
    evidence: read.digest,
    size: bytes.length,
    form: read.format,
    predicateType: read.predicateType,
    subjects: [...read.subjects],
    payloadDigest: read.payloadDigest,
    signature: read.signature,
    hint: read.hint ?? null,
    unreadable: null,
    step: readStep(read.predicateType, read.predicate),
    wrapping: wrappingOf(read.form),
    fields: readFields(read.predicateType, read.predicate),
  };
}

function checkType(predicateType: string): void {
  if (isIndexableType(predicateType)) return;
  throw new EvidenceError(
    "statement-invalid",
    `The predicate type has more than ${LIMITS.typeLength} bytes, or a NUL.`,
  );
}

function orProblem<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    const status = error.code === "too-large" ? 413 : 400;
    throw new Problem(status, error.code, error.message, { hint: error.hint, cause: error });
  }
}

/** The largest evidence that is read, in bytes. */
export const MAX_EVIDENCE_BYTES = LIMITS.bundleBytes;
