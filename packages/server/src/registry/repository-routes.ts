import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { requireActor } from "../access/authenticate.ts";
import { authorize, authorizeSight } from "../access/authorize.ts";
import { type RoleIn, rolesIn } from "../access/repository-role-queries.ts";
import {
  API,
  append,
  orgParams,
  pageParams,
  pageSchema,
  receiptField,
  roleSchema,
  timeSchema,
} from "../access/wire.ts";
import { pageOf } from "../http/cursor.ts";
import { Problem } from "../http/problem.ts";
import type { Reader } from "../storage/database.ts";
import { repositoryUnknown } from "./repository-commands.ts";
import {
  findRepository,
  type KnownRepository,
  listKnown,
  listRefusedMoves,
  type NewestFirst,
  refusedMoveCount,
  settingHistory,
} from "./repository-queries.ts";
import { DEFAULT_SETTINGS, saidOnly } from "./repository-settings.ts";
import {
  admit,
  nameField,
  newestPage,
  repositoryParams,
  type RepositoryRoutesContext,
  repositorySchema,
  settingsFields,
  settingsSchema,
  showRepository,
  tags,
} from "./repository-wire.ts";

/** Rows read at once, of which somebody may see a part only. */
const SEEN_STEP = 500;

/** People shown with one repository; `whoMore` says that there are others. */
const WHO = 200;

const roleIn = z.strictObject({
  principal: z.string(),
  role: roleSchema,
  through: z.string().nullable().describe("The pattern it was given for; null: in the whole organisation."),
});

const shownSchema = repositorySchema.extend({
  who: z
    .array(roleIn)
    .nullable()
    .describe("Who has a role here: reader pulls, member pushes, admin deletes. null for who may not know."),
  whoMore: z.boolean(),
});

const versionSchema = settingsSchema.extend({
  setBy: z.string(),
  setAt: timeSchema,
  sequence: z.int(),
  until: z.int().nullable().describe("The sequence they held to; null while they hold."),
});

const refusedSchema = z.strictObject({
  tag: z.string(),
  names: z.string().describe("What the tag names, or was deleted as."),
  refused: z.string().describe("What it was to name."),
  actor: z.string(),
  at: timeSchema,
  sequence: z.int(),
  attempts: z.int().describe("How often this identity tried to move this tag in all."),
});

/** @throws Problem 404 `repository-unknown`. */
export async function requireRepository(reader: Reader, repository: string): Promise<KnownRepository> {
  const known = await findRepository(reader, repository);
  if (known !== undefined && known.ended === undefined) return known;
  const unknown = repositoryUnknown(repository);
  if (unknown.accepted) throw new Error("an unknown repository is a refusal");
  throw Problem.fromRefusal(unknown.refusal);
}

/** Repositories that somebody may see of those after a place. What they may not see is passed over, and not counted. */
async function seenRepositories(
  reader: Reader,
  org: string,
  page: NewestFirst,
  sees: (repository: string) => boolean,
): Promise<KnownRepository[]> {
  const seen: KnownRepository[] = [];
  let { before } = page;
  for (;;) {
    const found = await listKnown(reader, org, { ...page, before, limit: SEEN_STEP });
    seen.push(...found.filter(({ name }) => sees(name)));
    before = found.at(-1)?.createdSequence;
    if (seen.length >= page.limit || found.length < SEEN_STEP) return seen.slice(0, page.limit);
  }
}

/** Repositories as things people manage: made, listed, shown, changed, and how they came to be what they are. */
export function registerRepositoryRoutes(instance: FastifyInstance, context: RepositoryRoutesContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { reader, record, authenticator } = context;
  const { description, visibility, immutable, immutableTags, promotionPolicy } = settingsFields;
  const given = {
    description: description.optional(),
    visibility: visibility.optional(),
    immutable: immutable.optional(),
    immutableTags: immutableTags.optional(),
    promotionPolicy: promotionPolicy.optional(),
  };

  app.get(
    `${API}/orgs/:org/repositories`,
    {
      schema: {
        summary: "List an organisation's repositories, the newest first",
        description: "Those the caller may pull from, and no others.",
        tags,
        params: orgParams,
        querystring: pageParams,
        response: { 200: pageSchema(repositorySchema) },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const { org } = request.params;
      const sight = await authorizeSight(reader, actor, "registry.pull", org);
      if (sight.refusal !== undefined) throw Problem.fromRefusal(sight.refusal);
      const { rows, asOf } = await newestPage(reader, request.query, (page) =>
        sight.whole ? listKnown(reader, org, page) : seenRepositories(reader, org, page, (name) => sight.sees(name)),
      );
      const { items, next } = pageOf(rows, request.query.limit, asOf, (row) => row.createdSequence);
      return { items: items.map(showRepository), next };
    },
  );

  app.post(
    `${API}/orgs/:org/repositories`,
    {
      schema: {
        summary: "Make a repository ahead of its first push",
        description:
          "For admins of the organisation, or of repositories of such a name. A public one, or one of a name that a deleted or renamed repository had, for admins of the organisation.",
        tags,
        params: orgParams,
        body: z.strictObject({ name: nameField, ...given }),
        response: { 201: repositorySchema.extend({ receipt: receiptField }) },
      },
    },
    async (request, reply) => {
      const { name, ...said } = request.body;
      const asked = await admit(context, request, "registry.manage", { org: request.params.org, name });
      const { actor, org, repository } = asked;
      const settings = { ...DEFAULT_SETTINGS, ...saidOnly(said) };
      const appended = await append(record, {
        type: "registry.create-repository",
        org,
        actor,
        body: { repository, settings },
      });
      const known = await requireRepository(reader, repository);
      return await reply.code(201).send({ ...showRepository(known), receipt: appended.receipts[0] ?? null });
    },
  );

  app.get(
    `${API}/orgs/:org/repositories/:name`,
    {
      schema: {
        summary: "One repository: what is said of it, and who may what there",
        tags,
        params: repositoryParams,
        response: { 200: shownSchema },
      },
    },
    async (request) => {
      const { actor, org, repository } = await admit(context, request, "registry.pull", request.params);
      const known = await requireRepository(reader, repository);
      const mayKnow = (await authorize(reader, actor, "org.read", { org })) === undefined;
      const who: RoleIn[] = mayKnow ? await rolesIn(reader, org, repository, WHO + 1) : [];
      return { ...showRepository(known), who: mayKnow ? who.slice(0, WHO) : null, whoMore: who.length > WHO };
    },
  );

  app.patch(
    `${API}/orgs/:org/repositories/:name`,
    {
      schema: {
        summary: "Change what is said of a repository; what is not named stays",
        description:
          "For admins of the organisation or of the repository; to make it public, of the organisation. Release tags never move, whatever is said.",
        tags,
        params: repositoryParams,
        body: z.strictObject(given),
        response: { 200: repositorySchema.extend({ receipt: receiptField }) },
      },
    },
    async (request) => {
      const { actor, org, repository } = await admit(context, request, "registry.manage", request.params);
      const appended = await append(record, {
        type: "registry.change-repository",
        org,
        actor,
        body: { repository, changes: saidOnly(request.body) },
      });
      const known = await requireRepository(reader, repository);
      return { ...showRepository(known), receipt: appended.receipts[0] ?? null };
    },
  );

  app.get(
    `${API}/orgs/:org/repositories/:name/history`,
    {
      schema: {
        summary: "How a repository's settings came to be what they are, the newest first",
        tags,
        params: repositoryParams,
        querystring: pageParams,
        response: { 200: pageSchema(versionSchema) },
      },
    },
    async (request) => {
      const { repository } = await admit(context, request, "registry.pull", request.params);
      await requireRepository(reader, repository);
      const { rows, asOf } = await newestPage(reader, request.query, (page) =>
        settingHistory(reader, repository, page),
      );
      const { items, next } = pageOf(rows, request.query.limit, asOf, (row) => row.sequence);
      return { items: items.map(({ by, time, ...row }) => ({ ...row, setBy: by, setAt: time })), next };
    },
  );

  app.get(
    `${API}/orgs/:org/repositories/:name/refused-moves`,
    {
      schema: {
        summary: "Attempts to move tags that never move, the newest first",
        tags,
        params: repositoryParams,
        querystring: pageParams,
        response: { 200: pageSchema(refusedSchema) },
      },
    },
    async (request) => {
      const { repository } = await admit(context, request, "registry.pull", request.params);
      await requireRepository(reader, repository);
      const { rows, asOf } = await newestPage(reader, request.query, (page) =>
        listRefusedMoves(reader, repository, page),
      );
      const { items, next } = pageOf(rows, request.query.limit, asOf, (row) => row.sequence);
      const shown = items.map(async ({ tag, names, digest, actor, time, sequence }) => ({
        tag,
        names,
        refused: digest,
        actor,
        at: time,
        sequence,
        attempts: await refusedMoveCount(reader, { repository, tag, actor }),
      }));
      return { items: await Promise.all(shown), next };
    },
  );
}
