import { type Selectable, sql } from "kysely";
import type { ListPlace } from "../access/queries.ts";
import { ServerError } from "../errors.ts";
import type { Reader } from "../storage/database.ts";
import { recorded } from "../storage/prepared.ts";
import type { DeletionRow } from "./deletion-queries.ts";
import { inBatches } from "./queries.ts";
import { inScope, type QuotaScope } from "./quota-scope.ts";
import type { RegistryTables } from "./schema.ts";

/** A quota as it stands, and what counts against it. */
export interface Quota extends QuotaScope {
  /** Null: nothing is refused. */
  readonly bytes: number | null;
  /** Bytes of manifests and of what they hold, each digest once. */
  readonly used: number;
  readonly warned: boolean;
  /** ms; when it last was on record that something was refused. */
  readonly refusedTime: number | null;
  readonly setBy: string;
  /** ms. */
  readonly setTime: number;
  readonly sequence: number;
}

/** Quotas as they stand now. */
const standing = (reader: Reader) =>
  reader
    .tables<RegistryTables>()
    .selectFrom("quota")
    .select(["scope", "org", "repository", "bytes", "set_by", "set_time", "from_seq"])
    .where("to_seq", "is", null);

type Row = Pick<
  Selectable<RegistryTables["quota"]>,
  "scope" | "org" | "repository" | "bytes" | "set_by" | "set_time"
> & {
  readonly from_seq: number;
};

/** Rows of quotas with how they are used; undefined when one of them is not counted. */
async function counted(reader: Reader, rows: readonly Row[]): Promise<Quota[] | undefined> {
  if (rows.length === 0) return [];
  const usage = await reader
    .tables<RegistryTables>()
    .selectFrom("quota_usage")
    .select(["scope", "bytes", "warned", "refused_time"])
    .where(
      "scope",
      "in",
      rows.map(({ scope }) => scope),
    )
    .execute();
  const used = new Map(usage.map((one) => [one.scope, one]));
  const quotas: Quota[] = [];
  for (const { set_by: setBy, set_time: setTime, from_seq: sequence, ...row } of rows) {
    const of = used.get(row.scope);
    if (of === undefined) return undefined;
    const { bytes, warned, refused_time: refusedTime } = of;
    quotas.push({ ...row, used: bytes, warned: warned === 1, refusedTime, setBy, setTime, sequence });
  }
  return quotas;
}

/** Rows of quotas that stand, with how they are used. */
async function withUsage(reader: Reader, rows: readonly Row[]): Promise<Quota[]> {
  const quotas = await counted(reader, rows);
  // INVARIANT: a scope with a quota is counted.
  if (quotas === undefined) {
    throw new ServerError("internal", `a quota is not counted: ${rows.map(({ scope }) => scope).join(", ")}`);
  }
  return quotas;
}

/** The quota of a scope; undefined when it has none. */
export async function currentQuota(reader: Reader, scope: string): Promise<Quota | undefined> {
  const [quota] = await withUsage(reader, await standing(reader).where("scope", "=", scope).execute());
  return quota;
}

const overNow = (reader: Reader, org: string, repository: string) =>
  standing(reader).where("scope", "in", [org, repository]);

/** Every upload asks this two or three times: where the record has not grown since anybody asked, it is remembered. */
const standingOver = recorded((reader, at: { org: string; repository: string }) =>
  overNow(reader, at.org, at.repository),
);

/** The quotas that hold for a repository: its own and its organisation's. */
export async function quotasOver(
  reader: Reader,
  { org, repository }: { readonly org: string; readonly repository: string },
): Promise<Quota[]> {
  const quotas = await counted(reader, await standingOver(reader, { org, repository }));
  // One that is remembered may have ended since, and is counted no more.
  return quotas ?? (await withUsage(reader, await overNow(reader, org, repository).execute()));
}

/** An organisation's quotas, its own and its repositories', in the order they were last set. */
export async function listQuotas(reader: Reader, org: string, { asOf, position, limit }: ListPlace): Promise<Quota[]> {
  const rows = standing(reader)
    .where("org", "=", org)
    .where("from_seq", ">", position ?? -1)
    .where("from_seq", "<=", asOf)
    .orderBy("from_seq")
    .limit(limit);
  return await withUsage(reader, await rows.execute());
}

/** Content by digest, with its size in bytes. */
export type Content = ReadonlyMap<string, number>;

/** Bytes by which a scope would grow if it held this too. */
export async function growth(reader: Reader, scope: string, content: Content): Promise<number> {
  let left = 0;
  for (const size of content.values()) left += size;
  for (const batch of inBatches([...content.keys()])) {
    const counted = await reader
      .tables<RegistryTables>()
      .selectFrom("quota_content")
      .select(["digest", "size"])
      .where("scope", "=", scope)
      .where("digest", "in", batch)
      .execute();
    for (const { size } of counted) left -= size;
  }
  return left;
}

/** What lies in a scope by a lease alone. */
export interface Leased {
  /** Bytes, each digest once. */
  readonly bytes: number;
  readonly blobs: number;
}

/** Blobs that were pushed to a scope or mounted there, and that no manifest there names. @param besides a digest that is not counted. */
export async function leasedIn(reader: Reader, scope: QuotaScope, now: number, besides: string): Promise<Leased> {
  const row = await reader
    .tables<RegistryTables>()
    .selectFrom((is) =>
      is
        .selectFrom("blob_lease")
        .select((of) => ["digest", of.fn.max("size").as("size")])
        // Of a repository too: by its organisation they are found.
        .where("org", "=", scope.org)
        .where(inScope(scope))
        .where("named", "=", sql.lit(0))
        .where("expires", ">", now)
        .where("digest", "<>", besides)
        .where((where) =>
          where.not(
            where.exists(
              where
                .selectFrom("quota_content")
                .select("quota_content.digest")
                .where("quota_content.scope", "=", scope.scope)
                .whereRef("quota_content.digest", "=", "blob_lease.digest"),
            ),
          ),
        )
        .groupBy("digest")
        .as("leased"),
    )
    .select((is) => [
      is.fn.sum<number | string | bigint | null>("size").as("bytes"),
      is.fn.countAll<number | string | bigint>().as("blobs"),
    ])
    .executeTakeFirst();
  return { bytes: Number(row?.bytes ?? 0), blobs: Number(row?.blobs ?? 0) };
}

/** What some manifests of a repository are and hold. */
export async function contentOf(reader: Reader, repository: string, manifests: readonly string[]): Promise<Content> {
  const tables = reader.tables<RegistryTables>();
  const content = new Map<string, number>();
  for (const batch of inBatches(manifests)) {
    const own = await tables
      .selectFrom("manifest")
      .select(["digest", "size"])
      .where("repository", "=", repository)
      .where("digest", "in", batch)
      .where("to_seq", "is", null)
      .execute();
    const named = await tables
      .selectFrom("manifest_reference")
      .select(["digest", "size"])
      .distinct()
      .where("repository", "=", repository)
      .where("manifest", "in", batch)
      .where("to_seq", "is", null)
      .where("held", "=", 1)
      .execute();
    for (const { digest, size } of [...own, ...named]) content.set(digest, size);
  }
  return content;
}

/** What the rows of a repository that an event ended were and held: what a deletion would bring back. */
export async function contentOfDeleted(
  reader: Reader,
  { rows_in: repository, sequence }: Pick<DeletionRow, "rows_in" | "sequence">,
): Promise<Content> {
  const tables = reader.tables<RegistryTables>();
  const own = await tables
    .selectFrom("manifest")
    .select(["digest", "size"])
    .where("repository", "=", repository)
    .where("to_seq", "=", sequence)
    .execute();
  const named = await tables
    .selectFrom("manifest_reference")
    .select(["digest", "size"])
    .distinct()
    .where("repository", "=", repository)
    .where("to_seq", "=", sequence)
    .where("held", "=", 1)
    .execute();
  return new Map([...own, ...named].map(({ digest, size }) => [digest, size]));
}
