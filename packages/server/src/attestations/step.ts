import type { JsonValue } from "@assay/evidence";
import { z } from "zod";

/** The statements of `assay attest …` name the step they belong to in their predicate. */
const ASSAY_PREDICATES = "https://assay.dev/attestation/";

const name = z.string().min(1).max(255);

/** The flow, the trail and the name in it that a statement says it belongs to. Claims of the statement, like all it says. */
export const stepSchema = z.strictObject({
  flow: name.nullable(),
  trail: name.nullable(),
  name: name.nullable(),
});

export type Step = z.output<typeof stepSchema>;

const claimed = z.object({ flow: name.optional(), trail: name.optional(), name: name.optional() });

/** Reads the step out of a predicate; null when it names none, or is of another kind. */
export function readStep(predicateType: string, predicate: JsonValue): Step | null {
  if (!predicateType.startsWith(ASSAY_PREDICATES)) return null;
  const parsed = claimed.safeParse(predicate);
  if (!parsed.success) return null;
  const { flow, trail, name: step } = parsed.data;
  if (flow === undefined && trail === undefined && step === undefined) return null;
  return { flow: flow ?? null, trail: trail ?? null, name: step ?? null };
}
