import { isDigest, parseDigest } from "@assay/evidence";
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { requireActor } from "../access/authenticate.ts";
import { authorize, authorizeSight } from "../access/authorize.ts";
import { API, append, orgParams, pageParams, pageSchema, receiptField, timeSchema } from "../access/wire.ts";
import { pageOf } from "../http/cursor.ts";
import { Problem } from "../http/problem.ts";
import type { Command } from "../record/command.ts";
import type { BlobStore } from "../storage/blobs.ts";
import type { Reader } from "../storage/database.ts";
import { deletionUnknown, REASON, reasonSchema } from "./deletion-commands.ts";
import { bytesOfDeleted, type DeletionRow, findDeletion, listDeletions } from "./deletion-queries.ts";
import {
  admit,
  nameField,
  newestPage,
  repositoryParams,
  type RepositoryRoutesContext,
  tags,
  wholeName,
} from "./repository-wire.ts";
import { isTag } from "./tag-rules.ts";

/** What the routes about what is deleted stand on. */
export interface DeletionRoutesContext extends RepositoryRoutesContext {
  readonly blobs: Pick<BlobStore, "size">;
  /** How long what was deleted can come back, ms. */
  readonly graceMs: number;
  /** ms since 1970. */
  readonly now: () => number;
}

/** Rows read at once. */
const STEP = 500;

/** Blobs looked for before a deletion comes back: of a larger one these, and the background scrub finds what else is missing. */
const LOOKED_FOR = 10_000;

const reasonField = reasonSchema.describe(`Why: at least ${REASON.least} characters. It is recorded.`);
const deletedSchema = z.strictObject({
  sequence: z.int().describe("The event that deleted it: by this it is restored."),
  repository: z.string(),
  kind: z.enum(["tag", "manifest", "repository"]),
  tag: z.string().nullable(),
  digest: z.string().nullable().describe("The manifest, or what the tag named; null for a whole repository."),
  reason: z.string().nullable(),
  actor: z.string(),
  at: timeSchema,
  until: timeSchema.describe("Until then it can come back."),
});

/** Deletions somebody may see of those after a place. What they may not see is passed over, and not counted. */
async function seenDeletions(
  reader: Reader,
  org: string,
  since: number,
  page: Parameters<typeof listDeletions>[3],
  sees: (repository: string) => boolean,
): Promise<DeletionRow[]> {
  const seen: DeletionRow[] = [];
  let { before } = page;
  for (;;) {
    const found = await listDeletions(reader, org, since, { ...page, before, limit: STEP });
    seen.push(...found.filter(({ repository }) => sees(repository)));
    before = found.at(-1)?.sequence;
    if (seen.length >= page.limit || found.length < STEP) return seen.slice(0, page.limit);
  }
}

/** Deleting with a reason, the list of what is deleted, and bringing it back. */
export function registerDeletionRoutes(instance: FastifyInstance, context: DeletionRoutesContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { reader, record, authenticator, graceMs } = context;
  const show = (row: DeletionRow): z.output<typeof deletedSchema> => ({
    sequence: row.sequence,
    repository: row.repository,
    kind: row.kind,
    tag: row.tag,
    digest: row.digest,
    reason: row.reason,
    actor: row.actor,
    at: row.time,
    until: row.time + graceMs,
  });

  app.post(
    `${API}/orgs/:org/repositories/:name/deletions`,
    {
      schema: {
        summary: "Delete a tag, a manifest, or the whole repository",
        description:
          "A tag, or a manifest with its tags, for admins of the repository. A manifest that has evidence or runs somewhere, and a whole repository, with a reason, for admins of the organisation. All of it can come back for a while.",
        tags,
        params: repositoryParams,
        body: z.union([
          z.strictObject({ tag: z.string().refine(isTag, "not a tag"), reason: reasonField.optional() }),
          z.strictObject({ digest: z.string().refine(isDigest, "not a digest"), reason: reasonField.optional() }),
          z.strictObject({ whole: z.literal(true), reason: reasonField }),
        ]),
        response: { 200: deletedSchema.extend({ receipt: receiptField }) },
      },
    },
    async (request) => {
      const { body } = request;
      const action = "whole" in body ? "org.administer" : "registry.delete";
      const { actor, org, repository } = await admit(context, request, action, request.params);
      const why = body.reason === undefined ? {} : { reason: body.reason };
      const on = { org, actor };
      const command: Command =
        "tag" in body
          ? { type: "registry.delete-tag", ...on, body: { repository, tag: body.tag, ...why } }
          : "digest" in body
            ? { type: "registry.delete-manifest", ...on, body: { repository, digest: body.digest, ...why } }
            : { type: "registry.delete-repository", ...on, body: { repository, ...why } };
      const appended = await append(record, command);
      const receipt = appended.receipts[0];
      const gone = receipt && (await findDeletion(reader, receipt.sequence));
      if (receipt === undefined || gone === undefined) throw new Error("a deletion is an event");
      // What was uploaded there for a manifest to come is no fact: it goes with the repository.
      if ("whole" in body) await record.operate("registry.drop-leases", { repository });
      return { ...show(gone), receipt };
    },
  );

  app.get(
    `${API}/orgs/:org/deletions`,
    {
      schema: {
        summary: "List what was deleted and can come back, the newest first",
        description: "Of repositories the caller may pull from.",
        tags,
        params: orgParams,
        querystring: pageParams.extend({ repository: nameField.optional() }),
        response: { 200: pageSchema(deletedSchema) },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const { org } = request.params;
      const sight = await authorizeSight(reader, actor, "registry.pull", org);
      if (sight.refusal !== undefined) throw Problem.fromRefusal(sight.refusal);
      const named = request.query.repository;
      const repository = named === undefined ? undefined : (wholeName(org, named) ?? "");
      const since = context.now() - graceMs;
      const { rows, asOf } = await newestPage(reader, request.query, (page) =>
        seenDeletions(reader, org, since, { ...page, repository }, (name) => sight.sees(name)),
      );
      const { items, next } = pageOf(rows, request.query.limit, asOf, (row) => row.sequence);
      return { items: items.map(show), next };
    },
  );

  /** @throws Problem 409 when bytes that a deletion needs are gone. */
  async function requireBytes(gone: DeletionRow): Promise<void> {
    let last = "";
    for (let looked = 0; looked < LOOKED_FOR; looked += STEP) {
      const digests = await bytesOfDeleted(reader, gone, { last, limit: STEP });
      for (const digest of digests) {
        if ((await context.blobs.size(parseDigest(digest))) === undefined) {
          throw new Problem(409, "deletion-final", `the bytes of ${digest} are gone: it cannot come back`, {
            hint: "push it again; a tag that never moves returns with its former digest only",
          });
        }
      }
      last = digests.at(-1) ?? "";
      if (digests.length < STEP) return;
    }
  }

  app.post(
    `${API}/orgs/:org/deletions/:sequence/restore`,
    {
      schema: {
        summary: "Bring back what an event deleted, as it was",
        description:
          "A manifest with the tags that were deleted with it, but for those that name something else by now. For who may delete it; a whole repository for admins of the organisation.",
        tags,
        params: orgParams.extend({ sequence: z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER) }),
        response: {
          200: z.strictObject({ repository: z.string(), deletion: z.int(), receipt: receiptField }),
        },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const { org, sequence } = request.params;
      const found = await findDeletion(reader, sequence);
      const gone = found?.org === org ? found : undefined;
      // Not there, another's, and of a repository that is not theirs to see are one answer.
      const target = { org, repository: gone?.repository };
      const refusal = await authorize(reader, actor, "registry.delete", target);
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      if (gone === undefined) {
        const unknown = deletionUnknown(sequence);
        if (unknown.accepted) throw new Error("an unknown deletion is a refusal");
        throw Problem.fromRefusal(unknown.refusal);
      }
      if (gone.restored_seq === null && gone.time + graceMs > context.now()) await requireBytes(gone);
      const body = { deletion: sequence, graceMs };
      const appended = await append(record, { type: "registry.restore", org, actor, body });
      return { repository: gone.repository, deletion: sequence, receipt: appended.receipts[0] ?? null };
    },
  );
}
