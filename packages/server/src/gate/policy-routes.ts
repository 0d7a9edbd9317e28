import { isDigest, parseDigest, utf8Decode } from "@assay/evidence";
import { POLICY_LIMITS } from "@assay/policy";
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { requireActor } from "../access/authenticate.ts";
import { authorize } from "../access/authorize.ts";
import { decodeCursor, pageOf, pageQuery } from "../http/cursor.ts";
import { Problem } from "../http/problem.ts";
import { receiptSchema } from "../http/receipt.ts";
import { newestSequence } from "../record/newest.ts";
import { setPolicyResult } from "./commands.ts";
import type { GateRoutesContext } from "./context.ts";
import { policyName } from "./policy-name.ts";
import { decidedByPolicy, findPolicy, findPolicyByDigest, listPolicies } from "./queries.ts";

const orgParams = z.object({ org: z.string().min(1).max(64) });

const policyAnswer = z.strictObject({
  name: z.string().nullable().describe("null for a policy that was given with a request and never stored"),
  version: z.int().nullable(),
  digest: z.string().describe("sha256 of the file's UTF-8 bytes: what decisions name it by."),
  yaml: z.string(),
  time: z.int().nullable(),
  sequence: z.int().nullable(),
});

const policyItem = z.strictObject({
  name: z.string(),
  version: z.int(),
  digest: z.string(),
  time: z.int(),
  sequence: z.int(),
});

/** Policies: set by name, read by name or digest. */
export function registerPolicyRoutes(instance: FastifyInstance, context: GateRoutesContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { reader, record, blobs, authenticator, prover } = context;
  const tags = ["policies"];

  app.put(
    "/api/assay/v1/orgs/:org/policies/:name",
    {
      schema: {
        summary: "Set a policy",
        description: "Each change makes a new version; the same text again changes nothing. Errors come by line.",
        tags,
        params: orgParams.extend({ name: policyName }),
        body: z.strictObject({ yaml: z.string().min(1).max(POLICY_LIMITS.policyBytes) }),
        response: {
          200: z.strictObject({
            name: z.string(),
            version: z.int(),
            digest: z.string(),
            changed: z.boolean(),
            receipt: receiptSchema.nullable(),
          }),
        },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const { org, name } = request.params;
      const refusal = await authorize(reader, actor, "policy.write", { org });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      const body = { name, yaml: request.body.yaml };
      const appended = await record.append({ type: "gate.set-policy", org, actor, body });
      if (!appended.ok) throw Problem.fromRefusal(appended.refusal);
      const { version, digest, changed, sequence } = setPolicyResult.parse(appended.results[0]);
      const receipt = changed ? appended.receipts[0] : await prover.receipt(sequence);
      return { name, version, digest, changed, receipt: receipt ?? null };
    },
  );

  app.get(
    "/api/assay/v1/orgs/:org/policies/:name",
    {
      schema: {
        summary: "Read a policy by its name, in any version, or by its digest",
        tags,
        params: orgParams.extend({ name: z.union([policyName, z.string().refine(isDigest)]) }),
        querystring: z.object({ version: z.coerce.number().int().positive().max(Number.MAX_SAFE_INTEGER).optional() }),
        response: { 200: policyAnswer },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const { org, name } = request.params;
      const refusal = await authorize(reader, actor, "policy.read", { org });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      const row = isDigest(name)
        ? await findPolicyByDigest(reader, org, name)
        : await findPolicy(reader, org, name, { version: request.query.version });
      if (row !== undefined) {
        const { version, digest, yaml, time, from_seq: sequence } = row;
        return { name: row.name, version, digest, yaml, time, sequence };
      }
      // A text given with a request is a blob; only who decided by it may read it by its digest.
      if (isDigest(name) && (await decidedByPolicy(reader, org, name))) {
        const yaml = utf8Decode(await blobs.readSmall(parseDigest(name), POLICY_LIMITS.policyBytes));
        return { name: null, version: null, digest: name, yaml, time: null, sequence: null };
      }
      throw new Problem(404, "policy-unknown", `${org} has no policy ${JSON.stringify(name)} of this version`);
    },
  );

  app.get(
    "/api/assay/v1/orgs/:org/policies",
    {
      schema: {
        summary: "List the policies",
        tags,
        params: orgParams,
        querystring: z.object(pageQuery),
        response: { 200: z.strictObject({ items: z.array(policyItem), next: z.string().nullable() }) },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const { org } = request.params;
      const refusal = await authorize(reader, actor, "policy.read", { org });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      const { cursor, limit } = request.query;
      const from = cursor === undefined ? undefined : decodeCursor(cursor);
      const asOf = from?.asOf ?? (await newestSequence(reader));
      const rows = await listPolicies(reader, org, { asOf, after: from?.position, limit: limit + 1 });
      const { items, next } = pageOf(rows, limit, asOf, (row) => row.from_seq);
      return {
        items: items.map(({ name, version, digest, time, from_seq: sequence }) => ({
          name,
          version,
          digest,
          time,
          sequence,
        })),
        next,
      };
    },
  );
}
