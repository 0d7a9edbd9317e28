import { LIMITS, matchesRepository } from "@assay/evidence";
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { requireActor } from "../access/authenticate.ts";
import { authorize } from "../access/authorize.ts";
import { repositoryPatternSchema } from "../access/repository-pattern.ts";
import { repositoryIn } from "../attestations/repository-in.ts";
import { Problem } from "../http/problem.ts";
import { receiptSchema } from "../http/receipt.ts";
import type { GateRoutesContext } from "./context.ts";
import { policyName } from "./policy-name.ts";
import { pullGateResult } from "./pull-gate-commands.ts";
import { pullGates } from "./pull-gate-queries.ts";

const orgParams = z.object({ org: z.string().min(1).max(64) });

const repositoryField = repositoryPatternSchema.describe(
  'The repositories: "acme/app", "acme/team-*", or "acme/**" for all of the organisation.',
);
const platformsField = z
  .enum(["own", "index"])
  .describe(
    "`own`: each platform's manifest by its own decision. `index`: or by that of an index there that lists it.",
  );

const gateItem = z.strictObject({
  repository: z.string(),
  policy: z.string(),
  platforms: platformsField,
  setBy: z.string(),
  time: z.int().describe("ms since 1970"),
  since: z.int().describe("the sequence of the event that set it"),
});

/** Pull gates: which repositories serve only what a policy allows. */
export function registerPullGateRoutes(instance: FastifyInstance, context: GateRoutesContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { reader, record, authenticator, prover } = context;
  const tags = ["pull gates"];

  app.get(
    "/api/assay/v1/orgs/:org/pull-gates",
    {
      schema: {
        summary: "List the pull gates",
        description: "At most 100, by pattern: those of now, or as they stood as of an event.",
        tags,
        params: orgParams,
        querystring: z.object({
          over: z
            .string()
            .min(1)
            .max(LIMITS.repositoryLength)
            .optional()
            .describe("Only those that stand over this repository: all of them must allow what is pulled there."),
          asOf: z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER).optional(),
        }),
        response: { 200: z.strictObject({ items: z.array(gateItem) }) },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const { org } = request.params;
      const refusal = await authorize(reader, actor, "policy.read", { org });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      const { over, asOf } = request.query;
      const repository = repositoryIn(org, over);
      const rows = await pullGates(reader, org, asOf);
      return {
        items: rows
          .filter((row) => repository === undefined || matchesRepository([row.repository], repository))
          .map((row) => ({
            repository: row.repository,
            policy: row.policy,
            platforms: row.platforms,
            setBy: row.actor,
            time: row.time,
            since: row.from_seq,
          })),
      };
    },
  );

  app.put(
    "/api/assay/v1/orgs/:org/pull-gates",
    {
      schema: {
        summary: "Let repositories serve only what a policy allows",
        description:
          "To everybody who may not write evidence there. Takes the place of the gate under the same pattern; where several patterns name a repository, all their policies must allow.",
        tags,
        params: orgParams,
        body: z.strictObject({
          repository: repositoryField,
          policy: policyName.describe("A stored policy; its version of the moment judges."),
          platforms: platformsField.default("own"),
        }),
        response: {
          200: z.strictObject({
            repository: z.string(),
            policy: z.string(),
            platforms: platformsField,
            changed: z.boolean(),
            receipt: receiptSchema.nullable(),
          }),
        },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const { org } = request.params;
      const refusal = await authorize(reader, actor, "policy.write", { org });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      const { body } = request;
      const appended = await record.append({ type: "gate.set-pull-gate", org, actor, body });
      if (!appended.ok) throw Problem.fromRefusal(appended.refusal);
      const { changed, sequence } = pullGateResult.parse(appended.results[0]);
      const receipt = changed ? appended.receipts[0] : await prover.receipt(sequence);
      return { ...body, changed, receipt: receipt ?? null };
    },
  );

  app.delete(
    "/api/assay/v1/orgs/:org/pull-gates",
    {
      schema: {
        summary: "Take a pull gate away",
        tags,
        params: orgParams,
        querystring: z.object({ repository: repositoryField }),
        response: { 200: z.strictObject({ receipt: receiptSchema.nullable() }) },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const { org } = request.params;
      const refusal = await authorize(reader, actor, "policy.write", { org });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      const body = { repository: request.query.repository };
      const appended = await record.append({ type: "gate.clear-pull-gate", org, actor, body });
      if (!appended.ok) throw Problem.fromRefusal(appended.refusal);
      return { receipt: appended.receipts[0] ?? null };
    },
  );
}
