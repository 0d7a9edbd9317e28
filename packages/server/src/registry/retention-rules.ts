import { z } from "zod";
import { DAY_MS } from "./limits.ts";

/** Bounds of a repository's rules. */
const LIMITS = { rules: 20, patterns: 20, pattern: 128, days: 36_500, last: 10_000 } as const;

const pattern = z
  .string()
  .min(1)
  .max(LIMITS.pattern)
  .regex(/^[A-Za-z0-9._*?-]+$/, "has the characters of a tag, * for any number of them and ? for one");

const days = z.int().min(0).max(LIMITS.days);

const keeps = {
  keepLast: z.int().min(0).max(LIMITS.last).optional().describe("Keep so many, the newest first."),
  keepPushedDays: days.optional().describe("Keep what came within so many days."),
  keepPulledDays: days.optional().describe("Keep what was pulled within so many days."),
};

const name = z
  .string()
  .max(64)
  .regex(/^[a-z0-9][a-z0-9-]*$/, "is lower-case letters, digits and dashes");

/** A rule: what it is about, and what of that stays. All else that it is about goes. */
const ruleSchema = z
  .strictObject({
    name,
    tags: z
      .array(pattern)
      .min(1)
      .max(LIMITS.patterns)
      .optional()
      .describe("The tags it is about. Of several rules the first counts; a tag that no rule is about stays."),
    untagged: z
      .literal(true)
      .optional()
      .describe("It is about manifests that no tag names, that are in no index and not about another one here."),
    releases: z
      .literal(true)
      .optional()
      .describe("Also release tags and others that never move here, which otherwise always stay."),
    ...keeps,
  })
  .refine((rule) => (rule.tags === undefined) !== (rule.untagged === undefined), "is about tags or about untagged")
  .refine(
    ({ keepLast, keepPushedDays, keepPulledDays }) =>
      keepLast !== undefined || keepPushedDays !== undefined || keepPulledDays !== undefined,
    "says what to keep: keepLast, keepPushedDays or keepPulledDays",
  )
  .refine(({ untagged, keepLast }) => untagged === undefined || keepLast === undefined, "keepLast is for tags")
  .refine(({ untagged, releases }) => untagged === undefined || releases === undefined, "releases is for tags");

/** The rules of a repository, in order. */
export const retentionRulesSchema = z
  .array(ruleSchema)
  .max(LIMITS.rules)
  .refine((rules) => new Set(rules.map((rule) => rule.name)).size === rules.length, "have names of their own");

export type RetentionRule = z.output<typeof ruleSchema>;

/** Whether a tag is one of those a pattern is about. Linear in the tag, whatever the pattern. */
export function matchesTag(glob: string, tag: string): boolean {
  let at = 0;
  let from = 0;
  let star = -1;
  let tried = 0;
  while (at < tag.length) {
    if (from < glob.length && (glob[from] === "?" || glob[from] === tag[at]) && glob[from] !== "*") {
      at += 1;
      from += 1;
    } else if (glob[from] === "*") {
      star = from;
      tried = at;
      from += 1;
    } else if (star >= 0) {
      tried += 1;
      at = tried;
      from = star + 1;
    } else return false;
  }
  while (glob[from] === "*") from += 1;
  return from === glob.length;
}

/** The first rule that is about a tag. */
export function ruleOfTag(rules: readonly RetentionRule[], tag: string): RetentionRule | undefined {
  return rules.find((rule) => rule.tags?.some((glob) => matchesTag(glob, tag)) === true);
}

/** The first rule that is about what no tag names. */
export function ruleOfUntagged(rules: readonly RetentionRule[]): RetentionRule | undefined {
  return rules.find((rule) => rule.untagged === true);
}

/** What is known of a tag, or of a manifest without one. */
export interface RetentionFacts {
  /** When the tag was set, or the manifest pushed, ms. */
  readonly time: number;
  /** The last day it was pulled, `YYYY-MM-DD`; undefined: never, as far as pulls are counted. */
  readonly pulled: string | undefined;
  /** Whether it is one of the newest that the rule keeps. */
  readonly amongLast: boolean;
  /** Why the tag never moves in its repository; undefined when it may, or there is no tag. */
  readonly immutable: "release" | "setting" | undefined;
  /** Why it must stay whatever a rule says; undefined when nothing demands it. */
  readonly inUse: string | undefined;
}

/** Whether something goes, by which rule, and why; or why it stays. */
export interface Verdict {
  readonly goes: boolean;
  /** The rule that is about it; null: none is. */
  readonly rule: string | null;
  readonly why: string;
}

/** Judges a tag, or a manifest that has none. */
export function judge(rule: RetentionRule | undefined, facts: RetentionFacts, now: number): Verdict {
  if (rule === undefined) return { goes: false, rule: null, why: "no rule is about it" };
  const stays = (why: string): Verdict => ({ goes: false, rule: rule.name, why });
  if (facts.inUse !== undefined) return stays(facts.inUse);
  if (rule.releases !== true && facts.immutable !== undefined) {
    return stays(facts.immutable === "release" ? "it is a release tag" : "it is a tag that never moves here");
  }
  if (facts.amongLast) return stays(`it is one of the newest ${rule.keepLast}`);
  const { keepPushedDays, keepPulledDays } = rule;
  if (keepPushedDays !== undefined && facts.time > now - keepPushedDays * DAY_MS) {
    return stays(`it came within ${keepPushedDays} days`);
  }
  // A day counts whole: pulled at any time of it.
  if (
    keepPulledDays !== undefined &&
    facts.pulled !== undefined &&
    Date.parse(`${facts.pulled}T00:00:00Z`) + DAY_MS > now - keepPulledDays * DAY_MS
  ) {
    return stays(`it was pulled on ${facts.pulled}, within ${keepPulledDays} days`);
  }
  const reasons = [
    ...(rule.keepLast === undefined ? [] : [`not one of the newest ${rule.keepLast}`]),
    ...(keepPushedDays === undefined ? [] : [`older than ${keepPushedDays} days`]),
    ...(keepPulledDays === undefined
      ? []
      : [facts.pulled === undefined ? "never pulled" : `last pulled on ${facts.pulled}`]),
  ];
  return { goes: true, rule: rule.name, why: reasons.join(", ") };
}
