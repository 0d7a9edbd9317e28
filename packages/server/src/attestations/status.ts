import {
  type Digest,
  parseDigest,
  type ProvenTime,
  type Step,
  type TrustVersion,
  type Verdict,
  verify,
} from "@assay/evidence";
import { isLost } from "../storage/blobs.ts";
import { artifactSource, type JudgingContext } from "./artifact-bytes.ts";
import { formReaders } from "./openpgp.ts";
import { judgingCrypto } from "./proofs.ts";
import type { EvidenceRow } from "./queries.ts";
import { MAX_EVIDENCE_BYTES } from "./reading.ts";

/** What a piece of evidence is worth under a trust version: computed when it is asked, never stored. */
export type Status =
  | Verdict
  | {
      readonly status: "reported";
      readonly evidence: Digest;
      readonly predicateType: string;
      readonly steps: readonly Step[];
    };

/** About what, where, and believing whom. */
export interface Question {
  readonly artifact: Digest;
  /** "org/name", for the scope of trust; without it only entries of scope "**" count. */
  readonly repository: string | undefined;
  readonly trust: TrustVersion;
  /** For which moment, ms since 1970: signatures that say when they end have ended then, or not. */
  readonly now: number;
}

/** When the record first had the signature of a piece: its proven time. */
export function receivedTime(row: Pick<EvidenceRow, "first_time" | "first_sequence">): ProvenTime {
  return { source: "received-here", time: row.first_time, evidence: `record ${row.first_sequence}` };
}

/**
 * Judges one piece. Whatever is wrong with it is a refusal with its reason; so it is when stored bytes are gone or altered, its own or the
 * artifact's, since asked again the store says the same.
 *
 * @throws ServerError that the store does not answer (`blobs-unavailable` and its like), or the server has no time (`artifacts-busy`): that
 * is no verdict, and nothing may be decided from it.
 */
export async function statusOf(context: JudgingContext, row: EvidenceRow, question: Question): Promise<Status> {
  const evidence = parseDigest(row.digest);
  const refused = (message: string): Status => ({
    status: "refused",
    evidence,
    code: "malformed",
    message,
    steps: [{ check: "form", outcome: "failed", detail: message }],
  });
  switch (row.form) {
    case "unreadable":
      return refused(`It came as evidence and cannot be read as any (${row.unreadable ?? "no reason kept"}).`);
    case "report": {
      const detail = "It is a report that nobody signed: no signature, so no signer.";
      const steps: Step[] = [{ check: "signature", outcome: "not-evaluated", detail }];
      return { status: "reported", evidence, predicateType: row.predicate_type ?? "", steps };
    }
    case "dsse":
    case "message-signature":
    case "simple-signing":
    case "openpgp":
    case "notation":
  }
  let bundle: Uint8Array;
  try {
    bundle = await context.blobs.readSmall(evidence, MAX_EVIDENCE_BYTES);
  } catch (error) {
    if (!isLost(error)) throw error;
    return refused(`Its bytes cannot be read from the store (${error.code}): run \`assay server check\`.`);
  }
  const { artifact, repository, trust, now } = question;
  const source = await artifactSource(context, row.org, artifact, row.form);
  let verdict: Verdict;
  try {
    verdict = await verify(judgingCrypto, {
      bundle,
      artifact,
      trust,
      now,
      times: [receivedTime(row)],
      ...formReaders,
      ...(repository === undefined ? {} : { repository }),
      ...(source === undefined ? {} : { artifactSource: source }),
    });
  } catch (error) {
    if (!isLost(error)) throw error;
    return refused(`The artifact's bytes cannot be read from the store (${error.code}): run \`assay server check\`.`);
  }
  // The row names bytes by digest; other bytes under that name are not this evidence, however well they verify.
  if (verdict.evidence !== evidence)
    return refused("The stored bytes are not those of this digest: run `assay server check`.");
  return verdict;
}
