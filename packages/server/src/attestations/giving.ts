import { type Digest, parseDigest } from "@assay/evidence";
import { authorize } from "../access/authorize.ts";
import { Problem } from "../http/problem.ts";
import type { Actor, Command } from "../record/command.ts";
import { newestSequence } from "../record/newest.ts";
import { isLost } from "../storage/blobs.ts";
import { withinOneRequest } from "./artifact-bytes.ts";
import type { CompanionsContext } from "./companions.ts";
import { evidenceAbout, type EvidenceRow, isInRepository } from "./queries.ts";
import { MAX_EVIDENCE_BYTES, readAttached, readAttachedStatement, type ReadPiece, unreadablePiece } from "./reading.ts";
import { proveSigners } from "./signers.ts";

/** Pieces that may be given on together. */
const MAX_PIECES = 500;

/** Bytes of evidence that may be given on together. */
const MAX_BYTES = 4 * MAX_EVIDENCE_BYTES;

/** What somebody gives on: the evidence about some artifacts that they may see, from one organisation's repository to another's. */
export interface Giving {
  readonly actor: Actor;
  readonly from: { readonly org: string; readonly repository: string };
  readonly to: { readonly org: string; readonly repository: string };
  readonly subjects: readonly Digest[];
}

/**
 * The commands that give the evidence about some artifacts to a repository. Evidence is visible, and counts, only where it was given to: whoever gives it on
 * sees it in the one place and may write it in the other. Its bytes are the same; who signed it is proven anew, by the identities that are trusted there.
 *
 * @throws Problem when they may not see evidence where it comes from, and when it is too much at once.
 */
export async function evidenceGivenOn(context: CompanionsContext, giving: Giving): Promise<Command[]> {
  const { reader } = context;
  const { actor, from, to } = giving;
  const judging = withinOneRequest(context);
  const refusal = await authorize(reader, actor, "evidence.read", from);
  if (refusal !== undefined) throw Problem.fromRefusal(refusal);
  const whole = (await authorize(reader, actor, "evidence.read", { org: from.org })) === undefined;
  const asOf = await newestSequence(reader);
  const commands = new Map<string, Command>();
  let bytes = 0;
  for (const subject of giving.subjects) {
    const rows = await evidenceAbout(reader, from.org, subject, { asOf, limit: MAX_PIECES + 1 });
    for (const row of rows) {
      if (commands.has(`${row.digest} ${row.form} ${subject}`)) continue;
      if (!whole && !(await isInRepository(reader, from.org, row.digest, from.repository))) continue;
      bytes += row.size;
      if (commands.size >= MAX_PIECES || bytes > MAX_BYTES) throw tooMuch();
      const content = await readWhole(context, row);
      const piece = content === undefined ? unread(row, subject) : pieceOf(row, content, subject);
      const { signers, provenUnder } = await proveSigners(
        judging,
        to.org,
        content ?? new Uint8Array(0),
        piece,
        Date.now(),
      );
      commands.set(`${row.digest} ${row.form} ${subject}`, {
        type: "attestations.add",
        org: to.org,
        actor,
        body: { ...piece, signers, repository: to.repository, source: { kind: "api" }, provenUnder },
      });
    }
  }
  return [...commands.values()];
}

/** The bytes of a piece; undefined where they are too many to read, as when they came. */
async function readWhole({ blobs }: CompanionsContext, row: EvidenceRow): Promise<Uint8Array | undefined> {
  if (row.size > MAX_EVIDENCE_BYTES) return undefined;
  try {
    return await blobs.readSmall(parseDigest(row.digest), MAX_EVIDENCE_BYTES);
  } catch (error) {
    if (!isLost(error)) throw error;
    throw new Problem(409, "evidence-lost", `the bytes of the evidence ${row.digest} are gone or altered`, {
      hint: "`assay server check` says since when; give it anew where it comes from",
    });
  }
}

function unread(row: EvidenceRow, subject: Digest): ReadPiece {
  return unreadablePiece(parseDigest(row.digest), row.size, subject, row.unreadable ?? "it cannot be read any more");
}

/** What the bytes say, read as they were when they came first. */
function pieceOf(row: EvidenceRow, bytes: Uint8Array, subject: Digest): ReadPiece {
  if (row.form === "unreadable") return unread(row, subject);
  const piece = row.form === "report" ? readAttachedStatement(bytes, subject).piece : readAttached(bytes, subject);
  return piece.evidence === row.digest && piece.form === row.form ? piece : unread(row, subject);
}

function tooMuch(): Problem {
  return new Problem(422, "promotion-too-large", `there is more evidence than ${MAX_PIECES} pieces about it`, {
    hint: "give what the destination needs to it with `assay evidence add`",
  });
}
