import { LIMITS, parseDigest } from "@assay/evidence";
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { decodeCursor, pageQuery } from "../http/cursor.ts";
import { Problem } from "../http/problem.ts";
import { newestSequence } from "../record/newest.ts";
import { trustVersion } from "../trust/queries.ts";
import { repositoryIn } from "./repository-in.ts";
import { digestSchema, EVIDENCE_FORMS } from "./piece.ts";
import { type EvidenceAbout, evidenceAbout, primaryOf, repositoriesOf } from "./queries.ts";
import type { AttestationsRoutesContext } from "./context.ts";
import { evidenceSight, listedPage, visiblePage } from "./sight.ts";
import { type Question, type Status, statusOf } from "./status.ts";

const timeSchema = z.strictObject({
  source: z.enum(["received-here", "receipt", "rfc3161", "log"]),
  time: z.int().describe("ms since 1970"),
  evidence: z.string().describe("What proves it."),
});

const steps = z
  .array(z.record(z.string(), z.unknown()))
  .optional()
  .describe(
    "With explain=true: what was checked, in order, each with its outcome (passed, failed, not-evaluated), a sentence, and the steps it was found by.",
  );

const statusSchema = z.discriminatedUnion("status", [
  z.strictObject({
    status: z.literal("verified"),
    by: z.strictObject({
      kind: z.enum(["key", "certificate", "openpgp"]),
      principal: z.string().describe("What counts as one signer, whatever entries it has."),
      entry: z.string(),
      name: z.string(),
      keyId: z.string(),
      algorithm: z.string(),
      certificate: z
        .strictObject({
          issuer: z.string().nullable().describe("The OIDC issuer it names."),
          subject: z.string(),
          fingerprint: z.string().describe("SHA-256 of its DER."),
          claims: z.record(z.string(), z.string()).describe("What its authority says of its holder, by name."),
        })
        .optional(),
      entries: z
        .array(z.strictObject({ entry: z.string(), name: z.string(), counts: z.boolean() }))
        .describe("Every trust entry that means the signer; `counts` where its scope and time cover this evidence."),
    }),
    time: timeSchema.nullable(),
    steps,
  }),
  z.strictObject({ status: z.literal("reported"), steps }),
  z.strictObject({ status: z.literal("refused"), code: z.string(), message: z.string(), steps }),
]);

const itemSchema = z.strictObject({
  evidence: z.string(),
  form: z.enum(EVIDENCE_FORMS),
  predicateType: z.string().nullable().describe("What it claims to be; null when it cannot be read."),
  size: z.int(),
  receivedAt: z.int().describe("ms since 1970, by the record"),
  sequence: z.int(),
  repositories: z.array(z.string()).describe("Where it was given."),
  primary: z.boolean().describe("Whether it is the primary build provenance in the repository asked about."),
  status: statusSchema,
});

const listAnswer = z.strictObject({
  subject: z.string(),
  repository: z.string().nullable(),
  trust: z.strictObject({ org: z.string(), version: z.int() }),
  asOf: z.int().describe("The record sequence this list is as of."),
  items: z.array(itemSchema),
  next: z.string().nullable(),
});

/** The wire form of a status: who, or why not; and how that was found out, when that is asked. */
function showStatus(status: Status, explain: boolean): z.output<typeof statusSchema> {
  const how = explain ? { steps: status.steps.map((step) => ({ ...step })) } : {};
  switch (status.status) {
    case "verified": {
      const { entries, certificate, ...by } = status.signer;
      const claims =
        certificate === undefined ? {} : { certificate: { ...certificate, claims: { ...certificate.claims } } };
      return { status: "verified", by: { ...by, entries: [...entries], ...claims }, time: status.time, ...how };
    }
    case "reported":
      return { status: "reported", ...how };
    case "refused":
      return { status: "refused", code: status.code, message: status.message, ...how };
  }
}

/** Everything an organisation has about an artifact, each piece judged now. */
export function registerListRoute(instance: FastifyInstance, context: AttestationsRoutesContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { reader } = context;

  async function item(row: EvidenceAbout, question: Question, places: string[], primary: boolean, explain: boolean) {
    return {
      evidence: row.digest,
      form: row.form,
      predicateType: row.predicate_type,
      size: row.size,
      receivedAt: row.time,
      sequence: row.sequence,
      repositories: places,
      primary,
      status: showStatus(await statusOf(context, row, question), explain),
    };
  }

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
      const trust = await trustVersion(reader, org, named === undefined ? { asOf } : { version: named }, context.logs);
      if (trust === undefined) throw new Problem(404, "trust-version-unknown", `${org} has no trust version ${named}`);

      const found = await visiblePage(
        sight,
        { after: from?.position, wanted: limit + 1 },
        async (after, most) => ({
          rows: await evidenceAbout(reader, org, artifact, { asOf, after, limit: most, predicateType }),
          scannedTo: undefined,
        }),
        (row) => row.about,
      );
      const { items, next } = listedPage(found, limit, asOf, (row) => row.about);
      const given = await repositoriesOf(reader, org, [...new Set(items.map((row) => row.digest))], asOf);
      const places = given.filter((place) => sight.sees(place.repository));
      const [primary] = repository === undefined ? [] : await primaryOf(reader, org, repository, [artifact]);
      const question: Question = { artifact, repository, trust, now: Date.now() };
      const judged: z.output<typeof itemSchema>[] = [];
      for (const row of items) {
        const where = places.filter((place) => place.digest === row.digest).map((place) => place.repository);
        const isPrimary = row.form === "dsse" && primary?.evidence === row.digest && primary.sequence <= asOf;
        judged.push(await item(row, question, where, isPrimary, explain));
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
