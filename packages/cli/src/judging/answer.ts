import { usageError } from "../errors.ts";
import type { Setting } from "../explain.ts";
import { keyDigits } from "../key-name.ts";
import type { JsonValue } from "../output.ts";
import { oneLine, quantity } from "../table.ts";
import { adviceOnNothing, adviceOnRefusal } from "./advice.ts";
import { type Piece, pieceJson, pieceLines } from "./piece.ts";
import type { AskedSubject } from "./subject.ts";

/** What the asker demands of the evidence; both of the same piece. */
export type Demands = {
  readonly predicateType: string | undefined;
  /** A trust entry's name or id, or a key id. */
  readonly by: string | undefined;
};

/** Everything an answer to "is this really said?" rests on. */
export type Question = {
  readonly subject: AskedSubject;
  readonly repository: string | undefined;
  /** Where the answer comes from: the server's address, or "offline". */
  readonly source: string;
  readonly trust: { readonly org: string; readonly version: number };
  /** The record's sequence as of which was asked; null offline. */
  readonly asOf: number | null;
};

/** The answer: yes only if a verified piece meets every demand. */
export type VerifyAnswer = {
  readonly verified: boolean;
  readonly satisfiedBy: readonly string[];
  readonly json: JsonValue;
  readonly text: string;
};

/** Refuses demands that nothing could meet because they are empty: a script's unset variable must not widen the question. */
export function checkDemands(demands: Demands): void {
  for (const [option, value] of [
    ["--predicate-type", demands.predicateType],
    ["--by", demands.by],
  ] as const) {
    if (value === "") throw usageError("usage", `${option} is empty`);
  }
}

/** Judges the pieces by the demands and puts the answer into words. */
export function verifyAnswer(
  question: Question,
  demands: Demands,
  pieces: readonly Piece[],
  also: {
    readonly refuse?: string;
    readonly json?: { readonly [name: string]: JsonValue };
    readonly lines?: readonly string[];
    /** Show what was checked below each piece, set so. */
    readonly explain?: Setting;
  } = {},
): VerifyAnswer {
  const meeting = pieces.filter((piece) => meets(piece, demands));
  const verified = meeting.length > 0 && also.refuse === undefined;
  const satisfiedBy = meeting.map((piece) => piece.evidence);
  const { subject, repository, source, trust, asOf } = question;
  const demanded = [
    ...(demands.predicateType === undefined ? [] : [`of type ${demands.predicateType}`]),
    ...(demands.by === undefined ? [] : [`by ${demands.by}`]),
  ].join(" ");
  const count = (kind: Piece["status"]["status"]): number =>
    pieces.filter(({ status }) => status.status === kind).length;
  const found = `${count("verified")} verified, ${count("refused")} refused, ${count("reported")} only reported`;
  const verdict = verified
    ? `VERIFIED  ${meeting.length} of ${quantity(pieces.length, "piece")} of evidence${demanded === "" ? "" : ` ${demanded}`}: the signatures, not whether what they say is enough`
    : `NOT VERIFIED  ${also.refuse ?? (pieces.length === 0 ? "there is no evidence about it" : `no verified evidence${demanded === "" ? "" : ` ${demanded}`}: ${found}`)}`;
  const others = pieces.filter((piece) => !meeting.includes(piece));
  const lines = [
    subject.kind === "digest" ? subject.digest : `${subject.digest}  ${subject.kind} ${subject.named}`,
    `trust of ${trust.org}, version ${trust.version}${asOf === null ? "" : `, as of record ${asOf}`}, ${source}, ${repository === undefined ? "in no repository" : `in ${repository}`}`,
    "",
    ...meeting.flatMap((piece) => pieceLines(piece, also.explain)),
    // Under a demand, "verified" is said of what meets it; the rest is shown apart, so that nobody reads it as a yes.
    ...(demanded === "" || others.length === 0 ? [] : [`not ${demanded}, or not verified:`]),
    ...others.flatMap((piece) => pieceLines(piece, also.explain)),
    ...(also.lines ?? []),
    ...(pieces.length + (also.lines?.length ?? 0) === 0 ? [] : [""]),
    verdict,
    ...(verified ? doubts(meeting) : advice(question, pieces)),
  ];
  return {
    verified,
    satisfiedBy,
    json: {
      result: verified ? "verified" : "not-verified",
      subject: subject.digest,
      kind: subject.kind,
      named: subject.named,
      repository: repository ?? null,
      source,
      trust,
      asOf,
      demanded: { predicateType: demands.predicateType ?? null, by: demands.by ?? null },
      satisfiedBy: verified ? satisfiedBy : [],
      evidence: pieces.map((piece) => pieceJson(also.explain === undefined ? { ...piece, steps: null } : piece)),
      ...also.json,
    },
    text: lines.map((line) => oneLine(line)).join("\n"),
  };
}

/** What to do about a no. Of pieces that are verified and do not meet the demands there is nothing to say. */
function advice({ subject, source }: Question, pieces: readonly Piece[]): string[] {
  const codes = pieces.flatMap(({ status }) => (status.status === "refused" ? [status.code] : []));
  const lines =
    pieces.length === 0 ? [adviceOnNothing(subject)] : adviceOnRefusal(subject, codes, source === "offline");
  return lines.map((line) => `          ${line}`);
}

/** A good signature under bad news is still bad news: said beside the verdict, which is about signatures only. */
function doubts(pieces: readonly Piece[]): string[] {
  const said = pieces.flatMap(({ claim }) => (claim === null || claim.isPass ? [] : [claim.says]));
  if (said.length === 0) return [];
  const words = [...new Set(said)].slice(0, 3).join("; ");
  return [
    `          but ${said.length} of them says ${words}. \`assay decide\` judges results, by a policy's tests rule.`,
  ];
}

function meets({ status, predicateType }: Piece, demands: Demands): boolean {
  if (status.status !== "verified") return false;
  if (demands.predicateType !== undefined && predicateType !== demands.predicateType) return false;
  const { name, entry, keyId, entries } = status.by;
  const counting = entries.filter(({ counts }) => counts);
  const names = [name, entry, keyId, ...counting.flatMap((one) => [one.name, one.entry])];
  return demands.by === undefined || names.includes(demands.by) || keyDigits(demands.by) === keyId;
}
