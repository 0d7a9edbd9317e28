import { canonicalJson, type JsonValue } from "@assay/evidence";
import { z } from "zod";
import { defineEvent, type EventDefinition } from "../record/command.ts";
import { decisionSchema } from "./decision-shape.ts";
import type { GateTables } from "./schema.ts";

const policyBody = z.strictObject({
  name: z.string(),
  version: z.int().positive(),
  digest: z.string(),
  yaml: z.string(),
});

const decisionBody = z.strictObject({
  /** sha256 of the decision's canonical JSON. */
  id: z.string(),
  decision: decisionSchema,
  /** The stored policy it was asked by; null for one given with the request. */
  policy: z.strictObject({ name: z.string(), version: z.int().positive() }).nullable(),
  question: z.string(),
  answer: z.string(),
  vsa: z.string(),
});

/** The gate's facts: policies as they were set, decisions as they were made. */
export const gateEvents: readonly EventDefinition[] = [
  defineEvent({
    type: "gate.policy-set",
    version: 1,
    body: policyBody,
    project: async (transactor, event) => {
      const tables = transactor.tables<GateTables>();
      await tables
        .updateTable("gate_policy")
        .set({ to_seq: event.sequence })
        .where("org", "=", event.org)
        .where("name", "=", event.body.name)
        .where("to_seq", "is", null)
        .execute();
      await tables
        .insertInto("gate_policy")
        .values({
          org: event.org,
          name: event.body.name,
          version: event.body.version,
          digest: event.body.digest,
          yaml: event.body.yaml,
          actor: event.actor,
          time: event.time,
          from_seq: event.sequence,
          to_seq: null,
        })
        .execute();
    },
  }),
  defineEvent({
    type: "gate.decision-made",
    version: 1,
    body: decisionBody,
    project: async (transactor, event) => {
      const { id, decision, policy, question, answer, vsa } = event.body;
      const tables = transactor.tables<GateTables>();
      await tables
        .updateTable("gate_decision")
        .set({ to_seq: event.sequence })
        .where("org", "=", event.org)
        .where("question", "=", question)
        .where("to_seq", "is", null)
        .execute();
      await tables
        .insertInto("gate_decision")
        .values({
          id,
          org: event.org,
          subject: decision.subject,
          repository: decision.repository ?? null,
          policy_digest: decision.policy.digest,
          policy_name: policy?.name ?? null,
          policy_version: policy?.version ?? null,
          result: decision.result,
          question,
          answer,
          // The body came out of canonical JSON, so it holds JSON and nothing else.
          decision: canonicalJson(decision as unknown as JsonValue),
          vsa,
          as_of: decision.asOf ?? -1,
          actor: event.actor,
          time: event.time,
          from_seq: event.sequence,
          to_seq: null,
        })
        .execute();
    },
  }),
];
