import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { decodeCursor, pageQuery } from "../http/cursor.ts";
import { newestSequence } from "../record/newest.ts";
import type { AttestationsRoutesContext } from "./context.ts";
import { EVIDENCE_FORMS } from "./piece.ts";
import { evidenceInStep, subjectsOf } from "./queries.ts";
import { evidenceSight, listedPage, visiblePage } from "./sight.ts";

/** Subjects shown of one piece here; its own page has more. */
const SUBJECTS_SHOWN = 10;

const part = z.string().min(1).max(255);

const answer = z.strictObject({
  asOf: z.int().describe("The record sequence this list is as of."),
  items: z.array(
    z.strictObject({
      evidence: z.string(),
      form: z.enum(EVIDENCE_FORMS),
      predicateType: z.string().nullable(),
      flow: z.string(),
      trail: z.string().nullable(),
      name: z.string().nullable(),
      subjects: z.array(z.string()),
      receivedAt: z.int().describe("ms since 1970, by the record"),
      sequence: z.int(),
    }),
  ),
  next: z.string().nullable(),
});

/** Evidence by the step of a flow that it says it belongs to. */
export function registerStepRoute(instance: FastifyInstance, context: AttestationsRoutesContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { reader } = context;

  app.get(
    "/api/assay/v1/orgs/:org/attestations",
    {
      schema: {
        summary: "List the evidence that says it belongs to a step of a flow",
        description: "An index of claims: what each piece is worth is asked by its artifact's digest.",
        tags: ["evidence"],
        params: z.object({ org: z.string().min(1).max(64) }),
        querystring: z.object({ ...pageQuery, flow: part, trail: part.optional(), name: part.optional() }),
        response: { 200: answer },
      },
    },
    async (request) => {
      const { org } = request.params;
      const sight = await evidenceSight(context, request, org);
      const { cursor, limit, flow, trail, name } = request.query;
      const from = cursor === undefined ? undefined : decodeCursor(cursor);
      const asOf = from?.asOf ?? (await newestSequence(reader));
      const found = await visiblePage(
        sight,
        { after: from?.position, wanted: limit + 1 },
        async (after, most) => ({
          rows: await evidenceInStep(reader, org, { flow, trail, name }, { asOf, after, limit: most }),
          scannedTo: undefined,
        }),
        (row) => row.sequence,
      );
      const { items, next } = listedPage(found, limit, asOf, (row) => row.sequence);
      const shown: z.output<typeof answer>["items"] = [];
      for (const row of items) {
        shown.push({
          evidence: row.digest,
          form: row.form,
          predicateType: row.predicate_type,
          flow: row.flow,
          trail: row.trail === "" ? null : row.trail,
          name: row.step === "" ? null : row.step,
          subjects: await subjectsOf(reader, org, row.digest, SUBJECTS_SHOWN),
          receivedAt: row.time,
          sequence: row.sequence,
        });
      }
      return { asOf, items: shown, next };
    },
  );
}
