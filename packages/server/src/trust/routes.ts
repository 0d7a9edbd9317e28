import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { requireActor } from "../access/authenticate.ts";
import { authorize } from "../access/authorize.ts";
import { decodeCursor, pageOf, pageQuery } from "../http/cursor.ts";
import { Problem } from "../http/problem.ts";
import { receiptSchema } from "../http/receipt.ts";
import { newestSequence } from "../record/newest.ts";
import { entryChange, entryInput, entrySchema } from "./entry.ts";
import type { TrustRoutesContext } from "./context.ts";
import { fileOf, trustFile } from "./file.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { trustChanges, trustVersion } from "./queries.ts";
import { registerRootRoutes } from "./root-routes.ts";
import { TRUST_CHANGES } from "./schema.ts";
import { registerVersionRoutes } from "./version-routes.ts";

const orgParams = z.object({ org: z.string().min(1).max(64) });
const entryParams = orgParams.extend({ id: z.string().min(1).max(64) });

const changedAnswer = z.strictObject({
  version: z.int().nonnegative(),
  entry: entrySchema,
  receipt: receiptSchema.nullable().describe("null when nothing had to change"),
});

const changeSchema = z.strictObject({
  version: z.int(),
  change: z.enum(TRUST_CHANGES),
  entry: z.string().describe("The entry's id, or the root's name; empty when the whole was changed."),
  actor: z.string(),
  time: z.int(),
  sequence: z.int(),
});

const tags = ["trust"];

/** Whom an organisation believes about what: read any version, change the current one. */
export function registerTrustRoutes(instance: FastifyInstance, context: TrustRoutesContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { reader, record, authenticator } = context;
  registerRootRoutes(instance, context);
  registerVersionRoutes(instance, context);

  const changed = z.object({ version: z.int(), entry: entrySchema });

  app.get(
    "/api/assay/v1/orgs/:org/trust",
    {
      schema: {
        summary: "Read trust, whole, at its newest or a named version",
        description: "The answer is the trust file that `assay verify --offline` takes.",
        tags,
        params: orgParams,
        querystring: z.object({
          version: z.coerce.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER).optional(),
          asOf: z.coerce
            .number()
            .int()
            .nonnegative()
            .max(Number.MAX_SAFE_INTEGER)
            .optional()
            .describe("The version that was current as of this record sequence."),
        }),
        response: { 200: trustFile },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const { org } = request.params;
      const refusal = await authorize(reader, actor, "trust.read", { org });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      const trust = await trustVersion(reader, org, request.query, context.logs);
      if (trust === undefined) {
        throw new Problem(404, "trust-version-unknown", `${org} has no trust version ${request.query.version}`);
      }
      return fileOf(trust);
    },
  );

  app.get(
    "/api/assay/v1/orgs/:org/trust/versions",
    {
      schema: {
        summary: "List the changes that made the versions, newest first",
        tags,
        params: orgParams,
        querystring: z.object(pageQuery),
        response: { 200: z.strictObject({ items: z.array(changeSchema), next: z.string().nullable() }) },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const { org } = request.params;
      const refusal = await authorize(reader, actor, "trust.read", { org });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      const { cursor, limit } = request.query;
      const from = cursor === undefined ? undefined : decodeCursor(cursor);
      const asOf = from?.asOf ?? (await newestSequence(reader));
      const rows = await trustChanges(reader, org, { asOf, before: from?.position, limit: limit + 1 });
      return pageOf(rows, limit, asOf, (row) => row.version);
    },
  );

  app.post(
    "/api/assay/v1/orgs/:org/trust/entries",
    {
      schema: {
        summary: "Trust a key, a certificate's holder or an OpenPGP certificate to say something about something",
        tags,
        params: orgParams,
        body: entryInput,
        response: { 201: changedAnswer },
      },
    },
    async (request, reply) => {
      const actor = await requireActor(authenticator, request);
      const { org } = request.params;
      const refusal = await authorize(reader, actor, "trust.write", { org });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      const fingerprint = fingerprintOf(request.body);
      const appended = await record.append({
        type: "trust.add-entry",
        org,
        actor,
        body: { entry: request.body, ...(fingerprint === undefined ? {} : { fingerprint }) },
      });
      if (!appended.ok) throw Problem.fromRefusal(appended.refusal);
      const answer = changed.parse(appended.results[0]);
      return reply.status(201).send({ ...answer, receipt: appended.receipts[0] ?? null });
    },
  );

  app.patch(
    "/api/assay/v1/orgs/:org/trust/entries/:id",
    {
      schema: {
        summary: "Change an entry's name, scope, window or rank",
        tags,
        params: entryParams,
        body: entryChange,
        response: { 200: changedAnswer },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const { org, id } = request.params;
      const refusal = await authorize(reader, actor, "trust.write", { org });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      const { name, scope, validFrom, validUntil, primary } = request.body;
      // JSON knows no undefined: what the client left out is left out of the command.
      const change = {
        ...(name === undefined ? {} : { name }),
        ...(scope === undefined ? {} : { scope }),
        ...(validFrom === undefined ? {} : { validFrom }),
        ...(validUntil === undefined ? {} : { validUntil }),
        ...(primary === undefined ? {} : { primary }),
      };
      const appended = await record.append({ type: "trust.change-entry", org, actor, body: { id, change } });
      if (!appended.ok) throw Problem.fromRefusal(appended.refusal);
      const answer = changed.parse(appended.results[0]);
      return { ...answer, receipt: appended.receipts[0] ?? null };
    },
  );

  app.delete(
    "/api/assay/v1/orgs/:org/trust/entries/:id",
    {
      schema: {
        summary: "Stop trusting an entry",
        tags,
        params: entryParams,
        response: { 200: z.strictObject({ version: z.int(), receipt: receiptSchema.nullable() }) },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const { org, id } = request.params;
      const refusal = await authorize(reader, actor, "trust.write", { org });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      const appended = await record.append({ type: "trust.remove-entry", org, actor, body: { id } });
      if (!appended.ok) throw Problem.fromRefusal(appended.refusal);
      const { version } = z.object({ version: z.int() }).parse(appended.results[0]);
      return { version, receipt: appended.receipts[0] ?? null };
    },
  );
}
