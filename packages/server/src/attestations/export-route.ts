import { Readable } from "node:stream";
import { parseDigest } from "@assay/evidence";
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { newestSequence } from "../record/newest.ts";
import type { AttestationsRoutesContext } from "./context.ts";
import { isSigned, jsonLine } from "./evidence-bytes.ts";
import { searchOf, searchQuery } from "./search-filter.ts";
import { type Search, searchEvidence } from "./search-queries.ts";
import { type EvidenceSight, evidenceSight } from "./sight.ts";

/** Pieces fetched from the index at a time. */
const PAGE = 200;

/** What ends an export: lines of other media types than a reader knows are passed over by it, as in-toto demands. */
const SUMMARY_TYPE = "application/vnd.assay.export-summary.v1+json";

/** Gives evidence out as it was taken in: JSON Lines, oldest first, with the filters of the search. */
export function registerExportRoute(instance: FastifyInstance, context: AttestationsRoutesContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { reader, blobs } = context;

  app.get(
    "/api/assay/v1/orgs/:org/attestations.jsonl",
    {
      schema: {
        summary: "Download signed evidence as JSON Lines, with the filters of the search",
        description:
          "Each line is a piece as it was given, without line ends inside; `POST …/attestations/bulk` takes it elsewhere. The last line is a summary: without it the file is not whole. Reports, and evidence that is no JSON, are left out and counted there.",
        tags: ["evidence"],
        params: z.object({ org: z.string().min(1).max(64) }),
        querystring: z.object(searchQuery),
      },
    },
    async (request, reply) => {
      const { org } = request.params;
      const sight = await evidenceSight(context, request, org);
      const search = searchOf(request.query);
      const asOf = await newestSequence(reader);
      return reply
        .header("content-type", "application/vnd.in-toto.bundle")
        .header("content-disposition", `attachment; filename="${org}.intoto.jsonl"`)
        .header("x-content-type-options", "nosniff")
        .header("content-security-policy", "sandbox")
        .send(Readable.from(exported(sight, org, search, asOf)));
    },
  );

  async function* exported(sight: EvidenceSight, org: string, search: Search, asOf: number): AsyncGenerator<Buffer> {
    let after: number | undefined;
    let pieces = 0;
    let leftOut = 0;
    for (;;) {
      const { rows, scannedTo } = await searchEvidence(reader, org, search, { asOf, after, limit: PAGE });
      after = rows.at(-1)?.place ?? after;
      for (const row of await sight.visible(rows)) {
        const line = isSigned(row) ? await jsonLine(blobs, parseDigest(row.digest)) : undefined;
        if (line === undefined) leftOut++;
        else {
          pieces++;
          yield line;
        }
      }
      if (rows.length < PAGE) {
        if (scannedTo === undefined) break;
        after = scannedTo;
      }
    }
    yield Buffer.from(`${JSON.stringify({ mediaType: SUMMARY_TYPE, org, asOf, pieces, leftOut })}\n`);
  }
}
