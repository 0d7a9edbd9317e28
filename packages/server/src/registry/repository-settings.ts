import type { JsonObject } from "../record/command.ts";
import { z } from "zod";
import { isEvidenceTag, isReleaseTag } from "./tag-rules.ts";

/** Bounds of what is said of a repository. */
export const SETTINGS_LIMITS = { description: 4096, patterns: 32, patternLength: 128, policyName: 64 } as const;

/** Tags by name, in which `*` stands for any run of characters: `v*`, `stable`, `*-final`. */
const tagPattern = z
  .string()
  .min(1)
  .max(SETTINGS_LIMITS.patternLength)
  .regex(/^[a-zA-Z0-9_.*-]+$/, "is a tag in which * stands for any characters");

/** Who may pull: those with a role that gives it, or everybody, also without a credential. */
export const VISIBILITIES = ["private", "public"] as const;

/** Which tags never move: release tags, as everywhere, and those of the patterns; or all but evidence tags. */
export const MUTABILITIES = ["release-tags", "all-tags"] as const;

/** What people say of a repository. */
export const repositorySettingsSchema = z.strictObject({
  description: z.string().max(SETTINGS_LIMITS.description),
  visibility: z.enum(VISIBILITIES),
  immutable: z.enum(MUTABILITIES),
  immutableTags: z.array(tagPattern).max(SETTINGS_LIMITS.patterns),
  /** The stored policy that must allow an artifact before it may come here, which it then does by promotion only; null: none. */
  promotionPolicy: z.string().min(1).max(SETTINGS_LIMITS.policyName).nullable(),
});

export type RepositorySettings = z.output<typeof repositorySettingsSchema>;

/** What holds of a repository nobody said anything about. */
export const DEFAULT_SETTINGS: RepositorySettings = {
  description: "",
  visibility: "private",
  immutable: "release-tags",
  immutableTags: [],
  promotionPolicy: null,
};

/** Whether a tag fits a pattern. Linear in both: each part between stars is looked for once, from where the one before ended. */
export function matchesTag(pattern: string, tag: string): boolean {
  const [first = "", ...parts] = pattern.split("*");
  const last = parts.pop();
  if (last === undefined) return tag === first;
  if (!tag.startsWith(first)) return false;
  let at = first.length;
  for (const part of parts) {
    const found = tag.indexOf(part, at);
    if (found === -1) return false;
    at = found + part.length;
  }
  return tag.length - last.length >= at && tag.endsWith(last);
}

/** Why a tag, once set, never names another digest; undefined when it may. Evidence tags may everywhere: their clients move them by design. */
export function immutability(
  tag: string,
  settings: Pick<RepositorySettings, "immutable" | "immutableTags">,
): "release" | "setting" | undefined {
  if (isReleaseTag(tag)) return "release";
  if (isEvidenceTag(tag)) return undefined;
  const named = settings.immutable === "all-tags" || settings.immutableTags.some((pattern) => matchesTag(pattern, tag));
  return named ? "setting" : undefined;
}

/** What a request says of a repository, without what it leaves unsaid. */
export function saidOnly(
  given: { readonly [K in keyof RepositorySettings]?: RepositorySettings[K] | undefined },
): JsonObject {
  const said: JsonObject = {};
  for (const [name, value] of Object.entries(given)) if (value !== undefined) said[name] = value;
  return said;
}
