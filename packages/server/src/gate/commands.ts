import { isDigest, type JsonValue } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { parsePolicy } from "@assay/policy";
import { z } from "zod";
import { authorize } from "../access/authorize.ts";
import { accept, type CommandDefinition, type Decided, defineCommand, refuse } from "../record/command.ts";
import { decisionSchema } from "./decision-shape.ts";
import { policyName } from "./policy-name.ts";
import { countPolicies, findDecision, findPolicy, newestAnswer } from "./queries.ts";
import { answerOf, decisionId, questionOf } from "./question.ts";

/** Policies an organisation may have. */
const MAX_POLICIES = 1_000;

/** Characters of a policy file; `@assay/policy` bounds its bytes and says so by line. */
const MAX_YAML = 1024 * 1024;

export const setPolicyResult = z.strictObject({
  version: z.int(),
  digest: z.string(),
  changed: z.boolean(),
  sequence: z.int(),
});

/** `id` is the decision that answers: the new one, or the recorded one that says the same. */
export const decideResult = z.strictObject({ id: z.string(), recorded: z.boolean() });

/** Why a policy file cannot be taken, with its errors by line. */
export function policyRefusal(
  errors: readonly { line: number; column: number; path: string; message: string }[],
): Decided {
  const [first] = errors;
  return refuse(
    "policy-invalid",
    first === undefined ? "the policy cannot be read" : `line ${first.line}: ${first.message}`,
    {
      status: 400,
      hint: "correct the file; `assay policy check FILE` shows the same errors",
      detail: errors.map(({ line, column, path, message }) => ({ line, column, path, message })),
    },
  );
}

/** What changes the gate: setting a policy, and recording a decision. */
export const gateCommands: readonly CommandDefinition[] = [
  defineCommand({
    type: "gate.set-policy",
    body: z.strictObject({ name: policyName, yaml: z.string().max(MAX_YAML) }),
    decide: async (reader, body, context) => {
      const denied = await authorize(reader, context.actor, "policy.write", { org: context.org });
      if (denied !== undefined) return { accepted: false, refusal: denied };
      const parsed = parsePolicy(body.yaml, nodeCrypto);
      if (!parsed.ok) return policyRefusal(parsed.errors);
      if (parsed.policy.name !== body.name) {
        return refuse(
          "policy-name-differs",
          `the file names its policy ${JSON.stringify(parsed.policy.name)}, the request ${JSON.stringify(body.name)}`,
          { status: 400, hint: "decisions show the file's name: make both the same" },
        );
      }
      const current = await findPolicy(reader, context.org, body.name, {});
      if (current?.digest === parsed.digest) {
        const { version, digest, from_seq: sequence } = current;
        return accept([], { version, digest, changed: false, sequence });
      }
      if (current === undefined && (await countPolicies(reader, context.org)) >= MAX_POLICIES) {
        return refuse("policies-full", `an organisation has at most ${MAX_POLICIES} policies`);
      }
      const version = (current?.version ?? 0) + 1;
      const set = { name: body.name, version, digest: parsed.digest, yaml: body.yaml };
      return accept([{ type: "gate.policy-set", body: set }], {
        version,
        digest: parsed.digest,
        changed: true,
        sequence: context.sequence,
      });
    },
  }),
  defineCommand({
    type: "gate.decide",
    body: z.strictObject({
      decision: decisionSchema,
      policy: z.strictObject({ name: policyName, version: z.int().positive() }).nullable(),
      /** The trust version the request named; null when it took the current one. */
      pinnedTrust: z.int().nonnegative().nullable(),
      vsa: z.string().refine(isDigest),
    }),
    decide: async (reader, body, context) => {
      const { decision, policy, pinnedTrust, vsa } = body;
      const target =
        decision.repository === undefined
          ? { org: context.org }
          : { org: context.org, repository: decision.repository };
      const denied = await authorize(reader, context.actor, "decision.make", target);
      if (denied !== undefined) return { accepted: false, refusal: denied };
      const elsewhere = decision.repository !== undefined && !decision.repository.startsWith(`${context.org}/`);
      if (decision.trust.org !== context.org || elsewhere) {
        return refuse("decision-elsewhere", `the decision is not of ${context.org}`, { status: 400 });
      }
      const id = decisionId(decision);
      if ((await findDecision(reader, id)) !== undefined) return accept([], { id, recorded: false });
      const question = questionOf(decision, pinnedTrust, policy);
      const answer = answerOf(decision);
      const newest = await newestAnswer(reader, context.org, question);
      if (newest?.answer === answer) return accept([], { id: newest.id, recorded: false });
      // Decisions of one question stand in the order of what they saw: a slower one must not replace a later one.
      if (newest !== undefined && newest.as_of > (decision.asOf ?? -1)) {
        return refuse("decision-stale", "the same question was answered from newer evidence meanwhile", {
          status: 503,
          hint: "ask again",
        });
      }
      return accept(
        [
          {
            type: "gate.decision-made",
            body: { id, decision: decision as unknown as JsonValue, policy, question, answer, vsa },
          },
        ],
        {
          id,
          recorded: true,
        },
      );
    },
  }),
];
