import { POLICY_LIMITS } from "@assay/policy";
import { z } from "zod";

const signer = z.strictObject({
  keyId: z.string(),
  principal: z.string().optional().describe("What counts as one signer, where it is not the key id."),
  entry: z.string(),
  name: z.string(),
});

const time = z.strictObject({
  source: z.enum(["received-here", "receipt", "rfc3161", "log"]),
  time: z.int(),
  evidence: z.string(),
});

const satisfaction = z.strictObject({
  evidence: z.string(),
  signer,
  identities: z.array(z.string()),
  time: time.nullable(),
});

const rejection = z.strictObject({
  evidence: z.string().nullable(),
  signer: signer.optional(),
  code: z.string(),
  reason: z.string(),
  path: z.string().optional(),
  observed: z.string().optional(),
});

const ruleOutcome = z.strictObject({
  rule: z.string(),
  kind: z.string(),
  outcome: z.enum(["satisfied", "unsatisfied", "unknown", "error"]),
  levels: z
    .array(z.string())
    .max(POLICY_LIMITS.listed)
    .optional()
    .describe("What a satisfied rule establishes, in the words of a SLSA verification summary."),
  satisfiedBy: z.array(satisfaction).max(POLICY_LIMITS.satisfiedListed),
  satisfiedNotListed: z.int().optional(),
  missing: z.string().optional(),
  rejected: z.array(rejection).max(POLICY_LIMITS.rejectionsListed),
  rejectedNotListed: z.int().optional(),
});

/** A decision on the wire and in its event: the Decision of `@assay/policy`, whole. */
export const decisionSchema = z
  .strictObject({
    version: z.literal(1),
    result: z.enum(["allowed", "denied"]),
    subject: z.string(),
    repository: z.string().optional(),
    policy: z.strictObject({ digest: z.string(), name: z.string() }),
    trust: z.strictObject({ org: z.string(), version: z.int() }),
    asOf: z.int().nullable(),
    time: z.int(),
    evidence: z.array(z.string()).max(POLICY_LIMITS.candidates),
    rules: z.array(ruleOutcome).max(POLICY_LIMITS.rules),
    reasons: z.array(z.string()),
  })
  .describe("Policy × artifact × evidence × trust × time → allowed or denied, with every reason.");

export type DecisionShape = z.output<typeof decisionSchema>;
