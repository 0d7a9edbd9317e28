import { parseDigest } from "@assay/evidence";
import { z } from "zod";
import { authorize } from "../access/authorize.ts";
import {
  accept,
  type CommandDefinition,
  type DecideContext,
  type Decided,
  defineCommand,
  type NewEvent,
  type Refusal,
  refuse,
} from "../record/command.ts";
import { collectedSince } from "../collection/generation.ts";
import type { Reader } from "../storage/database.ts";
import { bytesOfDeleted, type DeletionRow, findDeletion, tagsDeletedWith } from "./deletion-queries.ts";
import { REGISTRY_LIMITS } from "./limits.ts";
import { findManifest, resolveTag, tagsOf } from "./queries.ts";
import { contentOfDeleted } from "./quota-queries.ts";
import { roomFor } from "./quota-rule.ts";
import { foreignRepository, movedTag, nameHeld, repositoryUnknown } from "./repository-commands.ts";
import { findRepository, type KnownRepository } from "./repository-queries.ts";
import { isTag } from "./tag-rules.ts";

/**
 * What speaks against deleting a manifest. The registry is below the rooms that know: composition fills these, and each is asked inside the
 * appending transaction.
 */
export interface DeletionHolds {
  /** Whether the organisation has evidence about it. */
  hasEvidence(reader: Reader, org: string, digest: string): Promise<boolean>;
  /** Names of environments in which it runs now. */
  runsIn(reader: Reader, org: string, digest: string): Promise<readonly string[]>;
}

/** Characters of a reason. */
export const REASON = { least: 3, most: 1000 } as const;

export const reasonSchema = z.string().trim().min(REASON.least).max(REASON.most);

const digest = z
  .string()
  .regex(/^sha256:[0-9a-f]{64}$/)
  .transform((text) => parseDigest(text));
const repository = z.string();
const reason = reasonSchema.optional();

/** Why this actor may not delete in this repository; undefined when they may. */
async function refuseDeleting(reader: Reader, name: string, context: DecideContext): Promise<Decided | undefined> {
  const foreign = foreignRepository(context.org, name);
  if (foreign !== undefined) return foreign;
  const target = { org: context.org, repository: name };
  const refusal = await authorize(reader, context.actor, "registry.delete", target);
  return refusal === undefined ? undefined : { accepted: false, refusal };
}

const saying = (why: string | undefined) => (why === undefined ? {} : { reason: why });

/** What speaks against deleting a manifest without a word; undefined: nothing does. */
async function heldBy(
  reader: Reader,
  holds: DeletionHolds,
  org: string,
  digest: string,
): Promise<{ readonly environments: readonly string[]; readonly evidence: boolean } | undefined> {
  const environments = await holds.runsIn(reader, org, digest);
  const evidence = await holds.hasEvidence(reader, org, digest);
  return environments.length === 0 && !evidence ? undefined : { environments, evidence };
}

/** Why a manifest that has evidence, or runs somewhere, is not deleted so; undefined when nothing holds it, or who may says why. */
async function refuseHeld(
  reader: Reader,
  holds: DeletionHolds,
  gone: { readonly repository: string; readonly digest: string; readonly reason?: string | undefined },
  { actor, org }: DecideContext,
): Promise<Refusal | undefined> {
  const held = await heldBy(reader, holds, org, gone.digest);
  if (held === undefined) return undefined;
  const { environments, evidence } = held;
  const [first, ...others] = environments;
  const runs =
    first === undefined ? [] : [`runs in ${first}${others.length === 0 ? "" : ` and ${others.length} more`}`];
  const why = [...runs, ...(evidence ? ["has evidence"] : [])].join(" and ");
  if (gone.reason === undefined) {
    return {
      code: "deletion-needs-reason",
      status: 403,
      message: `${gone.digest} ${why}: it is deleted by an admin of the organisation, with a reason`,
      hint: `assay repository delete ${gone.repository.slice(org.length + 1)}@${gone.digest} --reason "…"`,
      detail: { digest: gone.digest, evidence, environments: environments.slice(0, 20) },
    };
  }
  return await authorize(reader, actor, "org.administer", { org });
}

/** The event that brings a deletion back; or why there is none. */
type Return = { readonly event: NewEvent } | Decided;

async function bringTagBack(reader: Reader, gone: DeletionRow, place: KnownRepository): Promise<Return> {
  const [tag, named] = [gone.tag ?? "", parseDigest(gone.digest ?? "")];
  const current = await resolveTag(reader, gone.repository, tag);
  if (current !== undefined) {
    return refuse("tag-taken", `the tag ${tag} of ${gone.repository} names ${current.digest} now`, {
      hint: "delete it first, or let it be",
    });
  }
  if ((await findManifest(reader, gone.repository, named)) === undefined) {
    return refuse("manifest-unknown", `${gone.repository} has ${named} no more, which the tag ${tag} named`, {
      status: 409,
      hint: "restore the manifest first: it brings the tags back that were deleted with it",
    });
  }
  const moved = await movedTag(reader, { repository: gone.repository, tag, digest: named }, place.settings);
  return moved === undefined ? { event: restored(gone, [tag]) } : { accepted: false, refusal: moved };
}

async function bringManifestBack(reader: Reader, gone: DeletionRow, place: KnownRepository): Promise<Return> {
  const named = parseDigest(gone.digest ?? "");
  const here = await findManifest(reader, gone.repository, named);
  if (here !== undefined) return refuse("manifest-exists", `${gone.digest} is in ${gone.repository} again already`);
  const tags: string[] = [];
  for (const tag of await tagsDeletedWith(reader, gone)) {
    // What names something else by now goes on naming it, and what named something else since and never moves stays deleted.
    if ((await resolveTag(reader, gone.repository, tag)) !== undefined) continue;
    const moved = await movedTag(reader, { repository: gone.repository, tag, digest: named }, place.settings);
    if (moved === undefined) tags.push(tag);
  }
  return { event: restored(gone, tags) };
}

/** Digests asked about at once. */
const STEP = 500;

/**
 * What of a deletion was collected since: the time of grace may have been shorter meanwhile. Bytes that came again after that were put there
 * for somebody else, who may let them go again: this deletion's are gone.
 */
async function collectedOf(reader: Reader, gone: DeletionRow): Promise<string | undefined> {
  for (let last = ""; ; ) {
    const digests = await bytesOfDeleted(reader, gone, { last, limit: STEP });
    const lost = await collectedSince(reader, digests, gone.sequence);
    if (lost !== undefined || digests.length < STEP) return lost;
    last = digests.at(-1) ?? "";
  }
}

/** What comes back counts again. A whole repository's own quota comes back with it, and holds for what is pushed from then on. */
async function withRoom(reader: Reader, gone: DeletionRow, event: NewEvent): Promise<Decided> {
  const { org, repository: place } = gone;
  const room = await roomFor(reader, { org, repository: place }, () => contentOfDeleted(reader, gone));
  return "refusal" in room ? { accepted: false, refusal: room.refusal } : accept([event, ...room.events]);
}

function restored(
  { sequence, repository: name, rows_in: place, kind, digest: named }: DeletionRow,
  tags: string[],
): NewEvent {
  return {
    type: "registry.restored",
    body: { repository: name, deletion: sequence, place, kind, digest: named, tags },
  };
}

/** Deleting, with a reason where something speaks against it; and bringing back what was deleted. */
export function deletionCommands(holds: DeletionHolds): readonly CommandDefinition[] {
  return [
    defineCommand({
      type: "registry.delete-tag",
      body: z.strictObject({ repository, tag: z.string().refine(isTag, "not a tag"), reason }),
      decide: async (reader, body, context) => {
        const refused = await refuseDeleting(reader, body.repository, context);
        if (refused !== undefined) return refused;
        const current = await resolveTag(reader, body.repository, body.tag);
        if (current === undefined) {
          return refuse("manifest-unknown", `${body.repository} has no tag ${body.tag}`, { status: 404 });
        }
        // The row stays, ended: a tag that never moves may return with this digest only.
        const gone = { repository: body.repository, tag: body.tag, digest: current.digest, ...saying(body.reason) };
        return accept([{ type: "registry.tag-deleted", body: gone }]);
      },
    }),
    defineCommand({
      type: "registry.delete-manifest",
      body: z.strictObject({ repository, digest, reason }),
      decide: async (reader, body, context) => {
        const refused = await refuseDeleting(reader, body.repository, context);
        if (refused !== undefined) return refused;
        const known = await findManifest(reader, body.repository, body.digest);
        if (known === undefined) {
          return refuse("manifest-unknown", `${body.repository} has no manifest ${body.digest}`, { status: 404 });
        }
        const held = await refuseHeld(reader, holds, body, context);
        if (held !== undefined) return { accepted: false, refusal: held };
        // An index that lists it does not hold it back (OCI distribution 1.1, "Deleting Manifests"): the index then has a gap.
        const most = REGISTRY_LIMITS.tagsPerDeletion;
        const tags = await tagsOf(reader, body.repository, body.digest, most + 1);
        if (tags.length > most) {
          return refuse("tags-too-many", `${body.digest} has more than ${most} tags in ${body.repository}`, {
            hint: "delete tags of it first: those that are left are deleted with it",
          });
        }
        const gone = { repository: body.repository, digest: body.digest, tags, ...saying(body.reason) };
        return accept([{ type: "registry.manifest-deleted", body: gone }]);
      },
    }),
    defineCommand({
      type: "registry.delete-repository",
      body: z.strictObject({ repository, reason: reasonSchema }),
      decide: async (reader, { repository: name, reason: why }, context) => {
        const foreign = foreignRepository(context.org, name);
        if (foreign !== undefined) return foreign;
        // Everything in it goes, evidence or not: that is the organisation's to say.
        const refusal = await authorize(reader, context.actor, "org.administer", { org: context.org });
        if (refusal !== undefined) return { accepted: false, refusal };
        const known = await findRepository(reader, name);
        if (known === undefined || known.ended !== undefined) return repositoryUnknown(name);
        return accept([{ type: "registry.repository-deleted", body: { repository: name, reason: why } }]);
      },
    }),
    defineCommand({
      type: "registry.restore",
      body: z.strictObject({
        deletion: z.int().nonnegative(),
        /** How long what was deleted can come back, ms: the server's setting. */
        graceMs: z.int().nonnegative(),
      }),
      decide: async (reader, { deletion, graceMs }, { actor, org, time }) => {
        const gone = await findDeletion(reader, deletion);
        const known = gone?.org === org ? gone : undefined;
        const [action, target] =
          known === undefined || known.kind === "repository"
            ? (["org.administer", { org }] as const)
            : (["registry.delete", { org, repository: known.repository }] as const);
        const refusal = await authorize(reader, actor, action, target);
        if (refusal !== undefined) return { accepted: false, refusal };
        if (known === undefined) return deletionUnknown(deletion);
        // Who may not delete it does not undo that somebody who may did.
        if (known.kind === "manifest" && (await heldBy(reader, holds, org, known.digest ?? "")) !== undefined) {
          const undone = await authorize(reader, actor, "org.administer", { org });
          if (undone !== undefined) return { accepted: false, refusal: undone };
        }
        if (known.restored_seq !== null) {
          return refuse("deletion-restored", `event ${known.restored_seq} brought it back already`);
        }
        if (known.time + graceMs <= time) {
          return refuse("deletion-final", "the time in which it could come back is over: its bytes may be gone", {
            hint: "push it again; a tag that never moves returns with its former digest only",
          });
        }
        const lost = await collectedOf(reader, known);
        if (lost !== undefined) {
          return refuse("deletion-final", `the bytes of ${lost} were collected: it cannot come back`, {
            hint: "push it again; a tag that never moves returns with its former digest only",
          });
        }
        const place = await findRepository(reader, known.repository);
        if (known.kind === "repository") {
          if (place?.ended?.sequence === deletion) return await withRoom(reader, known, restored(known, []));
          return refuse("repository-exists", `another repository has the name ${known.repository} by now`);
        }
        if (place === undefined || place.ended !== undefined) {
          return nameHeld(place ?? { name: known.repository, ended: undefined });
        }
        const bring = known.kind === "tag" ? bringTagBack : bringManifestBack;
        const back = await bring(reader, known, place);
        return "event" in back ? await withRoom(reader, known, back.event) : back;
      },
    }),
  ];
}

/** The one answer for a deletion that is not there and for one that is not yours. */
export function deletionUnknown(sequence: number): Decided {
  return refuse("deletion-unknown", `event ${sequence} deleted nothing that you may restore`, { status: 404 });
}
