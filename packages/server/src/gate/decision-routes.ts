import { BUNDLE_MEDIA_TYPE, LIMITS, parseDigest, parseJson } from "@assay/evidence";
import { POLICY_LIMITS } from "@assay/policy";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { requireActor } from "../access/authenticate.ts";
import { authorize, authorizeSight } from "../access/authorize.ts";
import { canonicalRepository } from "../access/names.ts";
import { digestSchema } from "../attestations/piece.ts";
import { repositoryIn } from "../attestations/repository-in.ts";
import { decodeCursor, pageOf, pageQuery } from "../http/cursor.ts";
import { Problem } from "../http/problem.ts";
import { receiptSchema } from "../http/receipt.ts";
import { SYSTEM_ORG } from "../record/command.ts";
import { newestSequence } from "../record/newest.ts";
import type { GateRoutesContext } from "./context.ts";
import { decide } from "./decide.ts";
import { decisionSchema } from "./decision-shape.ts";
import { policyName } from "./policy-name.ts";
import { type DecisionRow, type DecisionSummary, findDecision, listDecisions, repeatsOf } from "./queries.ts";
import { policyUri } from "./summary.ts";

const decideBody = z.strictObject({
  org: z.string().min(1).max(64),
  digest: digestSchema.describe("The artifact."),
  repository: z
    .string()
    .min(1)
    .max(LIMITS.repositoryLength)
    .optional()
    .describe("Where it is to be used from: decides which trust entries are in scope."),
  policy: z.union([
    z.strictObject({ name: policyName }).describe("A stored policy."),
    z.strictObject({ yaml: z.string().min(1).max(POLICY_LIMITS.policyBytes) }).describe("A policy given here."),
  ]),
  trustVersion: z.int().nonnegative().optional().describe("A version of trust to decide under; else the current one."),
});

const decisionAnswer = z.strictObject({
  id: z.string().describe("The decision's name: the digest of its canonical JSON."),
  org: z.string(),
  decision: decisionSchema,
  recordedAt: z.int().describe("ms since 1970, by the record"),
  recordedFor: z.string().describe("Who asked first."),
  sequence: z.int(),
  current: z.boolean().describe("Whether it is still the newest answer to its question."),
  repeats: z.int().describe("How often the same was asked again and answered the same."),
  lastRepeatedAt: z.int().nullable(),
  receipt: receiptSchema.nullable().describe("null when the receipt is not published yet: ask for it again"),
  links: z.strictObject({ self: z.string(), vsa: z.string(), policy: z.string(), evidence: z.string() }),
});

const madeAnswer = decisionAnswer.extend({
  repeated: z.boolean().describe("Whether this is an earlier decision that still holds: same inputs, same outcome."),
  confirmedAt: z.int().describe("When it was found to hold, ms since 1970."),
});

const listItem = z.strictObject({
  id: z.string(),
  subject: z.string(),
  repository: z.string().nullable(),
  policy: z.strictObject({ name: z.string().nullable(), version: z.int().nullable(), digest: z.string() }),
  result: z.enum(["allowed", "denied"]),
  current: z.boolean(),
  recordedAt: z.int(),
  sequence: z.int(),
});

/** Decisions read at once, of which somebody may see a part only. */
const SEEN_STEP = 500;

/** Decisions: ask for one, read them, and have them as signed verification summaries. */
export function registerDecisionRoutes(instance: FastifyInstance, context: GateRoutesContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { reader, blobs, authenticator, prover, publicUrl } = context;
  const tags = ["decisions"];

  async function show(
    row: DecisionRow,
    receipt: z.output<typeof receiptSchema> | undefined,
  ): Promise<z.output<typeof decisionAnswer>> {
    const repeats = await repeatsOf(reader, row.id);
    const self = `${publicUrl}/api/assay/v1/decisions/${row.id}`;
    return {
      id: row.id,
      org: row.org,
      decision: decisionSchema.parse(parseJson(row.decision)),
      recordedAt: row.time,
      recordedFor: row.actor,
      sequence: row.from_seq,
      current: row.to_seq === null,
      repeats: repeats?.count ?? 0,
      lastRepeatedAt: repeats?.last_time ?? null,
      receipt: receipt ?? (await prover.receipt(row.from_seq)) ?? null,
      links: {
        self,
        vsa: `${self}/vsa`,
        policy: policyUri(publicUrl, row.org, row.policy_digest),
        evidence: `${publicUrl}/api/assay/v1/orgs/${row.org}/attestations/${row.subject}`,
      },
    };
  }

  /** A decision the caller may see. Not there and not theirs are one answer. */
  async function find(request: FastifyRequest, id: string): Promise<DecisionRow> {
    const actor = await requireActor(authenticator, request);
    const row = await findDecision(reader, id);
    const unknown = new Problem(404, "decision-unknown", `there is no decision ${id}`);
    // Asked also of what is not there: that takes as long as what is another's.
    const sight = await authorizeSight(reader, actor, "evidence.read", row?.org ?? SYSTEM_ORG);
    if (row === undefined) throw unknown;
    if (sight.refusal === undefined && (sight.whole || (row.repository !== null && sight.sees(row.repository)))) {
      return row;
    }
    // Told apart only from a caller's own organisations: a role too small there is no secret.
    throw sight.refusal === undefined || sight.refusal.status === 404 ? unknown : Problem.fromRefusal(sight.refusal);
  }

  /** Decisions that somebody may see of those after a place, newest first. What they may not see is passed over, and not counted. */
  async function seenDecisions(
    org: string,
    page: Parameters<typeof listDecisions>[2],
    sees: (repository: string) => boolean,
  ): Promise<DecisionSummary[]> {
    const seen: DecisionSummary[] = [];
    let { before } = page;
    for (;;) {
      const found = await listDecisions(reader, org, { ...page, before, limit: SEEN_STEP });
      seen.push(...found.filter(({ repository }) => repository !== null && sees(repository)));
      before = found.at(-1)?.from_seq;
      if (seen.length >= page.limit || found.length < SEEN_STEP) return seen.slice(0, page.limit);
    }
  }

  app.post(
    "/api/assay/v1/decisions",
    {
      bodyLimit: 1024 * 1024,
      schema: {
        summary: "May this artifact be used?",
        description:
          'Decides from the evidence here, by the policy, under trust, now. Denied is an answer (200, result "denied") with every reason; so is an artifact nothing is known about.',
        tags,
        body: decideBody,
        response: { 200: madeAnswer },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const { org, digest, policy, trustVersion } = request.body;
      // The organisation first: whose it is not learns nothing, not even about grammar.
      const named = request.body.repository;
      const canonical = named === undefined ? undefined : canonicalRepository(named, org);
      const target = { org, repository: canonical?.org === org ? canonical.repository : undefined };
      const refusal = await authorize(reader, actor, "decision.make", target);
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      const repository = repositoryIn(org, named);
      const answer = await decide(context, actor, {
        org,
        artifact: parseDigest(digest),
        repository,
        policy,
        trustVersion,
      });
      return {
        ...(await show(answer.row, answer.receipt)),
        repeated: !answer.recorded,
        confirmedAt: answer.confirmedAt,
      };
    },
  );

  app.get(
    "/api/assay/v1/decisions/:id",
    {
      schema: {
        summary: "Read a decision",
        tags,
        params: z.object({ id: digestSchema }),
        response: { 200: decisionAnswer },
      },
    },
    async (request) => show(await find(request, request.params.id), undefined),
  );

  app.get(
    "/api/assay/v1/decisions/:id/vsa",
    {
      schema: {
        summary: "The decision as a signed SLSA verification summary",
        tags,
        params: z.object({ id: digestSchema }),
      },
    },
    async (request, reply) => {
      const row = await find(request, request.params.id);
      const bytes = await blobs.readSmall(parseDigest(row.vsa), LIMITS.bundleBytes);
      return reply
        .header("content-type", BUNDLE_MEDIA_TYPE)
        .header("content-disposition", `attachment; filename="${row.id.slice("sha256:".length)}.vsa.sigstore.json"`)
        .header("x-content-type-options", "nosniff")
        .header("content-security-policy", "sandbox")
        .send(Buffer.from(bytes));
    },
  );

  app.get(
    "/api/assay/v1/orgs/:org/decisions",
    {
      schema: {
        summary: "List decisions, newest first",
        tags,
        params: z.object({ org: z.string().min(1).max(64) }),
        querystring: z.object({ ...pageQuery, digest: digestSchema.optional() }),
        response: { 200: z.strictObject({ items: z.array(listItem), next: z.string().nullable() }) },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const { org } = request.params;
      const sight = await authorizeSight(reader, actor, "evidence.read", org);
      if (sight.refusal !== undefined) throw Problem.fromRefusal(sight.refusal);
      const { cursor, limit, digest } = request.query;
      const from = cursor === undefined ? undefined : decodeCursor(cursor);
      const asOf = from?.asOf ?? (await newestSequence(reader));
      const page = { asOf, before: from?.position, limit: limit + 1, subject: digest };
      const rows = sight.whole
        ? await listDecisions(reader, org, page)
        : await seenDecisions(org, page, (repository) => sight.sees(repository));
      const { items, next } = pageOf(rows, limit, asOf, (row) => row.from_seq);
      return { items: items.map(summarise), next };
    },
  );
}

function summarise(row: DecisionSummary): z.output<typeof listItem> {
  return {
    id: row.id,
    subject: row.subject,
    repository: row.repository,
    policy: { name: row.policy_name, version: row.policy_version, digest: row.policy_digest },
    result: row.result,
    current: row.to_seq === null,
    recordedAt: row.time,
    sequence: row.from_seq,
  };
}
