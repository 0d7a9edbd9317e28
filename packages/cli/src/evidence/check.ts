import { EvidenceError, parseJson, parseReceipt, verifyReceipt } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { Exit, usageError } from "../errors.ts";
import { readInput } from "../input.ts";
import { verifyAnswer } from "../judging/answer.ts";
import {
  checkEvidence,
  logKeys,
  type OfflineReceipt,
  readTrust,
  receiptJson,
  receiptLines,
} from "../judging/offline.ts";
import type { Piece } from "../judging/piece.ts";
import { repositoryOf } from "../judging/repository.ts";
import type { JsonValue } from "../output.ts";
import type { Session } from "../session.ts";
import { type ExportedPiece, readExportFile } from "./export.ts";

export type CheckOptions = { readonly trust?: string; readonly artifact?: string; readonly repository?: string };

/** The largest artifact that is held for signatures over its bytes. */
const MAX_ARTIFACT = 512 * 1024 * 1024;

/**
 * Verifies everything in an export with nothing but a trust file of one's own. The trust and the log keys that the export brings are not
 * looked at: whoever made the file chose them. Errors: those of `readExportFile`, `usage`.
 */
export async function checkExport(session: Session, path: string, options: CheckOptions): Promise<void> {
  if (options.trust === undefined) {
    throw usageError("usage", "whom to believe?", "Add --trust FILE, as written by `assay trust export`.");
  }
  const trust = await readTrust(options.trust);
  const exported = await readExportFile(path);
  const artifactBytes = options.artifact === undefined ? undefined : await readInput(options.artifact, MAX_ARTIFACT);
  const repository = options.repository === undefined ? undefined : repositoryOf(trust.org, options.repository);
  const keys = logKeys(trust);
  const receipts: OfflineReceipt[] = [];
  const pieces: Piece[] = [];
  for (const piece of exported.pieces) {
    const receipt = await receiptOf(piece, keys);
    if (receipt !== undefined) receipts.push(receipt);
    if (!isSigned(piece)) continue;
    const question = { artifact: exported.subject, artifactBytes, repository, trust };
    pieces.push(
      await checkEvidence(piece.bytes, piece.evidence, {
        ...question,
        receipts: receipt === undefined ? [] : [receipt],
      }),
    );
  }
  const broken = receipts.filter(({ status }) => status === "refused").length;
  const subject = { digest: exported.subject, named: path, kind: "digest" as const, repository };
  const answer = verifyAnswer(
    { subject, repository, source: "offline", trust: { org: trust.org, version: trust.version }, asOf: null },
    { predicateType: undefined, by: undefined },
    pieces,
    {
      ...(broken === 0 ? {} : { refuse: `${broken} of ${receipts.length} receipt(s) do not hold` }),
      json: { receipts: receipts.map((receipt) => receiptJson(receipt, pieces)) },
      lines: receipts.filter(({ status }) => status === "refused").flatMap((receipt) => receiptLines(receipt, pieces)),
    },
  );
  session.output.result(answer.json, answer.text);
  session.answer(answer.verified ? Exit.yes : Exit.no);
}

/** Reports that nobody signed, and what could not be read when it came, are in the file and can never be verified. */
function isSigned({ form }: ExportedPiece): boolean {
  return form !== "report" && form !== "unreadable";
}

async function receiptOf(
  { evidence, receipt }: ExportedPiece,
  keys: ReturnType<typeof logKeys>,
): Promise<OfflineReceipt | undefined> {
  if (receipt === null) return undefined;
  const file = `of ${evidence}`;
  try {
    const parsed = parseReceipt(parseJson(JSON.stringify(receipt satisfies JsonValue)));
    return { file, status: "proven", receipt: await verifyReceipt(nodeCrypto, parsed, keys) };
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    return { file, status: "refused", code: error.code, message: error.message };
  }
}
