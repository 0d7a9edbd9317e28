import { type Digest, LIMITS, parseDigest } from "@assay/evidence";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { Problem } from "../http/problem.ts";
import { receiptSchema } from "../http/receipt.ts";
import { newestSequence } from "../record/newest.ts";
import { trustVersion } from "../trust/queries.ts";
import { withinOneRequest } from "./artifact-bytes.ts";
import { mediaTypeOf } from "./evidence-bytes.ts";
import { type JudgedPiece, judgedPiece, judgedPieceSchema } from "./judged-piece.ts";
import { digestSchema, EVIDENCE_FORMS, WRAPPINGS } from "./piece.ts";
import {
  type EvidenceRow,
  findEvidence,
  listingsOf,
  primaryBy,
  primaryOf,
  repositoriesOf,
  signersOf,
  subjectsOf,
} from "./queries.ts";
import { repositoryIn } from "./repository-in.ts";
import { fieldsOf } from "./search-queries.ts";
import type { AttestationsRoutesContext } from "./context.ts";
import { type EvidenceSight, evidenceSight } from "./sight.ts";
import type { Question } from "./status.ts";

/** Subjects and repositories shown of one piece; `…More` says that there are more. */
const SHOWN = 100;

/** Subjects that an explained piece is judged about: each costs a verification. */
const JUDGED = 10;

const params = z.object({ org: z.string().min(1).max(64), digest: digestSchema });

const judgedSchema = z.strictObject({
  repository: z.string().nullable(),
  trust: z.strictObject({ org: z.string(), version: z.int() }),
  asOf: z.int().describe("The record sequence this is as of."),
  items: z.array(judgedPieceSchema.extend({ subject: z.string() })),
  more: z.boolean().describe("Whether it is about more than is judged here: ask about the artifact."),
});

const metadata = z.strictObject({
  evidence: z.string(),
  form: z.enum(EVIDENCE_FORMS),
  wrapping: z
    .enum(WRAPPINGS)
    .nullable()
    .describe("In what the signed content came, where that is not a Sigstore bundle."),
  size: z.int(),
  predicateType: z.string().nullable(),
  payloadDigest: z.string().nullable(),
  hint: z.string().nullable(),
  unreadable: z.string().nullable(),
  subjects: z.array(z.string()),
  subjectsMore: z.boolean(),
  signers: z.array(z.string()).describe("Identities the signature was proven to be of when it came in."),
  fields: z.array(z.strictObject({ name: z.string(), value: z.string() })).describe("What it can be found by."),
  repositories: z.array(z.strictObject({ repository: z.string(), manifest: z.string().nullable(), sequence: z.int() })),
  primaryFor: z.array(z.strictObject({ repository: z.string(), subject: z.string(), trustVersion: z.int() })),
  receivedAt: z.int(),
  receivedFrom: z.string(),
  sequence: z.int(),
  judged: judgedSchema.optional().describe("With explain=true: what it is worth now, and how that was found out."),
});

/** One piece of evidence by its own digest: what is known of it, its bytes, and the record's receipt for it. */
export function registerEvidenceRoutes(instance: FastifyInstance, context: AttestationsRoutesContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { reader, blobs, prover } = context;
  const tags = ["evidence"];

  async function find(
    request: FastifyRequest,
    org: string,
    digest: Digest,
    seen?: EvidenceSight,
  ): Promise<EvidenceRow> {
    const sight = seen ?? (await evidenceSight(context, request, org));
    const found = await findEvidence(reader, org, digest);
    const [row] = found === undefined ? [] : await sight.visible([found]);
    if (row === undefined) throw new Problem(404, "evidence-unknown", `${org} has no evidence ${digest}`);
    return row;
  }

  /** What a piece is worth about each of its first subjects: what the list about the artifact says of it. */
  async function judged(
    org: string,
    digest: string,
    at: { readonly repository: string | undefined; readonly repositories: readonly string[]; readonly asOf: number },
  ): Promise<z.output<typeof judgedSchema>> {
    const { repository, repositories, asOf } = at;
    const trust = await trustVersion(reader, org, { asOf }, context.logs);
    if (trust === undefined) throw new Problem(404, "trust-version-unknown", `${org} has no trust then`);
    const listings = await listingsOf(reader, org, digest, { asOf, limit: JUDGED + 1 });
    const rows = listings.slice(0, JUDGED);
    const subjects = [...new Set(rows.map(({ subject }) => subject))];
    const primaries = repository === undefined ? [] : await primaryOf(reader, org, repository, subjects);
    const now = Date.now();
    const judging = withinOneRequest(context);
    const items: (JudgedPiece & { subject: string })[] = [];
    for (const row of rows) {
      const question: Question = { artifact: parseDigest(row.subject), repository, trust, now };
      const primary = primaries.find(({ subject }) => subject === row.subject);
      const piece = await judgedPiece(judging, row, question, {
        repositories,
        primary,
        asOf,
        explain: true,
      });
      items.push({ subject: row.subject, ...piece });
    }
    const more = listings.length > JUDGED;
    return { repository: repository ?? null, trust: { org, version: trust.version }, asOf, items, more };
  }

  app.get(
    "/api/assay/v1/orgs/:org/evidence/:digest",
    {
      schema: {
        summary: "What is known of a piece of evidence",
        description:
          "What it claims, not what it is worth: for that, ask about the artifact, or for an explanation of this piece.",
        tags,
        params,
        querystring: z.object({
          explain: z.enum(["true", "false"]).optional().describe("Whether to judge it, and say what was checked."),
          repository: z
            .string()
            .min(1)
            .max(LIMITS.repositoryLength)
            .optional()
            .describe("With explain=true: where the artifact is to be used. Decides which trust entries are in scope."),
        }),
        response: { 200: metadata },
      },
    },
    async (request) => {
      const { org } = request.params;
      const sight = await evidenceSight(context, request, org);
      const repository = repositoryIn(org, request.query.repository);
      const row = await find(request, org, parseDigest(request.params.digest), sight);
      const asOf = await newestSequence(reader);
      const subjects = await subjectsOf(reader, org, row.digest, SHOWN + 1);
      const places = await repositoriesOf(reader, org, [row.digest], asOf);
      const primary = await primaryBy(reader, org, row.digest, SHOWN);
      const seen = <T extends { readonly repository: string }>(list: readonly T[]): T[] =>
        list.filter(({ repository }) => sight.sees(repository));
      const given = seen(places);
      const at = { repository, repositories: given.map((place) => place.repository), asOf };
      return {
        evidence: row.digest,
        form: row.form,
        wrapping: row.wrapping,
        size: row.size,
        predicateType: row.predicate_type,
        payloadDigest: row.payload_digest,
        hint: row.hint,
        unreadable: row.unreadable,
        subjects: subjects.slice(0, SHOWN),
        subjectsMore: subjects.length > SHOWN,
        signers: await signersOf(reader, org, row.digest),
        fields: (await fieldsOf(reader, org, [row.sequence])).map(({ name, value }) => ({ name, value })),
        repositories: given
          .slice(0, SHOWN)
          .map(({ repository, manifest, sequence }) => ({ repository, manifest, sequence })),
        primaryFor: seen(primary).map(({ repository, subject, trust_version }) => ({
          repository,
          subject,
          trustVersion: trust_version,
        })),
        receivedAt: row.time,
        receivedFrom: row.actor,
        sequence: row.sequence,
        ...(request.query.explain === "true" ? { judged: await judged(org, row.digest, at) } : {}),
      };
    },
  );

  app.get(
    "/api/assay/v1/orgs/:org/evidence/:digest/bundle",
    { schema: { summary: "Download the evidence's bytes as they came", tags, params } },
    async (request, reply) => {
      const { org } = request.params;
      const row = await find(request, org, parseDigest(request.params.digest));
      const digest = parseDigest(row.digest);
      const name = `${row.digest.slice("sha256:".length)}${row.form === "unreadable" ? ".bin" : ".json"}`;
      const stream = await blobs.read(digest);
      return reply
        .header("content-type", mediaTypeOf(row))
        .header("content-length", row.size)
        .header("content-disposition", `attachment; filename="${name}"`)
        .header("x-content-type-options", "nosniff")
        .header("content-security-policy", "sandbox")
        .header("docker-content-digest", digest)
        .send(stream);
    },
  );

  app.get(
    "/api/assay/v1/orgs/:org/evidence/:digest/receipt",
    {
      schema: {
        summary: "The record's receipt: proof of when the evidence was here",
        tags,
        params,
        response: { 200: receiptSchema },
      },
    },
    async (request) => {
      const row = await find(request, request.params.org, parseDigest(request.params.digest));
      const receipt = await prover.receipt(row.sequence);
      if (receipt === undefined) {
        throw new Problem(503, "receipt-unpublished", "the receipt is not published yet", {
          hint: "try again in a moment",
        });
      }
      return receipt;
    },
  );
}
