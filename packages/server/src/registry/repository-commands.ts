import { parseDigest } from "@assay/evidence";
import { z } from "zod";
import { authorize } from "../access/authorize.ts";
import {
  accept,
  type CommandDefinition,
  type DecideContext,
  type Decided,
  defineCommand,
  type Refusal,
  refuse,
} from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import {
  countRefusedMoves,
  findRepository,
  type KnownRepository,
  lastOfTag,
  refusedMovesOf,
} from "./repository-queries.ts";
import {
  DEFAULT_SETTINGS,
  immutability,
  type RepositorySettings,
  repositorySettingsSchema,
} from "./repository-settings.ts";
import { DAY_MS } from "./limits.ts";

/** The command's organisation and the repository's must be one: what is authorised is what is written. */
export function foreignRepository(org: string, repository: string): Decided | undefined {
  if (repository.startsWith(`${org}/`)) return undefined;
  return refuse("org-unknown", `${repository} is not a repository of ${org}`, { status: 404 });
}

/** There is no repository of this name, for those who may know. */
export function repositoryUnknown(repository: string): Decided {
  return refuse("repository-unknown", `there is no repository ${repository}`, { status: 404 });
}

/**
 * A name whose repository was deleted or renamed takes nothing: who pulls by it must not get what somebody else puts there. An admin
 * of the organisation opens it again.
 */
export function nameHeld({ name, ended }: Pick<KnownRepository, "name" | "ended">): Decided {
  return refuse("repository-name-held", `${name} was ${ended?.as ?? "deleted"}, and its name is kept`, {
    status: 403,
    hint:
      ended?.as === "renamed"
        ? "push to the name it has now; an admin of the organisation may make a new one of this name (`assay repository create`)"
        : "restore it (`assay repository restore`); an admin of the organisation may make a new one (`assay repository create`)",
  });
}

/** Why a tag may not name a digest, because it names, or was deleted as, another and never moves; undefined when it may. */
export async function movedTag(
  reader: Reader,
  move: { readonly repository: string; readonly tag: string; readonly digest: string },
  settings: RepositorySettings,
): Promise<Refusal | undefined> {
  const why = immutability(move.tag, settings);
  if (why === undefined) return undefined;
  const former = await lastOfTag(reader, move.repository, move.tag);
  if (former === undefined || former.digest === move.digest) return undefined;
  const what = why === "release" ? "release tag" : "immutable tag";
  const names = former.current ? "names" : "was deleted, and named";
  return {
    code: "tag-immutable",
    status: 403,
    message: `${what} ${move.tag} of ${move.repository} ${names} ${former.digest} and never another digest`,
    hint: "push under a new version, or under a tag that may move",
    detail: { tag: move.tag, names: former.digest, refused: move.digest },
  };
}

/** Attempts of one identity to move one tag that are events of their own, until the tag changes; and of one identity in a repository in a day. */
export const REFUSED_MOVES = { perTag: 16, perDay: 200 } as const;

const digest = z
  .string()
  .regex(/^sha256:[0-9a-f]{64}$/)
  .transform((text) => parseDigest(text));

/** Everybody may read what is public: that is the organisation's to say, not a repository's. */
async function mayPublish(
  reader: Reader,
  settings: RepositorySettings,
  before: RepositorySettings,
  { actor, org }: DecideContext,
): Promise<Refusal | undefined> {
  if (settings.visibility !== "public" || before.visibility === "public") return undefined;
  return await authorize(reader, actor, "org.administer", { org });
}

/** What commands on a repository answer: its settings, and since when they hold. */
export const settingsResult = z.strictObject({ settings: repositorySettingsSchema, changed: z.boolean() });

const name = z.string().max(255);

/** Making a repository ahead of time, changing what is said of it, and the trace of what was refused there. */
export const repositoryCommands: readonly CommandDefinition[] = [
  defineCommand({
    type: "registry.create-repository",
    body: z.strictObject({ repository: name, settings: repositorySettingsSchema }),
    decide: async (reader, { repository, settings }, context) => {
      const foreign = foreignRepository(context.org, repository);
      if (foreign !== undefined) return foreign;
      const { actor, org } = context;
      const refusal = await authorize(reader, actor, "registry.manage", { org, repository });
      if (refusal !== undefined) return { accepted: false, refusal };
      const known = await findRepository(reader, repository);
      if (known !== undefined && known.ended === undefined) {
        return refuse("repository-exists", `there is a repository ${repository} already`, {
          hint: "change it, or take another name",
        });
      }
      if (known !== undefined) {
        const held = await authorize(reader, actor, "org.administer", { org });
        if (held !== undefined) return nameHeld(known);
      }
      const unpublished = await mayPublish(reader, settings, DEFAULT_SETTINGS, context);
      if (unpublished !== undefined) return { accepted: false, refusal: unpublished };
      return accept([{ type: "registry.repository-created", body: { repository, settings } }], {
        settings,
        changed: true,
      });
    },
  }),
  defineCommand({
    type: "registry.change-repository",
    body: z.strictObject({ repository: name, changes: repositorySettingsSchema.partial() }),
    decide: async (reader, { repository, changes }, context) => {
      const foreign = foreignRepository(context.org, repository);
      if (foreign !== undefined) return foreign;
      const { actor, org } = context;
      const refusal = await authorize(reader, actor, "registry.manage", { org, repository });
      if (refusal !== undefined) return { accepted: false, refusal };
      const known = await findRepository(reader, repository);
      if (known === undefined || known.ended !== undefined) return repositoryUnknown(repository);
      const settings = repositorySettingsSchema.parse({ ...known.settings, ...changes });
      const unpublished = await mayPublish(reader, settings, known.settings, context);
      if (unpublished !== undefined) return { accepted: false, refusal: unpublished };
      const result = { settings, changed: JSON.stringify(settings) !== JSON.stringify(known.settings) };
      if (!result.changed) return accept([], result);
      return accept([{ type: "registry.repository-changed", body: { repository, settings } }], result);
    },
  }),
  // After a push was refused: that somebody tried is a fact too, once for each digest they tried, until the tag changes.
  defineCommand({
    type: "registry.note-refused-move",
    body: z.strictObject({ repository: name, tag: z.string().max(128), digest }),
    decide: async (reader, body, context) => {
      const { repository, tag, digest: refused } = body;
      const foreign = foreignRepository(context.org, repository);
      if (foreign !== undefined) return foreign;
      const { actor, org } = context;
      const refusal = await authorize(reader, actor, "registry.push", { org, repository });
      if (refusal !== undefined) return { accepted: false, refusal };
      const known = await findRepository(reader, repository);
      const moved = await movedTag(reader, body, known?.settings ?? DEFAULT_SETTINGS);
      const former = await lastOfTag(reader, repository, tag);
      // What was refused a moment ago may be allowed by now: then there is nothing to tell.
      if (moved === undefined || former === undefined) return accept([], { recorded: false });
      const move = { repository, tag, actor: actor.id };
      const tried = await refusedMovesOf(reader, move, former.sequence, REFUSED_MOVES.perTag);
      const since = context.time - DAY_MS;
      const today = await countRefusedMoves(reader, repository, actor.id, since, REFUSED_MOVES.perDay);
      if (tried.includes(refused) || tried.length >= REFUSED_MOVES.perTag || today >= REFUSED_MOVES.perDay) {
        return accept([], { recorded: false });
      }
      return accept([{ type: "registry.tag-move-refused", body: { repository, tag, names: former.digest, refused } }], {
        recorded: true,
      });
    },
  }),
];
