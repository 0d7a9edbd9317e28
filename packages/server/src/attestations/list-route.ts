import { LIMITS, parseDigest } from "@assay/evidence";
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { decodeCursor, pageQuery } from "../http/cursor.ts";
import { Problem } from "../http/problem.ts";
import { newestSequence } from "../record/newest.ts";
import { trustVersion } from "../trust/queries.ts";
import { type JudgedPiece, judgedPiece, judgedPieceSchema } from "./judged-piece.ts";
import { repositoryIn } from "./repository-in.ts";
import { digestSchema } from "./piece.ts";
import { evidenceAbout, primaryOf, repositoriesOf } from "./queries.ts";
import { withinOneRequest } from "./artifact-bytes.ts";
import type { AttestationsRoutesContext } from "./context.ts";
import { readingAhead } from "./read-ahead.ts";
import { evidenceSight, listedPage, visiblePage } from "./sight.ts";
import type { Question } from "./status.ts";

const listAnswer = z.strictObject({
  subject: z.string(),
  repository: z.string().nullable(),
  trust: z.strictObject({ org: z.string(), version: z.int() }),
  asOf: z.int().describe("The record sequence this list is as of."),
  items: z.array(judgedPieceSchema),
  next: z.string().nullable(),
});

/** Everything an organisation has about an artifact, each piece judged now. */
export function registerListRoute(instance: FastifyInstance, context: AttestationsRoutesContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { reader } = context;

  app.get(
    "/api/assay/v1/orgs/:org/attestations/:digest",
    {
      schema: {
        summary: "List the evidence about an artifact, with what each piece is worth",
        description: "Status is computed when asked, under the current or the named version of trust.",
        tags: ["evidence"],
        params: z.object({ org: z.string().min(1).max(64), digest: digestSchema }),
        querystring: z.object({
          ...pageQuery,
          predicateType: z.string().min(1).max(LIMITS.typeLength).optional(),
          repository: z
            .string()
            .min(1)
            .max(LIMITS.repositoryLength)
            .optional()
            .describe("Where the artifact is to be used: decides which trust entries are in scope. It hides nothing."),
          trustVersion: z.coerce.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER).optional(),
          explain: z.enum(["true", "false"]).optional().describe("Whether each status says how it was found out."),
        }),
        response: { 200: listAnswer },
      },
    },
    async (request) => {
      const { org } = request.params;
      const sight = await evidenceSight(context, request, org);
      const artifact = parseDigest(request.params.digest);
      const { cursor, limit, predicateType } = request.query;
      const explain = request.query.explain === "true";
      const repository = repositoryIn(org, request.query.repository);
      const from = cursor === undefined ? undefined : decodeCursor(cursor);
      const asOf = from?.asOf ?? (await newestSequence(reader));
      const named = request.query.trustVersion;
      // Neither waits for what the other says.
      const [trust, found] = await Promise.all([
        trustVersion(reader, org, named === undefined ? { asOf } : { version: named }, context.logs),
        visiblePage(
          sight,
          { after: from?.position, wanted: limit + 1 },
          async (after, most) => ({
            rows: await evidenceAbout(reader, org, artifact, { asOf, after, limit: most, predicateType }),
            scannedTo: undefined,
          }),
          (row) => row.about,
        ),
      ]);
      if (trust === undefined) throw new Problem(404, "trust-version-unknown", `${org} has no trust version ${named}`);
      const { items, next } = listedPage(found, limit, asOf, (row) => row.about);
      const judging = withinOneRequest({ ...context, blobs: readingAhead(context.blobs, items) });
      const [given, [primary]] = await Promise.all([
        repositoriesOf(reader, org, [...new Set(items.map((row) => row.digest))], asOf),
        repository === undefined ? [] : primaryOf(reader, org, repository, [artifact]),
      ]);
      const places = given.filter((place) => sight.sees(place.repository));
      const question: Question = { artifact, repository, trust, now: Date.now() };
      const judged: JudgedPiece[] = [];
      for (const row of items) {
        const where = places.filter((place) => place.digest === row.digest).map((place) => place.repository);
        judged.push(await judgedPiece(judging, row, question, { repositories: where, primary, asOf, explain }));
      }
      return {
        subject: artifact,
        repository: repository ?? null,
        trust: { org, version: trust.version },
        asOf,
        items: judged,
        next,
      };
    },
  );
}
