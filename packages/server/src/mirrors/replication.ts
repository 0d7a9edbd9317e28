import { matchesRepository, parseJson } from "@assay/evidence";
import { z } from "zod";
import { nameSchema } from "../access/names.ts";
import { repositoryPatternSchema } from "../access/repository-pattern.ts";
import { MIRROR_LIMITS } from "./limits.ts";
import type { ReplicationRow } from "./replication-queries.ts";
import { DIRECTIONS } from "./schema.ts";
import { remoteUrlSchema, tokenHostsSchema } from "./setting.ts";

const distinct = (list: readonly string[]): boolean => new Set(list).size === list.length;

/** A tag, in which `*` stands for any number of characters. */
const tagPatternSchema = z
  .string()
  .max(128)
  .regex(/^[a-zA-Z0-9_*][a-zA-Z0-9._*-]*$/, "is a tag, in which * stands for any characters");

export const replicationName = nameSchema;

/** What an organisation's admins say of a replication. No secret is in it. */
export const replicationSchema = z.strictObject({
  direction: z
    .enum(DIRECTIONS)
    .describe("push: to another registry; pull: whole, from the upstreams of the repositories that mirror."),
  repositories: z
    .array(repositoryPatternSchema)
    .min(1)
    .max(MIRROR_LIMITS.patterns)
    .refine(distinct, "names a pattern twice"),
  tags: z
    .array(tagPatternSchema)
    .min(1)
    .max(MIRROR_LIMITS.patterns)
    .refine(distinct, "names a pattern twice")
    .default(["*"])
    .describe("Only these tags; evidence comes with what it is about."),
  url: remoteUrlSchema
    .nullable()
    .default(null)
    .describe(
      "push: the registry, and what the names of the repositories there begin with; the path here below the organisation follows.",
    ),
  tokenHosts: tokenHostsSchema,
  onEvents: z.boolean().default(false).describe("push: as soon as something is pushed here."),
  everyMs: z
    .int()
    .min(MIRROR_LIMITS.shortestEveryMs)
    .max(MIRROR_LIMITS.longestMaxAgeMs)
    .nullable()
    .default(null)
    .describe("Everything again, this often; null: when somebody says so."),
  evidence: z.boolean().default(true).describe("Whether referrers and cosign's tags come along."),
});

export type ReplicationSetting = z.output<typeof replicationSchema>;

const textsColumn = z.array(z.string());

function texts(column: string): string[] {
  return textsColumn.parse(parseJson(Buffer.from(column, "utf8"), { maxBytes: 256 * 1024, maxDepth: 4 }));
}

/** Which repositories and tags a replication is about. */
export interface Filter {
  readonly repositories: readonly string[];
  readonly tags: readonly string[];
}

/** The lists a row holds as JSON: written by our own projection. */
export function filterOfRow(row: Pick<ReplicationRow, "repositories" | "tags">): {
  repositories: string[];
  tags: string[];
} {
  return { repositories: texts(row.repositories), tags: texts(row.tags) };
}

export function isAboutRepository(filter: Filter, repository: string): boolean {
  return matchesRepository(filter.repositories, repository);
}

export function isAboutTag(filter: Filter, tag: string): boolean {
  return filter.tags.some((pattern) => matchesTag(pattern, tag));
}

/** Whether a tag is one of a pattern's. Linear in their lengths: the pieces between the stars are looked for in order. */
export function matchesTag(pattern: string, tag: string): boolean {
  const [first = "", ...rest] = pattern.split("*");
  const last = rest.pop();
  if (last === undefined) return tag === pattern;
  if (!tag.startsWith(first) || !tag.endsWith(last) || tag.length < first.length + last.length) return false;
  let at = first.length;
  const end = tag.length - last.length;
  for (const piece of rest) {
    const found = tag.indexOf(piece, at);
    if (found === -1 || found + piece.length > end) return false;
    at = found + piece.length;
  }
  return true;
}
