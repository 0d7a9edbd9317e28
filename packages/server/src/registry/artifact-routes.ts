import { isDigest, parseDigest } from "@assay/evidence";
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { type Authenticator, requireActor } from "../access/authenticate.ts";
import { authorizeSight } from "../access/authorize.ts";
import { Problem } from "../http/problem.ts";
import type { Reader } from "../storage/database.ts";
import { manifestsWith, placesOf, referrersIn } from "./artifact-queries.ts";
import { tagsOf } from "./queries.ts";

/** Entries of each list in one answer; `…More` says that there are more. */
const SHOWN = 100;

/** Pages read for one list, each of `SHOWN` rows: who may look into few of very many repositories is not shown what lies behind. */
const MOST_PAGES = 100;

const placeShape = {
  repository: z.string(),
  mediaType: z.string(),
  artifactType: z.string().nullable(),
  size: z.int().describe("bytes of the manifest"),
  pushedBy: z.string(),
  pushedAt: z.int().describe("ms since 1970, by the record"),
  sequence: z.int().describe("The record's sequence of the push."),
};

const answer = z.strictObject({
  digest: z.string(),
  places: z
    .array(z.strictObject({ ...placeShape, tags: z.array(z.string()) }))
    .describe("Repositories that hold it as a manifest, with the tags that name it there now."),
  placesMore: z.boolean(),
  partOf: z
    .array(
      z.strictObject({
        ...placeShape,
        digest: z.string(),
        kind: z.enum(["config", "layer", "child", "blob"]),
        tags: z.array(z.string()),
      }),
    )
    .describe("Manifests that name it as their configuration, layer or child."),
  partOfMore: z.boolean(),
  referrers: z.array(z.strictObject({ ...placeShape, digest: z.string() })).describe("Manifests whose subject it is."),
  referrersMore: z.boolean(),
});

/** Where an artifact is in an organisation's registry, under which names, who pushed it, and what refers to it. */
export function registerArtifactRoutes(
  instance: FastifyInstance,
  { reader, authenticator }: { readonly reader: Reader; readonly authenticator: Authenticator },
): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.get(
    "/api/assay/v1/orgs/:org/artifacts/:digest",
    {
      schema: {
        summary: "Where an artifact is",
        description:
          "Repositories and tags, who pushed it when, what it is part of, what refers to it. An artifact that is nowhere here, or nowhere the caller may look, has empty lists.",
        tags: ["artifacts"],
        params: z.object({ org: z.string().min(1).max(64), digest: z.string().refine(isDigest, "not a digest") }),
        response: { 200: answer },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const { org } = request.params;
      const digest = parseDigest(request.params.digest);
      const sight = await authorizeSight(reader, actor, "registry.pull", org);
      if (sight.refusal !== undefined) throw Problem.fromRefusal(sight.refusal);
      const seen = <T extends { readonly repository: string; readonly digest?: string }>(
        ask: (after: { repository: string; digest: string }) => Promise<T[]>,
      ): Promise<T[]> => visible(ask, (repository) => sight.sees(repository));

      const places = await seen((after) => placesOf(reader, org, digest, { after: after.repository, limit: SHOWN }));
      const partOf = await seen((after) => manifestsWith(reader, org, digest, { after, limit: SHOWN }));
      const referrers = await seen((after) => referrersIn(reader, org, digest, { after, limit: SHOWN }));
      const tagged = <T extends { readonly repository: string }>(rows: readonly T[], of: (row: T) => string) =>
        Promise.all(
          rows.slice(0, SHOWN).map(async (row) => ({
            ...row,
            tags: await tagsOf(reader, row.repository, parseDigest(of(row)), SHOWN),
          })),
        );
      return {
        digest,
        places: await tagged(places, () => digest),
        placesMore: places.length > SHOWN,
        partOf: await tagged(partOf, (row) => row.digest),
        partOfMore: partOf.length > SHOWN,
        referrers: referrers.slice(0, SHOWN),
        referrersMore: referrers.length > SHOWN,
      };
    },
  );
}

/**
 * Rows the caller may see, page by page, until there is one more than an answer shows. What they may not see is not counted either:
 * whether there is more is said of what they see.
 */
async function visible<T extends { readonly repository: string; readonly digest?: string }>(
  ask: (after: { repository: string; digest: string }) => Promise<T[]>,
  sees: (repository: string) => boolean,
): Promise<T[]> {
  const found: T[] = [];
  let after = { repository: "", digest: "" };
  for (let page = 0; page < MOST_PAGES && found.length <= SHOWN; page += 1) {
    const rows = await ask(after);
    found.push(...rows.filter(({ repository }) => sees(repository)));
    const last = rows.at(-1);
    if (last === undefined || rows.length < SHOWN) break;
    after = { repository: last.repository, digest: last.digest ?? "" };
  }
  return found;
}
