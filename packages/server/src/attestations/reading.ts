import {
  canonicalJson,
  type Digest,
  digestOf,
  EvidenceError,
  type JsonValue,
  LIMITS,
  parseStatement,
  readEvidence,
  STATEMENT_V1,
  subjectDigests,
  utf8Encode,
} from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { Problem } from "../http/problem.ts";
import type { Piece } from "./piece.ts";
import { readStep } from "./step.ts";

/** What bytes say of themselves; who signed them is found out separately. */
export type ReadPiece = Omit<Piece, "signers">;

/** The bytes of a bundle that was posted: a string as it is, an object in its canonical form (RFC 8785). */
export function bundleBytes(bundle: string | Record<string, unknown>): Uint8Array {
  return orProblem(() => utf8Encode(typeof bundle === "string" ? bundle : canonicalJson(bundle as JsonValue)));
}

/** Reads a posted bundle. @throws Problem 400 with the code of what is wrong with it: the sender is there to mend it. */
export function readPostedBundle(bytes: Uint8Array): ReadPiece {
  const piece = orProblem(() => readBundle(bytes));
  if (piece.subjects.length > 0) return piece;
  throw new Problem(400, "evidence-without-subject", "the bundle names no artifact by a sha256 digest", {
    hint: "evidence is about a digest: sign a statement with a sha256 subject, or attach the bundle to its artifact as a referrer",
  });
}

/**
 * Reads a bundle that came attached to an artifact. What cannot be read is kept as just that, about the artifact: visible, and never
 * counting.
 */
export function readAttachedBundle(bytes: Uint8Array, subject: Digest): ReadPiece {
  try {
    const piece = readBundle(bytes);
    // A signature over bytes that does not state their digest is about what it is attached to, if it is about anything.
    return piece.form === "message-signature" && piece.subjects.length === 0
      ? { ...piece, subjects: [subject] }
      : piece;
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    return unreadablePiece(digestOf(nodeCrypto, bytes), bytes.length, subject, `${error.code}: ${error.message}`);
  }
}

/** A piece that came as a bundle and is none. */
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
  };
}

/** What a report is made from: a whole in-toto statement, or its parts. */
export type ReportInput =
  | { readonly statement: Record<string, unknown> }
  | { readonly subject: Digest; readonly predicateType: string; readonly predicate: Record<string, unknown> };

/** The bytes and the reading of an unsigned report: an in-toto statement in canonical form. @throws Problem 400. */
export function readReport(input: ReportInput): { bytes: Uint8Array; piece: ReadPiece } {
  return orProblem(() => {
    const statement =
      "statement" in input
        ? input.statement
        : {
            _type: STATEMENT_V1,
            subject: [{ digest: { sha256: input.subject.slice("sha256:".length) } }],
            predicateType: input.predicateType,
            predicate: input.predicate,
          };
    const bytes = utf8Encode(canonicalJson(statement as JsonValue));
    const { predicateType, subjects, predicate } = parseStatement(bytes);
    const digests = subjectDigests(subjects);
    if (digests.length === 0) {
      throw new Problem(400, "evidence-without-subject", "the report names no artifact by a sha256 digest");
    }
    return {
      bytes,
      piece: {
        evidence: digestOf(nodeCrypto, bytes),
        size: bytes.length,
        form: "report",
        predicateType,
        subjects: digests,
        payloadDigest: null,
        signature: null,
        hint: null,
        unreadable: null,
        step: readStep(predicateType, predicate),
      },
    };
  });
}

function readBundle(bytes: Uint8Array): ReadPiece {
  const read = readEvidence(nodeCrypto, bytes);
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
  };
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

/** The largest bundle that is read, in bytes. */
export const MAX_BUNDLE_BYTES = LIMITS.bundleBytes;
