import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { decodeCursor, pageQuery } from "../http/cursor.ts";
import { newestSequence } from "../record/newest.ts";
import type { AttestationsRoutesContext } from "./context.ts";
import { EVIDENCE_FORMS } from "./piece.ts";
import { type EvidenceRow, subjectsOfPieces } from "./queries.ts";
import { fieldsOf, searchEvidence } from "./search-queries.ts";
import { searchOf, searchQuery } from "./search-filter.ts";
import { signersOfAll } from "./walk-queries.ts";
import { evidenceSight, listedPage, visiblePage } from "./sight.ts";

/** Subjects shown of one piece here; its own page has more. */
const SUBJECTS_SHOWN = 10;

const item = z.strictObject({
  evidence: z.string(),
  form: z.enum(EVIDENCE_FORMS),
  predicateType: z.string().nullable(),
  size: z.int(),
  subjects: z.array(z.string()),
  signers: z.array(z.string()).describe("Identities the signature was proven to be of when it came in."),
  fields: z.array(z.strictObject({ name: z.string(), value: z.string() })).describe("What it can be found by."),
  receivedAt: z.int().describe("ms since 1970, by the record"),
  sequence: z.int(),
});

const answer = z.strictObject({
  asOf: z.int().describe("The record sequence this list is as of."),
  items: z.array(item),
  next: z
    .string()
    .nullable()
    .describe("A page may have fewer items than were asked for: the list ends where this is null."),
});

/** Evidence by what it says, who was proven to have signed it, and when it came. */
export function registerSearchRoute(instance: FastifyInstance, context: AttestationsRoutesContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { reader } = context;

  app.get(
    "/api/assay/v1/orgs/:org/evidence",
    {
      schema: {
        summary: "Search evidence: every condition narrows it",
        description:
          "All provenance from one builder about one repository: field=builder.id=…&field=source.repository=…. An index of claims: what each piece is worth is asked by its artifact's digest.",
        tags: ["evidence"],
        params: z.object({ org: z.string().min(1).max(64) }),
        querystring: z.object({ ...pageQuery, ...searchQuery }),
        response: { 200: answer },
      },
    },
    async (request) => {
      const { org } = request.params;
      const sight = await evidenceSight(context, request, org);
      const { cursor, limit } = request.query;
      const search = searchOf(request.query);
      const from = cursor === undefined ? undefined : decodeCursor(cursor);
      const asOf = from?.asOf ?? (await newestSequence(reader));
      const found = await visiblePage(
        sight,
        { after: from?.position, wanted: limit + 1 },
        (after, most) => searchEvidence(reader, org, search, { asOf, after, limit: most }),
        (row) => row.place,
      );
      const { items, next } = listedPage(found, limit, asOf, (row) => row.place);
      return { asOf, items: await shown(org, items), next };
    },
  );

  async function shown(org: string, rows: readonly EvidenceRow[]): Promise<z.output<typeof item>[]> {
    const sequences = rows.map((row) => row.sequence);
    const fields = Map.groupBy(await fieldsOf(reader, org, sequences), ({ sequence }) => sequence);
    const digests = [...new Set(rows.map((row) => row.digest))];
    const subjects = await subjectsOfPieces(reader, org, digests, SUBJECTS_SHOWN);
    const signers = await signersOfAll(reader, org, digests);
    return rows.map((row) => ({
      evidence: row.digest,
      form: row.form,
      predicateType: row.predicate_type,
      size: row.size,
      subjects: [...(subjects.get(row.digest) ?? [])],
      signers: (signers.get(row.digest) ?? []).toSorted(),
      fields: (fields.get(row.sequence) ?? []).map(({ name, value }) => ({ name, value })),
      receivedAt: row.time,
      sequence: row.sequence,
    }));
  }
}
