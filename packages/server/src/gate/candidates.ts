import { type Digest, parseDigest, type TrustVersion } from "@assay/evidence";
import { type Candidate, POLICY_LIMITS } from "@assay/policy";
import type { JudgingContext } from "../attestations/artifact-bytes.ts";
import { AllowanceSpent } from "../attestations/artifact-readings.ts";
import { evidenceAbout } from "../attestations/queries.ts";
import { readingAhead } from "../attestations/read-ahead.ts";
import { statusOf } from "../attestations/status.ts";
import { serviceKeys } from "../record/service-key-queries.ts";
import type { GateContext } from "./context.ts";
import { ownSummaries } from "./queries.ts";

/** Pieces fetched from the index at a time. */
const PAGE = 200;

/**
 * Everything an organisation has about an artifact as of a sequence, each piece judged under the trust version: what a decision is made
 * from. Our own verification summaries are left out: a decision is never evidence for a decision (rule 6).
 *
 * More than the policy package looks at comes back as one more than that, which it refuses: looking at only some would let order decide.
 *
 * @throws AllowanceSpent when judging them takes more reading of artifacts than the request has left.
 */
export async function gatherCandidates(
  context: JudgingContext & Pick<GateContext, "reader">,
  question: {
    org: string;
    artifact: Digest;
    repository: string | undefined;
    trust: TrustVersion;
    asOf: number;
    now: number;
  },
): Promise<Candidate[]> {
  const { reader } = context;
  const ownKeys = new Set((await serviceKeys(reader, "vsa")).map((key) => key.id));
  const candidates: Candidate[] = [];
  let after: number | undefined;
  while (candidates.length <= POLICY_LIMITS.candidates) {
    const page = { asOf: question.asOf, after, limit: PAGE };
    const rows = await evidenceAbout(reader, question.org, question.artifact, page);
    const own = await ownSummaries(
      reader,
      question.org,
      rows.map((row) => row.digest),
    );
    const judged = rows.filter((row) => !own.has(parseDigest(row.digest)));
    const judging = { ...context, blobs: readingAhead(context.blobs, judged) };
    for (const row of judged) {
      const status = await statusOf(judging, row, question);
      // INVARIANT: what there was no time to judge decides nothing, and keeps what it stands beside from deciding.
      if (context.allowance.isSpent) throw new AllowanceSpent();
      if (status.status === "verified" && ownKeys.has(status.signer.keyId)) continue;
      candidates.push({ ...status, receivedAt: row.time, sequence: row.sequence });
    }
    after = rows.at(-1)?.about;
    if (rows.length < PAGE) break;
  }
  return candidates.slice(0, POLICY_LIMITS.candidates + 1);
}
