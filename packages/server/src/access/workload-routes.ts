import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { Problem } from "../http/problem.ts";
import { requireActor } from "./authenticate.ts";
import { authorize } from "./authorize.ts";
import { nameSchema } from "./names.ts";
import type { OutsideIssuers } from "./outside-issuers.ts";
import {
  type AccessRoutesContext,
  API,
  append,
  orgParams,
  pageParams,
  pageSchema,
  readPage,
  receiptField,
  timeSchema,
} from "./wire.ts";
import { workloadIdentitySchema } from "./workload-identity.ts";
import { identityOfRow, listWorkloads, type WorkloadRow } from "./workload-queries.ts";

const shownSchema = z.strictObject({
  name: z.string(),
  ...workloadIdentitySchema.shape,
  issuerBelieved: z.boolean().describe("whether this server takes tokens of the issuer at all (ASSAY_OIDC_ISSUERS)"),
  set: timeSchema,
  setBy: z.string(),
});

const identityParams = orgParams.extend({ name: nameSchema });
const setResult = z.object({ set: z.int() });
const tags = ["access"];

/** Workload identities: whose tokens are exchanged for ours. */
export function registerWorkloadRoutes(
  instance: FastifyInstance,
  context: AccessRoutesContext & { readonly issuers: OutsideIssuers },
): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { reader, record, authenticator, issuers } = context;

  function show(row: WorkloadRow): z.output<typeof shownSchema> {
    return {
      name: row.name,
      ...identityOfRow(row),
      issuerBelieved: issuers.believes(row.issuer),
      set: row.set_time,
      setBy: row.set_by,
    };
  }

  app.put(
    `${API}/orgs/:org/workload-identities/:name`,
    {
      schema: {
        summary: "Set a workload identity: whose tokens act as a service account",
        description:
          "Replaces the one of this name; tokens exchanged under it before are void. For admins of the organisation.",
        tags,
        params: identityParams,
        body: workloadIdentitySchema,
        response: { 200: shownSchema.extend({ receipt: receiptField }) },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const { org, name } = request.params;
      const refusal = await authorize(reader, actor, "org.administer", { org });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      const { body } = request;
      const appended = await append(record, {
        type: "access.set-workload-identity",
        org,
        actor,
        body: { name, ...body },
      });
      return {
        name,
        ...body,
        issuerBelieved: issuers.believes(body.issuer),
        set: setResult.parse(appended.results[0]).set,
        setBy: actor.id,
        receipt: appended.receipts[0] ?? null,
      };
    },
  );

  app.get(
    `${API}/orgs/:org/workload-identities`,
    {
      schema: {
        summary: "List an organisation's workload identities",
        description: "For admins of the organisation.",
        tags,
        params: orgParams,
        querystring: pageParams,
        response: { 200: pageSchema(shownSchema) },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const { org } = request.params;
      const refusal = await authorize(reader, actor, "org.administer", { org });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      return await readPage(
        reader,
        request.query,
        (place) => listWorkloads(reader, org, place),
        (row) => row.from_seq,
        show,
      );
    },
  );

  app.delete(
    `${API}/orgs/:org/workload-identities/:name`,
    {
      schema: {
        summary: "Remove a workload identity",
        description: "Tokens exchanged under it stop working at once. For admins of the organisation.",
        tags,
        params: identityParams,
        response: { 200: z.strictObject({ receipt: receiptField }) },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const { org, name } = request.params;
      const refusal = await authorize(reader, actor, "org.administer", { org });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      const appended = await append(record, { type: "access.remove-workload-identity", org, actor, body: { name } });
      return { receipt: appended.receipts[0] ?? null };
    },
  );
}
