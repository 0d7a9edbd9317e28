import { type RawBuilder, sql, type SqlBool } from "kysely";

/** A repository, or an organisation with all of its repositories. */
export interface QuotaScope {
  /** The repository's whole name, `org/path`; of an organisation its name: no repository has a name without a slash. */
  readonly scope: string;
  readonly org: string;
  /** Null: the organisation. */
  readonly repository: string | null;
}

/** The scope of a repository, or of an organisation. */
export function quotaScope(org: string, repository: string | undefined): QuotaScope {
  return { scope: repository ?? org, org, repository: repository ?? null };
}

/** Whether a row of manifests or of what they name lies in a scope. */
export function inScope({ org, repository }: QuotaScope): RawBuilder<SqlBool> {
  return repository === null ? sql<SqlBool>`org = ${org}` : sql<SqlBool>`repository = ${repository}`;
}

/** A query for the size of `asked.digest` where a manifest that stands in the scope is it, or names and holds it; null where none does. */
export const heldIn = (scope: QuotaScope): RawBuilder<number | null> => sql<number | null>`coalesce(
  (select size from manifest where digest = asked.digest and to_seq is null and ${inScope(scope)} limit 1),
  (select size from manifest_reference
    where digest = asked.digest and held = 1 and to_seq is null and ${inScope(scope)} limit 1)
)`;
