import type { Reader } from "../storage/database.ts";
import { findManifests } from "./queries.ts";
import { findRepository } from "./repository-queries.ts";
import { DEFAULT_SETTINGS, immutability } from "./repository-settings.ts";
import {
  type DatedTag,
  datedTags,
  lastKept,
  lastPulls,
  nextManifests,
  standsApart,
  tagsNaming,
  type UntaggedManifest,
} from "./retention-queries.ts";
import { judge, type RetentionRule, ruleOfTag, ruleOfUntagged, type Verdict } from "./retention-rules.ts";
import { evidenceTagSubject } from "./tag-rules.ts";

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

/** Of tags that clients keep evidence under: those whose subject is in the repository, by name, and why they stay. */
async function besideTheirSubject(
  reader: Reader,
  repository: string,
  tags: readonly DatedTag[],
): Promise<ReadonlyMap<string, string>> {
  const subjects = new Map<string, string>();
  for (const { name } of tags) {
    const subject = evidenceTagSubject(name);
    if (subject !== undefined) subjects.set(name, subject);
  }
  const here = await findManifests(reader, repository, [...new Set(subjects.values())]);
  const beside = [...subjects].filter(([, subject]) => here.has(subject));
  return new Map(beside.map(([name, subject]) => [name, `it is evidence about ${subject}, which is here`]));
}

/**
 * Judges tags of a repository, each as it is now. What lies under an evidence tag goes after what it is about, and never before: without it
 * a client finds an artifact that stays unsigned.
 */
export async function judgeTags(
  reader: Reader,
  { org, repository, rules, now }: RetentionQuestion,
  inUse: InUse,
  tags: readonly DatedTag[],
): Promise<Judged[]> {
  const digests = [...new Set(tags.map(({ digest }) => digest))];
  const pulls = await lastPulls(reader, repository, digests);
  const used = await inUse(org, repository, digests);
  const beside = await besideTheirSubject(reader, repository, tags);
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
      // They come with what they are about, and take nobody's place among the newest.
      amongLast: last !== undefined && sequence >= last && evidenceTagSubject(name) === undefined,
      immutable: immutability(name, settings),
      inUse: used.get(digest) ?? beside.get(name),
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

/** Tags of one manifest that are judged together with it; what more tags name is judged when they are gone. */
const NAMING_MOST = 100;

export const PLAN_START: PlanPlace = { tag: "" };

/**
 * A page of what the rules say of a repository: tags by name, then by digest manifests that no tag names, or none that
 * stays. Nothing is changed.
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
  const { repository } = question;
  const manifests = await nextManifests(reader, repository, { last: from.manifest, limit });
  // Before a run there are tags that go by it, and with them what only they name: a plan says so, so that it is what the run does.
  const named = new Set<string>();
  const tags: DatedTag[] = [];
  for (const { digest } of manifests) {
    const naming = await tagsNaming(reader, repository, digest, NAMING_MOST + 1);
    if (naming.length > NAMING_MOST) named.add(digest);
    else tags.push(...naming);
  }
  for (const { goes, digest } of await judgeTags(reader, question, inUse, tags)) if (!goes) named.add(digest);
  const found: UntaggedManifest[] = [];
  for (const { digest, subject, time } of manifests) {
    if (named.has(digest) || !(await standsApart(reader, repository, digest, subject))) continue;
    found.push({ digest, time });
  }
  const judged = await judgeUntagged(reader, question, inUse, found);
  const last = manifests.length < limit ? undefined : manifests.at(-1);
  return { judged, next: last === undefined ? null : { manifest: last.digest } };
}
