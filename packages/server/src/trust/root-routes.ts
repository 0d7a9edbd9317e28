import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { requireActor } from "../access/authenticate.ts";
import { authorize } from "../access/authorize.ts";
import { Problem } from "../http/problem.ts";
import { receiptSchema } from "../http/receipt.ts";
import { rootName } from "./entry.ts";
import { MAX_ROOT_BYTES, readRootInput, rootInput, rootSchema } from "./root.ts";
import type { TrustRoutesContext } from "./context.ts";

const params = z.object({ org: z.string().min(1).max(64), name: rootName });

/** The roots that certificates are judged under: Sigstore instances, and certificate authorities of one's own. */
export function registerRootRoutes(instance: FastifyInstance, context: TrustRoutesContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { reader, record, authenticator } = context;
  const tags = ["trust"];
  const changed = z.object({ version: z.int(), root: rootSchema });

  app.put(
    "/api/assay/v1/orgs/:org/trust/roots/:name",
    {
      bodyLimit: 2 * MAX_ROOT_BYTES,
      schema: {
        summary: "Set a trust root: a Sigstore trusted_root.json, or certificate authorities of your own",
        description: "Everything in it is demanded: signatures under a root with logs must be in a log of it.",
        tags,
        params,
        body: rootInput,
        response: {
          200: z.strictObject({ version: z.int(), root: rootSchema, receipt: receiptSchema.nullable() }),
        },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const { org, name } = request.params;
      const refusal = await authorize(reader, actor, "trust.write", { org });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      const reading = readRootInput(name, request.body);
      if (!reading.ok) throw new Problem(400, reading.code, reading.message, { hint: reading.hint });
      const appended = await record.append({ type: "trust.set-root", org, actor, body: { name, root: reading.json } });
      if (!appended.ok) throw Problem.fromRefusal(appended.refusal);
      return { ...changed.parse(appended.results[0]), receipt: appended.receipts[0] ?? null };
    },
  );

  app.delete(
    "/api/assay/v1/orgs/:org/trust/roots/:name",
    {
      schema: {
        summary: "Remove a trust root that no entry is judged under",
        tags,
        params,
        response: { 200: z.strictObject({ version: z.int(), receipt: receiptSchema.nullable() }) },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const { org, name } = request.params;
      const refusal = await authorize(reader, actor, "trust.write", { org });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      const appended = await record.append({ type: "trust.remove-root", org, actor, body: { name } });
      if (!appended.ok) throw Problem.fromRefusal(appended.refusal);
      const { version } = z.object({ version: z.int() }).parse(appended.results[0]);
      return { version, receipt: appended.receipts[0] ?? null };
    },
  );
}
