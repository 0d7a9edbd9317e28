import { LIMITS } from "@assay/evidence";
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { requireActor } from "../access/authenticate.ts";
import { note } from "../signals/about.ts";
import { withinOneRequest } from "./artifact-bytes.ts";
import { BODY_LIMIT, evidenceBytes, givenBody, givenQuery, parseEvidenceBodies } from "./body-forms.ts";
import type { AttestationsRoutesContext } from "./context.ts";
import { addAnswer, admit, repositoryField, takeIn } from "./intake.ts";
import { digestSchema } from "./piece.ts";
import { readPosted, readReport } from "./reading.ts";

const orgParams = z.object({ org: z.string().min(1).max(64) });

const jsonObject = z.record(z.string(), z.unknown());

const reportBody = z.union([
  z.strictObject({
    statement: jsonObject.describe("An in-toto statement that nobody signed."),
    repository: repositoryField,
  }),
  z.strictObject({
    subject: digestSchema,
    predicateType: z.string().min(1).max(LIMITS.typeLength),
    predicate: jsonObject,
    repository: repositoryField,
  }),
]);

/** Takes evidence in: signed, and unsigned as such. */
export function registerAddRoutes(instance: FastifyInstance, context: AttestationsRoutesContext): void {
  const { authenticator } = context;

  // A context of its own: only this door takes bodies that are no JSON.
  void instance.register(async (door) => {
    parseEvidenceBodies(door);
    door.withTypeProvider<ZodTypeProvider>().post(
      "/api/assay/v1/orgs/:org/attestations",
      {
        bodyLimit: BODY_LIMIT,
        schema: {
          summary: "Give signed evidence",
          description:
            "A Sigstore bundle, a DSSE envelope, a detached signature with what it is about, a Notary or OpenPGP signature. As JSON, as multipart/form-data, or as the evidence's own bytes under its media type. Immutable and named by its digest. The same bytes again are accepted and change nothing.",
          tags: ["evidence"],
          params: orgParams,
          querystring: givenQuery,
          body: givenBody,
          response: { 200: addAnswer, 201: addAnswer },
        },
      },
      async (request, reply) => {
        const actor = await requireActor(authenticator, request);
        const { org } = request.params;
        const named = request.body.repository ?? request.query.repository;
        const repository = await admit(context, actor, org, named);
        const bytes = evidenceBytes(request.body);
        const answer = await takeIn(withinOneRequest(context), { actor, org, repository }, bytes, readPosted(bytes));
        note(request, { attestation: answer.evidence });
        return reply.status(answer.created ? 201 : 200).send(answer);
      },
    );
  });

  instance.withTypeProvider<ZodTypeProvider>().post(
    "/api/assay/v1/orgs/:org/reports",
    {
      bodyLimit: BODY_LIMIT,
      schema: {
        summary: "Give an unsigned report",
        description: "Kept, shown and evaluated as reported, never as verified.",
        tags: ["evidence"],
        params: orgParams,
        body: reportBody,
        response: { 200: addAnswer, 201: addAnswer },
      },
    },
    async (request, reply) => {
      const actor = await requireActor(authenticator, request);
      const { org } = request.params;
      const repository = await admit(context, actor, org, request.body.repository);
      const { bytes, piece } = readReport(request.body);
      const answer = await takeIn(withinOneRequest(context), { actor, org, repository }, bytes, piece);
      note(request, { attestation: answer.evidence });
      return reply.status(answer.created ? 201 : 200).send(answer);
    },
  );
}
