import { LIMITS } from "@assay/evidence";
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { requireActor } from "../access/authenticate.ts";
import { authorize } from "../access/authorize.ts";
import { Problem } from "../http/problem.ts";
import { receiptSchema } from "../http/receipt.ts";
import type { Actor } from "../record/command.ts";
import { addResult } from "./commands.ts";
import { digestSchema, EVIDENCE_FORMS } from "./piece.ts";
import { bundleBytes, readPostedBundle, readReport, type ReadPiece } from "./reading.ts";
import { repositoryIn } from "./repository-in.ts";
import type { AttestationsRoutesContext } from "./context.ts";
import { proveSigners } from "./signers.ts";

/** Bytes of a request's body: a bundle of the largest size, as a JSON string with every character escaped once. */
const BODY_LIMIT = 2 * LIMITS.bundleBytes;

const orgParams = z.object({ org: z.string().min(1).max(64) });

const repositoryField = z
  .string()
  .min(1)
  .max(LIMITS.repositoryLength)
  .optional()
  .describe('The repository the artifact lies in: "app", or whole, "org/app". Provenance becomes primary only in one.');

const jsonObject = z.record(z.string(), z.unknown());

const addBody = z.strictObject({
  bundle: z
    .union([z.string().min(1), jsonObject])
    .describe("A Sigstore bundle v0.3: a string keeps its bytes, an object is stored in canonical form (RFC 8785)."),
  repository: repositoryField,
});

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

const addAnswer = z.strictObject({
  evidence: z.string().describe("The digest that names this evidence from now on."),
  created: z.boolean().describe("false when these bytes were here already"),
  form: z.enum(EVIDENCE_FORMS),
  predicateType: z.string().nullable(),
  subjects: z.array(z.string()),
  signers: z.array(z.string()).describe("Keys, among those trusted now, that the signature was proven to be of."),
  primary: z.enum(["none", "set", "already"]).describe("Whether it is the primary build provenance of its subjects."),
  sequence: z.int(),
  receipt: receiptSchema.nullable().describe("null when the receipt is not published yet: ask for it again"),
});

/** Takes evidence in: signed, and unsigned as such. */
export function registerAddRoutes(instance: FastifyInstance, context: AttestationsRoutesContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { reader, record, blobs, authenticator, prover } = context;

  async function admit(actor: Actor, org: string, name: string | undefined): Promise<string | undefined> {
    // The organisation first: whose it is not learns nothing, not even about grammar.
    const refusal = await authorize(reader, actor, "evidence.write", { org });
    if (refusal !== undefined) throw Problem.fromRefusal(refusal);
    return repositoryIn(org, name);
  }

  async function add(
    actor: Actor,
    org: string,
    repository: string | undefined,
    bytes: Uint8Array,
    piece: ReadPiece,
  ): Promise<z.output<typeof addAnswer>> {
    const { signers, provenUnder } = await proveSigners(reader, org, bytes, piece);
    // Blobs before the events that name them: what the record says is here is here.
    await blobs.putSmall(bytes);
    const appended = await record.append({
      type: "attestations.add",
      org,
      actor,
      body: { ...piece, signers, repository: repository ?? null, source: { kind: "api" }, provenUnder },
    });
    if (!appended.ok) throw Problem.fromRefusal(appended.refusal);
    const result = addResult.parse(appended.results[0]);
    const receipt = result.created ? appended.receipts[0] : await prover.receipt(result.sequence);
    return {
      ...result,
      form: piece.form,
      predicateType: piece.predicateType,
      subjects: piece.subjects,
      signers,
      receipt: receipt ?? null,
    };
  }

  app.post(
    "/api/assay/v1/orgs/:org/attestations",
    {
      bodyLimit: BODY_LIMIT,
      schema: {
        summary: "Give a signed bundle as evidence",
        description: "Immutable and named by its digest. The same bytes again are accepted and change nothing.",
        tags: ["evidence"],
        params: orgParams,
        body: addBody,
        response: { 200: addAnswer, 201: addAnswer },
      },
    },
    async (request, reply) => {
      const actor = await requireActor(authenticator, request);
      const { org } = request.params;
      const repository = await admit(actor, org, request.body.repository);
      const bytes = bundleBytes(request.body.bundle);
      const answer = await add(actor, org, repository, bytes, readPostedBundle(bytes));
      return reply.status(answer.created ? 201 : 200).send(answer);
    },
  );

  app.post(
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
      const repository = await admit(actor, org, request.body.repository);
      const { bytes, piece } = readReport(request.body);
      const answer = await add(actor, org, repository, bytes, piece);
      return reply.status(answer.created ? 201 : 200).send(answer);
    },
  );
}
