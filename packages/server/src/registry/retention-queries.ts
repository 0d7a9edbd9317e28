import { ServerError } from "../errors.ts";
import type { RecordTables } from "../record/schema.ts";
import type { Reader } from "../storage/database.ts";
import { inBatches } from "./queries.ts";
import { type RetentionRule, retentionRulesSchema, ruleOfTag } from "./retention-rules.ts";
import type { RegistryTables } from "./schema.ts";
import { isEvidenceTag } from "./tag-rules.ts";
import { ONE_ROW } from "../storage/one-row.ts";

/** The rules of a repository that hold now. */
export interface Retention {
  readonly repository: string;
  readonly org: string;
  readonly version: number;
  readonly rules: RetentionRule[];
  readonly setBy: string;
  readonly setTime: number;
}

function retentionOf(row: RegistryTables["retention"]): Retention {
  return {
    repository: row.repository,
    org: row.org,
    version: row.version,
    rules: retentionRulesSchema.parse(JSON.parse(row.rules)),
    setBy: row.set_by,
    setTime: row.set_time,
  };
}

/** A repository's rules; undefined when none were ever set. */
export async function currentRetention(reader: Reader, repository: string): Promise<Retention | undefined> {
  const row = await reader
    .tables<RegistryTables>()
    .selectFrom("retention")
    .selectAll()
    .where("repository", "=", repository)
    .where("to_seq", "is", null)
    .executeTakeFirst();
  return row && retentionOf(row);
}

/** The rules of repositories after `last` (exclusive), of every organisation, at most `limit`. */
export async function nextRetentions(reader: Reader, last: string, limit: number): Promise<Retention[]> {
  const rows = await reader
    .tables<RegistryTables>()
    .selectFrom("retention")
    .selectAll()
    .where("to_seq", "is", null)
    .where("repository", ">", last)
    .orderBy("repository")
    .limit(limit)
    .execute();
  return rows.map(retentionOf);
}

/** A tag, and when it was set. */
export interface DatedTag {
  readonly name: string;
  readonly digest: string;
  readonly sequence: number;
  /** ms */
  readonly time: number;
}

/** When events happened, ms, by sequence. */
async function timesOf(reader: Reader, sequences: readonly number[]): Promise<Map<number, number>> {
  const times = new Map<number, number>();
  for (const batch of inBatches(sequences)) {
    const rows = await reader
      .tables<RecordTables>()
      .selectFrom("event")
      .select(["sequence", "time"])
      .where("sequence", "in", batch)
      .execute();
    for (const { sequence, time } of rows) times.set(sequence, time);
  }
  return times;
}

async function dated(
  reader: Reader,
  rows: readonly { readonly name: string; readonly digest: string; readonly from_seq: number }[],
): Promise<DatedTag[]> {
  const times = await timesOf(
    reader,
    rows.map((row) => row.from_seq),
  );
  return rows.map(({ name, digest, from_seq: sequence }) => {
    const time = times.get(sequence);
    if (time === undefined) throw new ServerError("internal", `the event ${sequence} that set a tag is not there`);
    return { name, digest, sequence, time };
  });
}

/** Tags after `last` (exclusive), by name, at most `limit`. */
export async function datedTags(
  reader: Reader,
  repository: string,
  page: { readonly last: string; readonly limit: number },
): Promise<DatedTag[]> {
  const rows = await reader
    .tables<RegistryTables>()
    .selectFrom("tag")
    .select(["name", "digest", "from_seq"])
    .where("repository", "=", repository)
    .where("to_seq", "is", null)
    .where("name", ">", page.last)
    .orderBy("name")
    .limit(page.limit)
    .execute();
  return await dated(reader, rows);
}

/** One tag as it is now. */
export async function datedTag(reader: Reader, repository: string, name: string): Promise<DatedTag | undefined> {
  const rows = await reader
    .tables<RegistryTables>()
    .selectFrom("tag")
    .select(["name", "digest", "from_seq"])
    .where("repository", "=", repository)
    .where("to_seq", "is", null)
    .where("name", "=", name)
    .execute();
  const [tag] = await dated(reader, rows);
  return tag;
}

/** Tags read at a time on the way to a rule's last one. */
const NEWEST_PAGE = 500;

/**
 * The sequence at which the last of the newest tags that a rule keeps was set: of those it is about, later ones are kept and earlier ones
 * are not. Evidence tags are not counted. 0 when all of them are kept.
 */
export async function lastKept(
  reader: Reader,
  repository: string,
  rules: readonly RetentionRule[],
  rule: RetentionRule,
): Promise<number> {
  const { keepLast = 0 } = rule;
  if (keepLast === 0) return Number.MAX_SAFE_INTEGER;
  let seen = 0;
  let before = Number.MAX_SAFE_INTEGER;
  for (;;) {
    const rows = await reader
      .tables<RegistryTables>()
      .selectFrom("tag")
      .select(["name", "from_seq"])
      .where("repository", "=", repository)
      .where("to_seq", "is", null)
      .where("from_seq", "<", before)
      .orderBy("from_seq", "desc")
      .limit(NEWEST_PAGE)
      .execute();
    for (const { name, from_seq } of rows) {
      if (isEvidenceTag(name) || ruleOfTag(rules, name)?.name !== rule.name) continue;
      seen += 1;
      if (seen === keepLast) return from_seq;
    }
    const last = rows.at(-1);
    if (last === undefined || rows.length < NEWEST_PAGE) return 0;
    before = last.from_seq;
  }
}

/** The last day each of some manifests was pulled, `YYYY-MM-DD`. */
export async function lastPulls(
  reader: Reader,
  repository: string,
  digests: readonly string[],
): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const batch of inBatches(digests)) {
    const rows = await reader
      .tables<RegistryTables>()
      .selectFrom("pull_count")
      .select((is) => ["digest", is.fn.max("day").as("day")])
      .where("repository", "=", repository)
      .where("digest", "in", batch)
      .groupBy("digest")
      .execute();
    for (const { digest, day } of rows) found.set(digest, day);
  }
  return found;
}

/** A manifest that no tag names, and when it was pushed. */
export interface UntaggedManifest {
  readonly digest: string;
  /** ms */
  readonly time: number;
}

/** One manifest of a repository as it is now, whether a tag names it or not. */
export async function manifestNow(
  reader: Reader,
  repository: string,
  digest: string,
): Promise<(UntaggedManifest & { readonly subject: string | null }) | undefined> {
  return await reader
    .tables<RegistryTables>()
    .selectFrom("manifest")
    .select(["digest", "subject", "pushed_time as time"])
    .where("repository", "=", repository)
    .where("digest", "=", digest)
    .where("to_seq", "is", null)
    .executeTakeFirst();
}

/** Manifests after `last` (exclusive), by digest, at most `limit`. */
export async function nextManifests(
  reader: Reader,
  repository: string,
  page: { readonly last: string; readonly limit: number },
): Promise<(UntaggedManifest & { readonly subject: string | null })[]> {
  return await reader
    .tables<RegistryTables>()
    .selectFrom("manifest")
    .select(["digest", "subject", "pushed_time as time"])
    .where("repository", "=", repository)
    .where("to_seq", "is", null)
    .where("digest", ">", page.last)
    .orderBy("digest")
    .limit(page.limit)
    .execute();
}

/** Tags that name a manifest, at most `limit`. */
export async function tagsNaming(
  reader: Reader,
  repository: string,
  digest: string,
  limit: number,
): Promise<DatedTag[]> {
  const rows = await reader
    .tables<RegistryTables>()
    .selectFrom("tag")
    .select(["name", "digest", "from_seq"])
    .where("repository", "=", repository)
    .where("digest", "=", digest)
    .where("to_seq", "is", null)
    .limit(limit)
    .execute();
  return await dated(reader, rows);
}

/** Whether no tag names a manifest of the repository, and it {@link standsApart}. */
export async function standsAlone(
  reader: Reader,
  repository: string,
  digest: string,
  subject: string | null,
): Promise<boolean> {
  const tag = await reader
    .tables<RegistryTables>()
    .selectFrom("tag")
    .select("name")
    .where("repository", "=", repository)
    .where("digest", "=", digest)
    .where("to_seq", "is", null)
    .limit(ONE_ROW)
    .executeTakeFirst();
  return tag === undefined && (await standsApart(reader, repository, digest, subject));
}

/** Whether no index of the repository lists a manifest, and it is about none that is here. */
export async function standsApart(
  reader: Reader,
  repository: string,
  digest: string,
  subject: string | null,
): Promise<boolean> {
  const tables = reader.tables<RegistryTables>();
  const parent = await tables
    .selectFrom("manifest_reference")
    .select("manifest")
    .where("repository", "=", repository)
    .where("digest", "=", digest)
    .where("to_seq", "is", null)
    .limit(ONE_ROW)
    .executeTakeFirst();
  if (parent !== undefined) return false;
  if (subject === null) return true;
  const about = await tables
    .selectFrom("manifest")
    .select("digest")
    .where("repository", "=", repository)
    .where("digest", "=", subject)
    .where("to_seq", "is", null)
    .executeTakeFirst();
  return about === undefined;
}
