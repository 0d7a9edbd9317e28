import { isDigest } from "@assay/evidence";
import { type AnswerObject, answerInvalid } from "../answer.ts";
import type { Setting } from "../explain.ts";
import { type Claim, hasOutcome } from "../judging/claim.ts";
import { type Piece, pieceJson, pieceLines, readPieces } from "../judging/piece.ts";
import type { JsonValue } from "../output.ts";

/** What one piece of evidence is worth about the artifacts it is about, judged under one version of trust, and how that was found out. */
export type Judged = {
  readonly org: string;
  readonly repository: string | null;
  readonly trustVersion: number;
  readonly asOf: number;
  readonly pieces: readonly (Piece & { readonly subject: string })[];
  /** Whether it is about more artifacts than it was judged about. */
  readonly more: boolean;
};

/** Reads what the server's answer about one piece says of its worth. @param claim what the piece says came out. Errors: `answer-invalid`. */
export function readJudged(answer: AnswerObject, org: string, claim: Claim | undefined): Judged {
  const judged = answer.object("judged");
  const trust = judged.object("trust");
  if (trust.text("org") !== org) throw answerInvalid("it is judged under another organisation's trust");
  const items = judged.objects("items");
  const subjects = items.map((item) => item.text("subject"));
  const pieces = readPieces(items).map((piece, at) => {
    const subject = subjects[at];
    if (subject === undefined || !isDigest(subject)) throw answerInvalid("a subject is not named by a digest");
    if (piece.evidence !== answer.text("evidence")) throw answerInvalid("it judges other evidence");
    return { ...piece, subject, claim: hasOutcome(piece.predicateType) ? (claim ?? null) : null };
  });
  return {
    org,
    repository: judged.textOrNull("repository"),
    trustVersion: trust.whole("version"),
    asOf: judged.whole("asOf"),
    pieces,
    more: judged.flag("more"),
  };
}

/** What it is worth in lines: artifact by artifact, below each everything that was checked. */
export function judgedLines({ org, repository, trustVersion, asOf, pieces, more }: Judged, setting: Setting): string[] {
  const place = repository === null ? "in no repository" : `in ${repository}`;
  return [
    `trust of ${org}, version ${trustVersion}, as of record ${asOf}, ${place}`,
    ...pieces.flatMap((piece) => ["", `about ${piece.subject}`, ...pieceLines(piece, setting)]),
    ...(more ? ["", "It is about more than these: `assay verify SUBJECT --explain` says it of any."] : []),
  ];
}

/** The same for programs: pieces as `assay verify --output json` has them, each with the artifact it is judged about. */
export function judgedJson({ org, repository, trustVersion, asOf, pieces, more }: Judged): JsonValue {
  return {
    repository,
    trust: { org, version: trustVersion },
    asOf,
    evidence: pieces.map((piece) => pieceJson(piece)),
    more,
  };
}
