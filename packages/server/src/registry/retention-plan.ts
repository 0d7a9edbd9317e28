import type { Reader } from "../storage/database.ts";
import { findRepository } from "./repository-queries.ts";
import { DEFAULT_SETTINGS, immutability } from "./repository-settings.ts";
import {
  type DatedTag,
  datedTags,
  lastKept,
  lastPulls,
  type UntaggedManifest,
  untaggedManifests,
} from "./retention-queries.ts";
import { judge, type RetentionRule, ruleOfTag, ruleOfUntagged, type Verdict } from "./retention-rules.ts";

/** What the rules say of one tag (`tag`) or one manifest without a tag (null). */
export interface Judged extends Verdict {
  readonly tag: string | null;
  readonly digest: string;
  /** When the tag was set, or the manifest pushed, ms. */
  readonly time: number;
}

/**
 * Why each of some manifests of a repository must stay whatever its rules say: it runs somewhere, a policy names it. What is not in the
 * answer may go.
 */
export type InUse = (
  org: string,
  repository: string,
  digests: readonly string[],
) => Promise<ReadonlyMap<string, string>>;

/** Which rules are applied to which repository, at which moment. */
export interface RetentionQuestion {
  readonly org: string;
  readonly repository: string;
  readonly rules: readonly RetentionRule[];
  /** ms */
  readonly now: number;
}

/** Judges tags of a repository, each as it is now. */
export async function judgeTags(
  reader: Reader,
  { org, repository, rules, now }: RetentionQuestion,
  inUse: InUse,
  tags: readonly DatedTag[],
): Promise<Judged[]> {
  const digests = [...new Set(tags.map(({ digest }) => digest))];
  const pulls = await lastPulls(reader, repository, digests);
  const used = await inUse(org, repository, digests);
  const settings = (await findRepository(reader, repository))?.settings ?? DEFAULT_SETTINGS;
  const lasts = new Map<string, number>();
  const judged: Judged[] = [];
  for (const { name, digest, sequence, time } of tags) {
    const rule = ruleOfTag(rules, name);
    if (rule?.keepLast !== undefined && !lasts.has(rule.name)) {
      lasts.set(rule.name, await lastKept(reader, repository, rules, rule));
    }
    const last = rule === undefined ? undefined : lasts.get(rule.name);
    const facts = {
      time,
      pulled: pulls.get(digest),
      amongLast: last !== undefined && sequence >= last,
      immutable: immutability(name, settings),
      inUse: used.get(digest),
    };
    judged.push({ tag: name, digest, time, ...judge(rule, facts, now) });
  }
  return judged;
}

/** Judges manifests that no tag names. */
export async function judgeUntagged(
  reader: Reader,
  { org, repository, rules, now }: RetentionQuestion,
  inUse: InUse,
  manifests: readonly UntaggedManifest[],
): Promise<Judged[]> {
  const digests = manifests.map(({ digest }) => digest);
  const pulls = await lastPulls(reader, repository, digests);
  const used = await inUse(org, repository, digests);
  const rule = ruleOfUntagged(rules);
  return manifests.map(({ digest, time }) => {
    const facts = { time, pulled: pulls.get(digest), amongLast: false, immutable: undefined, inUse: used.get(digest) };
    return { tag: null, digest, time, ...judge(rule, facts, now) };
  });
}

/** Where a plan goes on: after a tag, or after a manifest. */
export type PlanPlace = { readonly tag: string } | { readonly manifest: string };

export const PLAN_START: PlanPlace = { tag: "" };

/**
 * A page of what the rules say of a repository: tags by name, then manifests that no tag names by digest. Nothing is changed.
 *
 * @returns `next` null: the plan ends here.
 */
export async function planRetention(
  reader: Reader,
  question: RetentionQuestion,
  inUse: InUse,
  page: { readonly from: PlanPlace; readonly limit: number },
): Promise<{ readonly judged: Judged[]; readonly next: PlanPlace | null }> {
  const { from, limit } = page;
  if ("tag" in from) {
    const tags = await datedTags(reader, question.repository, { last: from.tag, limit });
    const judged = await judgeTags(reader, question, inUse, tags);
    const last = tags.length < limit ? undefined : tags.at(-1);
    if (last !== undefined) return { judged, next: { tag: last.name } };
    return { judged, next: ruleOfUntagged(question.rules) === undefined ? null : { manifest: "" } };
  }
  const { found, next } = await untaggedManifests(reader, question.repository, { last: from.manifest, limit });
  const judged = await judgeUntagged(reader, question, inUse, found);
  return { judged, next: next === null ? null : { manifest: next } };
}
