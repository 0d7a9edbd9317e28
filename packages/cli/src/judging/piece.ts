import { isDigest, type ProvenTime, type Step } from "@assay/evidence";
import { type AnswerObject, answerInvalid } from "../answer.ts";
import { explanationLines, readSteps, type Setting, stepsJson } from "../explain.ts";
import { keyName, type SignerKind } from "../key-name.ts";
import { showMoment } from "../moment.ts";
import type { JsonValue } from "../output.ts";
import { oneLine } from "../table.ts";
import type { Claim } from "./claim.ts";

/** What a piece of evidence is worth, as the server or `verify()` judged it. */
export type PieceStatus =
  | {
      readonly status: "verified";
      readonly by: {
        readonly entry: string;
        readonly name: string;
        readonly keyId: string;
        readonly kind: SignerKind;
        /** Whom the certificate is issued for; null of a key. */
        readonly issuedFor: string | null;
        /** Every entry of trust that holds the key; only those that `counts` say anything about this piece. */
        readonly entries: readonly { readonly entry: string; readonly name: string; readonly counts: boolean }[];
      };
      /** Null: the key is trusted without a window, and nothing proves when it spoke. */
      readonly time: ProvenTime | null;
    }
  /** Nobody signed it. */
  | { readonly status: "reported" }
  | { readonly status: "refused"; readonly code: string; readonly message: string };

/** One piece of evidence about an artifact, judged. */
export type Piece = {
  /** Digest of its bytes. */
  readonly evidence: string;
  /** What it claims to be; null where that cannot be read. */
  readonly predicateType: string | null;
  readonly status: PieceStatus;
  /** What it says came out; null for a type that says no such thing, or where it cannot be read. */
  readonly claim: Claim | null;
  /** Whether it is the artifact's primary build provenance in the repository asked about. */
  readonly primary: boolean;
  /** The piece of the same list that came first with this very signature in other bytes, such as a line feed less; null for the first. */
  readonly sameSignatureAs: string | null;
  /** ms since 1970, by the record; null offline. */
  readonly receivedAt: number | null;
  /** Its place in the record; null offline. */
  readonly sequence: number | null;
  /** The file it was read from; null when it came from the server. */
  readonly file: string | null;
  /** Everything that was checked; null where it was not asked for. */
  readonly steps: readonly Step[] | null;
};

/** Reads an item of the server's list. Errors: `answer-invalid`. */
export function readPiece(item: AnswerObject): Piece {
  const evidence = item.text("evidence");
  if (!isDigest(evidence)) throw answerInvalid("a piece of evidence is not named by a digest");
  return {
    evidence,
    predicateType: item.textOrNull("predicateType"),
    status: readStatus(item.object("status")),
    claim: null,
    primary: item.flag("primary"),
    sameSignatureAs: null,
    receivedAt: item.whole("receivedAt"),
    sequence: item.whole("sequence"),
    file: null,
    steps: item.object("status").raw("steps") === undefined ? null : readSteps(item.object("status")),
  };
}

/** Reads the items of the server's list, and says of each which of them had its signature first. Errors: `answer-invalid`. */
export function readPieces(items: readonly AnswerObject[]): Piece[] {
  const first = new Map(items.map((item) => [item.whole("sequence"), item.text("evidence")]));
  return items.map((item) => {
    const piece = readPiece(item);
    // Servers before this member say nothing of it.
    const earlier = item.raw("firstSequence") === undefined ? piece.sequence : item.whole("firstSequence");
    return earlier === piece.sequence || earlier === null
      ? piece
      : { ...piece, sameSignatureAs: first.get(earlier) ?? null };
  });
}

function readStatus(status: AnswerObject): PieceStatus {
  const kind = status.text("status");
  switch (kind) {
    case "verified": {
      const by = status.object("by");
      return {
        status: "verified",
        by: {
          entry: by.text("entry"),
          name: by.text("name"),
          keyId: by.text("keyId"),
          kind: readKind(by),
          issuedFor: by.raw("certificate") === undefined ? null : by.object("certificate").text("subject"),
          entries: by.objects("entries").map((one) => ({
            entry: one.text("entry"),
            name: one.text("name"),
            counts: one.flag("counts"),
          })),
        },
        time: status.raw("time") === null ? null : readTime(status.object("time")),
      };
    }
    case "reported":
      return { status: "reported" };
    case "refused":
      return { status: "refused", code: status.text("code"), message: status.text("message") };
    default:
      throw answerInvalid(`a status of evidence is ${JSON.stringify(kind)}`);
  }
}

function readKind(by: AnswerObject): SignerKind {
  const kind = by.text("kind");
  if (kind !== "key" && kind !== "openpgp" && kind !== "certificate") {
    throw answerInvalid(`a signer is a ${JSON.stringify(kind)}`);
  }
  return kind;
}

function readTime(time: AnswerObject): ProvenTime {
  const source = time.text("source");
  if (source !== "received-here" && source !== "receipt" && source !== "rfc3161" && source !== "log") {
    throw answerInvalid(`a proof of time is ${JSON.stringify(source)}`);
  }
  return { source, time: time.whole("time"), evidence: time.text("evidence") };
}

const TIME_SOURCES: Record<ProvenTime["source"], string> = {
  "received-here": "received here by then",
  receipt: "by the record's receipt",
  rfc3161: "by a timestamp authority",
  log: "by a transparency log",
};

/** What stands before the lines of an explanation, below those of its piece. */
const EXPLAINED = "            ";

/** A piece in lines: what it says, by whom, since when and proven by what; or why it does not count. With `explain` also what was checked. */
export function pieceLines(piece: Piece, explain?: Setting): string[] {
  const { evidence, predicateType, status, claim, primary, sameSignatureAs, receivedAt, sequence, file } = piece;
  const type = oneLine(predicateType ?? "(its type is not known)");
  const lines = [`${status.status.padEnd(10)}${type}${primary ? "  [primary provenance]" : ""}`];
  const add = (line: string): number => lines.push(`          ${oneLine(line)}`);
  if (claim !== null) add(`says      ${claim.says}`);
  switch (status.status) {
    case "verified": {
      const { by, time } = status;
      add(`said by   ${by.name} (${by.entry}, ${signedBy(by)})`);
      for (const also of by.entries) {
        if (also.counts && also.entry !== by.entry) add(`also as   ${also.name} (${also.entry})`);
      }
      add(
        time === null
          ? "when      not proven (this key is trusted at any time)"
          : `when      ${showMoment(time.time)}, ${TIME_SOURCES[time.source]} (${time.evidence})`,
      );
      break;
    }
    case "reported":
      add("said by   nobody: it is an unsigned report");
      break;
    case "refused":
      add(`because   ${status.message} [${status.code}]`);
      break;
  }
  if (status.status !== "verified" && receivedAt !== null)
    add(`received  ${showMoment(receivedAt)} (record ${sequence})`);
  if (sameSignatureAs !== null) add(`again     the same signature as ${sameSignatureAs}, in other bytes`);
  add(`evidence  ${evidence}${file === null || file === evidence ? "" : ` (${file})`}`);
  if (explain !== undefined && piece.steps !== null) {
    const width = explain.width === undefined ? undefined : explain.width - EXPLAINED.length;
    lines.push(...explanationLines(piece.steps, { ...explain, width }).map((line) => `${EXPLAINED}${line}`));
  }
  return lines;
}

/** By what the signer was known: the key, or whom the certificate is issued for. */
function signedBy({ kind, keyId, issuedFor }: { kind: SignerKind; keyId: string; issuedFor: string | null }): string {
  switch (kind) {
    case "key":
      return `key ${keyName(kind, keyId)}`;
    case "openpgp":
      return keyName(kind, keyId);
    case "certificate":
      return `certificate for ${issuedFor ?? "(not said)"}`;
  }
}

/** A piece as programs get it: the same from the server and offline. */
export function pieceJson({ claim, steps, ...piece }: Piece): JsonValue {
  return { ...piece, says: claim?.says ?? null, ...(steps === null ? {} : { steps: stepsJson(steps) }) };
}
