import { isDigest, parseDigest, parseJson } from "@assay/evidence";
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { authorize } from "../access/authorize.ts";
import { canonicalRepository } from "../access/names.ts";
import { API, orgParams, receiptField } from "../access/wire.ts";
import { evidenceGivenOn } from "../attestations/giving.ts";
import { Problem } from "../http/problem.ts";
import type { Command, Refusal } from "../record/command.ts";
import { promotionResult } from "../registry/promotion-commands.ts";
import { companyOf } from "../registry/promotion-queries.ts";
import { findManifest } from "../registry/queries.ts";
import { noteRefusedMove } from "../registry/refused-moves.ts";
import { findRepository } from "../registry/repository-queries.ts";
import { admit, nameField } from "../registry/repository-wire.ts";
import { isEvidenceTag, isTag } from "../registry/tag-rules.ts";
import type { GateRoutesContext } from "./context.ts";
import { decide } from "./decide.ts";
import { decisionSchema } from "./decision-shape.ts";
import { promotionDenied } from "./promotion-gate.ts";

/** Tags one promotion may set. */
const MOST_TAGS = 16;

const answer = z.strictObject({
  from: z.string(),
  repository: z.string(),
  digest: z.string(),
  tags: z.array(z.string()),
  manifests: z.int().describe("Manifests that were not there yet: the artifact, its parts, what refers to them."),
  evidence: z.int().describe("Pieces of evidence given to the destination, or there already."),
  policy: z.string().nullable().describe("The policy the destination demands; null: none."),
  decision: z.string().nullable().describe("The decision that allowed it."),
  changed: z.boolean().describe("false when all of it was so already"),
  receipt: receiptField,
});

/** Promotion: an artifact goes from one repository to another by its digest, with its evidence, where a policy may be asked first. */
export function registerPromotionRoutes(instance: FastifyInstance, context: GateRoutesContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { reader, record } = context;

  app.post(
    `${API}/orgs/:org/promotions`,
    {
      schema: {
        summary: "Promote an artifact to a repository, with its evidence",
        description:
          "By digest, from a repository of this organisation or of another one the caller may pull from. All that belongs to it comes along: platforms, referrers, evidence. Where the destination demands a policy, its decision is recorded first, and the promotion names it; denied is 403 with the reasons.",
        tags: ["repositories"],
        params: orgParams,
        body: z.strictObject({
          from: z.string().min(1).max(255).describe("Where it is: the whole name, org/path."),
          digest: z.string().refine(isDigest, "not a digest"),
          repository: nameField.describe("Where it goes, below the organisation."),
          tags: z
            .array(z.string().refine((tag) => isTag(tag) && !isEvidenceTag(tag), "not a tag of an artifact"))
            .max(MOST_TAGS)
            .default([]),
        }),
        response: { 200: answer },
      },
    },
    async (request) => {
      const { from, tags } = request.body;
      const digest = parseDigest(request.body.digest);
      const to = { org: request.params.org, name: request.body.repository };
      const { actor, org, repository } = await admit(context, request, "registry.push", to);
      const canonical = canonicalRepository(from, org);
      const source = { org: canonical?.org ?? "", repository: canonical?.repository };
      const refusal = await authorize(reader, actor, "registry.pull", source);
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      if (canonical === undefined || (await findManifest(reader, canonical.repository, digest)) === undefined) {
        throw new Problem(404, "manifest-unknown", `${from} has no manifest ${digest}`);
      }
      const company = await companyOf(reader, canonical.repository, digest);
      // INVARIANT: nobody gets out of a repository, by promoting it to where they may pull, what its pull gate does not serve them there. Without what
      // it consists of there is no artifact; what else refers to it stays behind.
      const without: string[] = [];
      for (const manifest of company.manifests) {
        const denied = await context.pullGate.manifest({ ...canonical, actor }, manifest);
        if (denied !== undefined && company.parts.has(manifest)) throw Problem.fromRefusal(denied);
        if (denied !== undefined) without.push(manifest);
      }
      const evidence = await evidenceGivenOn(context, {
        actor,
        from: canonical,
        to: { org, repository },
        subjects: company.manifests,
      });
      const policy = (await findRepository(reader, repository))?.settings.promotionPolicy ?? null;
      let decision: string | null = null;
      if (policy !== null) {
        // The policy decides from the evidence that the destination has: it is given there before it is asked.
        if (evidence.length > 0) await appendAll(evidence);
        const question = { org, artifact: digest, repository, policy: { name: policy }, trustVersion: undefined };
        const { row } = await decide(context, actor, question);
        if (row.result === "denied") {
          const { reasons } = decisionSchema.parse(parseJson(row.decision));
          const asked = { decision: row.id, org, repository, digest, policy };
          throw Problem.fromRefusal(promotionDenied(asked, reasons));
        }
        decision = row.id;
      }
      const promote: Command = {
        type: "registry.promote",
        org,
        actor,
        body: { from: canonical.repository, repository, digest, tags, decision, without },
      };
      const tried = { org, actor, repository, log: request.log };
      const appended = await appendAll(policy === null ? [promote, ...evidence] : [promote], (why) =>
        noteRefusedMove(record, tried, why),
      );
      const { manifests, changed } = promotionResult.parse(appended.results[0]);
      return {
        from: canonical.repository,
        repository,
        digest,
        tags,
        manifests,
        evidence: evidence.length,
        policy,
        decision,
        changed,
        // The promotion's own: it comes before the evidence that goes with it.
        receipt: changed ? (appended.receipts[0] ?? null) : null,
      };
    },
  );

  async function appendAll(commands: readonly Command[], refused?: (refusal: Refusal) => Promise<void>) {
    const appended = await record.append(commands);
    if (appended.ok) return appended;
    await refused?.(appended.refusal);
    throw Problem.fromRefusal(appended.refusal);
  }
}
