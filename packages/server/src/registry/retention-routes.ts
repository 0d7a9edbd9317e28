import type { FastifyInstance, FastifyRequest } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { type Authenticator, requireActor } from "../access/authenticate.ts";
import { authorize } from "../access/authorize.ts";
import { canonicalRepository } from "../access/names.ts";
import { orgParams } from "../access/wire.ts";
import { Problem } from "../http/problem.ts";
import { receiptSchema } from "../http/receipt.ts";
import type { Actor } from "../record/command.ts";
import { planRetention, PLAN_START, type PlanPlace } from "./retention-plan.ts";
import { currentRetention, type Retention } from "./retention-queries.ts";
import { retentionRulesSchema } from "./retention-rules.ts";
import { applyRetention, type RetentionContext } from "./retention-run.ts";

/** What the routes of retention need. */
export interface RetentionRoutesContext extends RetentionContext {
  readonly authenticator: Authenticator;
}

const API = "/api/assay/v1/orgs/:org/retention";

/** Tags and manifests one request looks at. */
const MOST = 1000;

const repository = z
  .string()
  .min(1)
  .max(255)
  .describe('The repository: "app", or whole, "org/app". It need not have anything yet.');

const retentionSchema = z.strictObject({
  repository: z.string(),
  version: z.int().describe("0: none were ever set."),
  rules: retentionRulesSchema,
  setBy: z.string().nullable(),
  set: z.int().nullable().describe("ms since the epoch"),
});

const placeField = z.string().max(256).nullable().describe("Send it as `from` to go on; null at the end.");

const tags = ["retention"];

function shown(name: string, retention: Retention | undefined): z.output<typeof retentionSchema> {
  return {
    repository: name,
    version: retention?.version ?? 0,
    rules: retention?.rules ?? [],
    setBy: retention?.setBy ?? null,
    set: retention?.setTime ?? null,
  };
}

/** A place as clients carry it. */
function placeText(place: PlanPlace | null): string | null {
  if (place === null) return null;
  return "tag" in place ? `tag ${place.tag}` : `manifest ${place.manifest}`;
}

const fromField = z
  .string()
  .max(256)
  .regex(/^(?:tag|manifest) .*$/)
  .transform((text): PlanPlace => {
    const name = text.slice(text.indexOf(" ") + 1);
    return text.startsWith("tag ") ? { tag: name } : { manifest: name };
  })
  .optional()
  .describe("`next` of the answer before.");

/** What goes from a repository by itself: its rules, what they would do, and a run now. */
export function registerRetentionRoutes(instance: FastifyInstance, context: RetentionRoutesContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { reader, record, authenticator, inUse } = context;

  async function administrator(request: FastifyRequest, org: string): Promise<Actor> {
    const actor = await requireActor(authenticator, request);
    const refusal = await authorize(reader, actor, "org.administer", { org });
    if (refusal !== undefined) throw Problem.fromRefusal(refusal);
    return actor;
  }

  function whole(org: string, name: string): string {
    const canonical = canonicalRepository(name, org);
    if (canonical?.org === org) return canonical.repository;
    throw new Problem(400, "repository-invalid", `${JSON.stringify(name)} is not the name of a repository of ${org}`, {
      hint: `write it as ${org}/<name>`,
    });
  }

  app.get(
    API,
    {
      schema: {
        summary: "The retention rules of a repository",
        description: "For admins of the organisation.",
        tags,
        params: orgParams,
        querystring: z.object({ repository }),
        response: { 200: retentionSchema },
      },
    },
    async (request) => {
      const { org } = request.params;
      await administrator(request, org);
      const name = whole(org, request.query.repository);
      return shown(name, await currentRetention(reader, name));
    },
  );

  app.put(
    API,
    {
      schema: {
        summary: "Set the retention rules of a repository",
        description:
          "They are applied once a day, and when you ask. Look first at what they would do: /retention/preview takes rules that are not set. No rules: nothing goes. For admins of the organisation.",
        tags,
        params: orgParams,
        body: z.strictObject({ repository, rules: retentionRulesSchema }),
        response: { 200: retentionSchema.extend({ receipt: receiptSchema.nullable() }) },
      },
    },
    async (request) => {
      const { org } = request.params;
      const actor = await administrator(request, org);
      const name = whole(org, request.body.repository);
      const body = { repository: name, rules: JSON.parse(JSON.stringify(request.body.rules)) as [] };
      const appended = await record.append({ type: "registry.set-retention", org, actor, body });
      if (!appended.ok) throw Problem.fromRefusal(appended.refusal);
      return { ...shown(name, await currentRetention(reader, name)), receipt: appended.receipts[0] ?? null };
    },
  );

  app.post(
    `${API}/preview`,
    {
      schema: {
        summary: "What rules would delete from a repository, and what they would leave, each with the reason",
        description: "Nothing is changed. For admins of the organisation.",
        tags,
        params: orgParams,
        body: z.strictObject({
          repository,
          rules: retentionRulesSchema.optional().describe("Absent: those that are set."),
          from: fromField,
          limit: z.int().min(1).max(MOST).default(MOST),
        }),
        response: {
          200: z.strictObject({
            items: z.array(
              z.strictObject({
                tag: z.string().nullable().describe("Null: a manifest that no tag names."),
                digest: z.string(),
                goes: z.boolean(),
                rule: z.string().nullable().describe("The rule that is about it; null: none is, and it stays."),
                why: z.string(),
                time: z.int().describe("When the tag was set, or the manifest pushed, ms since the epoch."),
              }),
            ),
            next: placeField,
          }),
        },
      },
    },
    async (request) => {
      const { org } = request.params;
      await administrator(request, org);
      const { rules, from = PLAN_START, limit } = request.body;
      const name = whole(org, request.body.repository);
      const applied = rules ?? (await currentRetention(reader, name))?.rules ?? [];
      const question = { org, repository: name, rules: applied, now: Date.now() };
      const { judged, next } = await planRetention(reader, question, inUse, { from, limit });
      return { items: judged, next: placeText(next) };
    },
  );

  app.post(
    `${API}/run`,
    {
      schema: {
        summary: "Apply a repository's retention rules now",
        description: `Looks at up to ${MOST} tags or manifests; send \`next\` as \`from\` to go on. Each deletion is recorded with its rule, and can be taken back for a while. For admins of the organisation.`,
        tags,
        params: orgParams,
        body: z.strictObject({
          repository,
          version: z.int().positive().describe("Of the rules, so that nobody applies others than they looked at."),
          from: fromField,
        }),
        response: {
          200: z.strictObject({ tags: z.int(), manifests: z.int(), next: placeField }),
        },
      },
    },
    async (request) => {
      const { org } = request.params;
      await administrator(request, org);
      const { version, from = PLAN_START } = request.body;
      const name = whole(org, request.body.repository);
      const retention = await currentRetention(reader, name);
      const applied =
        retention?.version === version ? await applyRetention(context, retention, { from, most: MOST }) : undefined;
      if (applied === undefined) {
        throw new Problem(409, "retention-changed", `version ${version} is not that of the rules of ${name} now`, {
          hint: "look at what they would do now, and run them again",
        });
      }
      return { tags: applied.tags, manifests: applied.manifests, next: placeText(applied.next) };
    },
  );
}
