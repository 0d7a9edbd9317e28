import { ServerError } from "../errors.ts";
import type { RecordClient } from "../record/client.ts";
import type { Actor } from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import { applyResult, RETENTION_STEP } from "./retention-commands.ts";
import { type InUse, PLAN_START, type PlanPlace, planRetention } from "./retention-plan.ts";
import { nextRetentions, type Retention } from "./retention-queries.ts";

/** Who deletes by rule. */
export const RETENTION_ACTOR: Actor = { id: "system:retention", credential: { kind: "system" } };

/** What rules are applied with. */
export interface RetentionContext {
  readonly reader: Reader;
  readonly record: RecordClient;
  readonly inUse: InUse;
}

/** What was deleted, and where a run that was not brought to its end goes on. */
export interface Applied {
  readonly tags: number;
  readonly manifests: number;
  readonly next: PlanPlace | null;
}

/**
 * Applies a repository's rules from a place in it on, step by step, until the end or until `most` things were looked at. It can be
 * interrupted anywhere and begun anew: what is gone is gone, and all else is judged again.
 *
 * @returns undefined when the rules were changed meanwhile.
 */
export async function applyRetention(
  { reader, record, inUse }: RetentionContext,
  { org, repository, rules, version }: Retention,
  { from, most }: { readonly from: PlanPlace; readonly most: number },
): Promise<Applied | undefined> {
  let place: PlanPlace | null = from;
  let looked = 0;
  let tags = 0;
  let manifests = 0;
  while (place !== null && looked < most) {
    const page = { from: place, limit: RETENTION_STEP };
    const { judged, next } = await planRetention(reader, { org, repository, rules, now: Date.now() }, inUse, page);
    const going = judged.filter(({ goes }) => goes);
    if (going.length > 0) {
      const appended = await record.append({
        type: "registry.apply-retention",
        org,
        actor: RETENTION_ACTOR,
        body: {
          repository,
          version,
          tags: going.flatMap(({ tag }) => (tag === null ? [] : [tag])),
          manifests: going.flatMap(({ tag, digest }) => (tag === null ? [digest] : [])),
        },
      });
      if (!appended.ok) {
        if (appended.refusal.code === "retention-changed") return undefined;
        throw new ServerError("internal", `retention of ${repository}: ${appended.refusal.message}`);
      }
      const done = applyResult.parse(appended.results[0]);
      tags += done.tags;
      manifests += done.manifests;
    }
    looked += RETENTION_STEP;
    place = next;
  }
  return { tags, manifests, next: place };
}

/** Repositories whose rules are read at a time. */
const REPOSITORIES = 50;

/** Applies every repository's rules: the work of the job. */
export async function applyAllRetention(context: RetentionContext, renew: () => Promise<void>): Promise<void> {
  for (let last = ""; ; ) {
    const retentions = await nextRetentions(context.reader, last, REPOSITORIES);
    for (const retention of retentions) {
      last = retention.repository;
      if (retention.rules.length === 0) continue;
      let from: PlanPlace | null = PLAN_START;
      while (from !== null) {
        const applied: Applied | undefined = await applyRetention(context, retention, { from, most: 1000 });
        // Changed meanwhile: the next run has the new ones.
        from = applied?.next ?? null;
        await renew();
      }
    }
    if (retentions.length < REPOSITORIES) return;
  }
}
