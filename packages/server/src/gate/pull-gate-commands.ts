import { z } from "zod";
import { authorize } from "../access/authorize.ts";
import { isPatternOf, repositoryPatternSchema } from "../access/repository-pattern.ts";
import { accept, type CommandDefinition, defineCommand, refuse } from "../record/command.ts";
import { policyName } from "./policy-name.ts";
import { currentPolicy, findPullGate, pullGates } from "./pull-gate-queries.ts";

/** Gates an organisation may have: each pull looks which of them stand over its repository. */
const MAX_GATES = 100;

/** `sequence` is the event since which it stands (or does not). */
export const pullGateResult = z.strictObject({ changed: z.boolean(), sequence: z.int() });

/** Setting and clearing gates, for who may set policies: a gate nobody guards would be none. */
export const pullGateCommands: readonly CommandDefinition[] = [
  defineCommand({
    type: "gate.set-pull-gate",
    body: z.strictObject({
      repository: repositoryPatternSchema,
      policy: policyName,
      platforms: z.enum(["own", "index"]),
    }),
    decide: async (reader, body, context) => {
      const { org } = context;
      const refusal = await authorize(reader, context.actor, "policy.write", { org });
      if (refusal !== undefined) return { accepted: false, refusal };
      if (!isPatternOf(org, body.repository)) {
        return refuse("repository-elsewhere", `${body.repository} names no repositories of ${org}`, {
          status: 400,
          hint: `write it as ${org}/<name>`,
        });
      }
      if ((await currentPolicy(reader, org, body.policy)) === undefined) {
        return refuse("policy-unknown", `${org} has no policy ${JSON.stringify(body.policy)}`, {
          status: 404,
          hint: `PUT /api/assay/v1/orgs/${org}/policies/${body.policy} sets it`,
        });
      }
      const current = await findPullGate(reader, org, body.repository);
      if (current?.policy === body.policy && current.platforms === body.platforms) {
        return accept([], { changed: false, sequence: current.from_seq });
      }
      if (current === undefined && (await pullGates(reader, org)).length >= MAX_GATES) {
        return refuse("pull-gates-full", `an organisation has at most ${MAX_GATES} pull gates`, {
          hint: "name several repositories by one pattern",
        });
      }
      return accept([{ type: "gate.pull-gate-set", body }], { changed: true, sequence: context.sequence });
    },
  }),
  defineCommand({
    type: "gate.clear-pull-gate",
    body: z.strictObject({ repository: repositoryPatternSchema }),
    decide: async (reader, body, context) => {
      const refusal = await authorize(reader, context.actor, "policy.write", { org: context.org });
      if (refusal !== undefined) return { accepted: false, refusal };
      if ((await findPullGate(reader, context.org, body.repository)) === undefined) {
        return refuse("pull-gate-unknown", `no pull gate stands under the pattern ${body.repository}`, {
          status: 404,
          hint: "a pattern is cleared as it was set: `assay gate list` shows them",
        });
      }
      return accept([{ type: "gate.pull-gate-cleared", body }], { changed: true, sequence: context.sequence });
    },
  }),
];
