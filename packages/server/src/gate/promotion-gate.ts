import { parseJson } from "@assay/evidence";
import type { Refusal } from "../record/command.ts";
import type { PromotionDecision } from "../registry/promotion-commands.ts";
import type { Reader } from "../storage/database.ts";
import { currentTrustNumber } from "../trust/queries.ts";
import { decisionSchema } from "./decision-shape.ts";
import { findDecision, findPolicy } from "./queries.ts";

/** The refusal of a promotion that a policy denies, with the decision's reasons. */
export function promotionDenied(asked: PromotionDecision, reasons: readonly string[]): Refusal {
  return {
    code: "promotion-denied",
    status: 403,
    message: `the policy ${asked.policy} denies ${asked.digest} for ${asked.repository}: ${reasons[0] ?? "it is not allowed"}`,
    hint: `assay decide shows what is missing: decision ${asked.decision}`,
    detail: { decision: asked.decision, policy: asked.policy, reasons: [...reasons].slice(0, 20) },
  };
}

/**
 * Whether a recorded decision allows a promotion, in the transaction that would record it: it is about this artifact there, by the policy as it
 * is now, under trust as it is now, the newest answer to its question, and "allowed". What changed since it was made makes it void.
 */
export async function promotionGate(reader: Reader, asked: PromotionDecision): Promise<Refusal | undefined> {
  const stale: Refusal = {
    code: "promotion-undecided",
    status: 409,
    message: `the decision ${asked.decision} does not answer whether ${asked.digest} may come to ${asked.repository} now`,
    hint: "policy, trust or evidence changed meanwhile: promote again",
  };
  const row = await findDecision(reader, asked.decision);
  const policy = await findPolicy(reader, asked.org, asked.policy, {});
  if (row === undefined || policy === undefined) return stale;
  const answers =
    row.org === asked.org &&
    row.subject === asked.digest &&
    row.repository === asked.repository &&
    row.policy_name === asked.policy &&
    row.policy_digest === policy.digest &&
    row.to_seq === null;
  if (!answers) return stale;
  const decision = decisionSchema.parse(parseJson(row.decision));
  if (decision.trust.version !== (await currentTrustNumber(reader, asked.org))) return stale;
  return row.result === "allowed" ? undefined : promotionDenied(asked, decision.reasons);
}
