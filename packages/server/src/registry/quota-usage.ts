import { sql } from "kysely";
import type { Transactor } from "../storage/database.ts";
import { contentOfDeleted } from "./quota-queries.ts";
import { heldIn, inScope, type QuotaScope } from "./quota-scope.ts";
import { inBatches } from "./queries.ts";
import type { RegistryTables } from "./schema.ts";

/**
 * Percent of a quota from which on it is on record that a scope nears it, and below which that may be recorded anew: apart, so that a scope that
 * hovers there is not told of all the time.
 */
export const WARN_FROM = 85;
const WARN_ANEW_BELOW = 80;

type Place = Pick<QuotaScope, "org"> & { readonly repository: string };

/** Where what a repository holds counts: itself and its organisation, as far as they have a quota. */
async function countedScopes(transactor: Transactor, { org, repository }: Place): Promise<QuotaScope[]> {
  return await transactor
    .tables<RegistryTables>()
    .selectFrom("quota_usage")
    .select(["scope", "org", "repository"])
    .where("scope", "in", [org, repository])
    .execute();
}

/**
 * Counts anew whether some digests are held where a repository's content counts. Every projection that begins or ends what a repository holds
 * calls it, after its rows are as they will be. It costs nothing but one look where nobody set a quota.
 *
 * INVARIANT: after it, `quota_content` has exactly those of the digests that a manifest which stands in the scope is, or names and holds, and
 * `quota_usage.bytes` is the sum of all of its sizes.
 *
 * @param touched the digests of which rows were begun or ended; asked for only where something is counted.
 */
export async function countAnew(
  transactor: Transactor,
  place: Place,
  touched: () => Promise<readonly string[]>,
): Promise<void> {
  const scopes = await countedScopes(transactor, place);
  if (scopes.length === 0) return;
  const digests = [...new Set(await touched())];
  for (const scope of scopes) {
    let grown = 0;
    for (const batch of inBatches(digests)) grown += await countBatch(transactor, scope, [...new Set(batch)]);
    if (grown !== 0) await grow(transactor, scope, grown);
  }
}

/** @returns by how many bytes the scope grew. */
async function countBatch(transactor: Transactor, scope: QuotaScope, digests: readonly string[]): Promise<number> {
  const tables = transactor.tables<RegistryTables>();
  const listed = sql.join(digests.map((digest) => sql`(${digest})`));
  const rows = await tables
    .with("asked", () => sql<{ digest: string }>`(select column1 as digest from (values ${listed}) as listed)`)
    .selectFrom("asked")
    .select("asked.digest")
    .select(heldIn(scope).as("held"))
    .select(
      sql<number | null>`(select size from quota_content where scope = ${scope.scope} and digest = asked.digest)`.as(
        "counted",
      ),
    )
    .execute();
  let grown = 0;
  for (const { digest, held, counted } of rows) {
    if (held !== null && counted === null) {
      grown += Number(held);
      await tables
        .insertInto("quota_content")
        .values({ scope: scope.scope, digest, size: Number(held) })
        .execute();
    } else if (held === null && counted !== null) {
      grown -= Number(counted);
      await tables.deleteFrom("quota_content").where("scope", "=", scope.scope).where("digest", "=", digest).execute();
    }
  }
  return grown;
}

async function grow(transactor: Transactor, { scope }: QuotaScope, bytes: number): Promise<void> {
  await transactor
    .tables<RegistryTables>()
    .updateTable("quota_usage")
    .set((is) => ({ bytes: is("bytes", "+", bytes) }))
    .where("scope", "=", scope)
    .execute();
  if (bytes < 0) await forgetWarning(transactor, scope);
}

/** What is well below its quota may be warned of again. */
async function forgetWarning(transactor: Transactor, scope: string): Promise<void> {
  await sql`update quota_usage set warned = 0 where scope = ${scope} and warned = 1 and not exists (
    select 1 from quota where quota.scope = quota_usage.scope and quota.to_seq is null
      and quota_usage.bytes * 100 >= quota.bytes * ${sql.lit(WARN_ANEW_BELOW)}
  )`.execute(transactor.tables<RegistryTables>());
}

/** Counts a scope that has a quota from here on, or goes on with another. */
export async function startCounting(transactor: Transactor, { scope, org, repository }: QuotaScope): Promise<void> {
  const tables = transactor.tables<RegistryTables>();
  const done = await tables
    .insertInto("quota_usage")
    .values({ scope, org, repository, bytes: 0, warned: 0, refused_time: null })
    .onConflict((conflict) => conflict.column("scope").doNothing())
    .executeTakeFirst();
  if (Number(done.numInsertedOrUpdatedRows ?? 0n) === 0) return await forgetWarning(transactor, scope);
  const here = inScope({ scope, org, repository });
  await sql`insert into quota_content (scope, digest, size)
    select cast(${scope} as text), digest, max(size) from (
      select digest, size from manifest where ${here} and to_seq is null
      union all
      select digest, size from manifest_reference where ${here} and to_seq is null and held = 1
    ) as held group by digest`.execute(tables);
  await sql`update quota_usage set bytes = (
    select coalesce(sum(size), 0) from quota_content where quota_content.scope = quota_usage.scope
  ) where scope = ${scope}`.execute(tables);
}

/** Counts a scope no longer. */
export async function stopCounting(transactor: Transactor, scope: string): Promise<void> {
  const tables = transactor.tables<RegistryTables>();
  await tables.deleteFrom("quota_content").where("scope", "=", scope).execute();
  await tables.deleteFrom("quota_usage").where("scope", "=", scope).execute();
}

/** The digests of a repository's rows that an event ended: manifests, and what they named and held. */
export async function endedDigests(transactor: Transactor, repository: string, endedBy: number): Promise<string[]> {
  const content = await contentOfDeleted(transactor, { rows_in: repository, sequence: endedBy });
  return [...content.keys()];
}
