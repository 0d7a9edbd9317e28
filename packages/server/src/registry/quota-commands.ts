import { z } from "zod";
import { authorize } from "../access/authorize.ts";
import {
  accept,
  type Actor,
  type CommandDefinition,
  type Decided,
  defineCommand,
  type Refusal,
  refuse,
} from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import { currentQuota, quotasOver } from "./quota-queries.ts";
import { quotaScope } from "./quota-scope.ts";
import { foreignRepository, nameHeld } from "./repository-commands.ts";
import { findRepository } from "./repository-queries.ts";

/** How long after a refusal was recorded another of the same scope is not, ms: who fills a repository tries again and again. */
const REFUSED_AGAIN_MS = 60 * 60 * 1000;

const name = z.string().max(255);
const bytes = z.int().nonnegative();

/**
 * Whether somebody may say how much may be held: of a repository its organisation's admins, of an organisation whoever runs the server. That the
 * organisation is theirs to see is asked first: others learn nothing.
 */
export async function authorizeQuota(
  reader: Reader,
  actor: Actor,
  org: string,
  repository: string | undefined,
): Promise<Refusal | undefined> {
  if (repository !== undefined) return await authorize(reader, actor, "org.administer", { org });
  return (
    (await authorize(reader, actor, "org.read", { org })) ??
    (await authorize(reader, actor, "quotas.administer", { org }))
  );
}

/** Why a quota of this may not be set; undefined when it may. A repository need not have anything yet. */
async function refuseScope(reader: Reader, org: string, repository: string | undefined): Promise<Decided | undefined> {
  if (repository === undefined) return undefined;
  const foreign = foreignRepository(org, repository);
  if (foreign !== undefined) return foreign;
  // INVARIANT: a name whose repository ended has no quota: that came back with it, or went along to its new name.
  const known = await findRepository(reader, repository);
  return known?.ended === undefined ? undefined : nameHeld(known);
}

const named = (repository: string | undefined) => (repository === undefined ? {} : { repository });

/** Setting how much may be held, and the trace of what was refused for want of room. */
export const quotaCommands: readonly CommandDefinition[] = [
  defineCommand({
    type: "registry.set-quota",
    body: z.strictObject({ repository: name.optional(), bytes: bytes.nullable() }),
    decide: async (reader, { repository, bytes: limit }, { actor, org }) => {
      const refusal = await authorizeQuota(reader, actor, org, repository);
      if (refusal !== undefined) return { accepted: false, refusal };
      const refused = await refuseScope(reader, org, repository);
      if (refused !== undefined) return refused;
      const current = await currentQuota(reader, quotaScope(org, repository).scope);
      if (current !== undefined && current.bytes === limit) return accept([], { changed: false });
      return accept([{ type: "registry.quota-set", body: { ...named(repository), bytes: limit } }], { changed: true });
    },
  }),
  defineCommand({
    type: "registry.remove-quota",
    body: z.strictObject({ repository: name.optional() }),
    decide: async (reader, { repository }, { actor, org }) => {
      const refusal = await authorizeQuota(reader, actor, org, repository);
      if (refusal !== undefined) return { accepted: false, refusal };
      const refused = await refuseScope(reader, org, repository);
      if (refused !== undefined) return refused;
      const current = await currentQuota(reader, quotaScope(org, repository).scope);
      if (current === undefined) return accept([], { changed: false });
      return accept([{ type: "registry.quota-removed", body: named(repository) }], { changed: true });
    },
  }),
  // After something was refused for want of room: that it was is a fact too, once an hour for each scope.
  defineCommand({
    type: "registry.note-quota-exceeded",
    body: z.strictObject({ repository: name, scope: name, used: bytes, needed: bytes }),
    decide: async (reader, { repository, scope, used, needed }, { actor, org, time }) => {
      const foreign = foreignRepository(org, repository);
      if (foreign !== undefined) return foreign;
      const refusal = await authorize(reader, actor, "registry.push", { org, repository });
      if (refusal !== undefined) return { accepted: false, refusal };
      const quota = (await quotasOver(reader, { org, repository })).find((one) => one.scope === scope);
      if (quota === undefined) return refuse("quota-unknown", `${scope} has no quota`, { status: 404 });
      const recently = quota.refusedTime !== null && quota.refusedTime + REFUSED_AGAIN_MS > time;
      // There may be room by now.
      if (quota.bytes === null || recently || used + needed <= quota.bytes) return accept([], { recorded: false });
      const body = { scope, repository, bytes: quota.bytes, used, needed };
      return accept([{ type: "registry.quota-exceeded", body }], { recorded: true });
    },
  }),
];
