import { type Digest, parseDigest } from "@assay/evidence";
import { sql } from "kysely";
import type { Reader } from "../storage/database.ts";
import { inBatches } from "./queries.ts";
import { DEFAULT_SETTINGS, type RepositorySettings } from "./repository-settings.ts";
import type { RegistryTables } from "./schema.ts";
import { ONE_ROW } from "../storage/one-row.ts";

type SettingRow = RegistryTables["repository_setting"];

const SETTING = [
  "repository_setting.description",
  "repository_setting.visibility",
  "repository_setting.immutable",
  "repository_setting.immutable_tags",
  "repository_setting.promotion_policy",
  "repository_setting.set_by",
  "repository_setting.set_time",
  "repository_setting.from_seq",
] as const;

/** A row of settings, or none: every column null. */
type JoinedSetting = {
  readonly [K in Exclude<keyof SettingRow, "repository" | "org" | "to_seq">]: SettingRow[K] | null;
};

/** The settings in a row; those of a repository without one, where the row has none. */
function settingsOf(row: JoinedSetting): RepositorySettings {
  const { description, visibility, immutable, immutable_tags: tags } = row;
  if (description === null || visibility === null || immutable === null || tags === null) return DEFAULT_SETTINGS;
  return {
    description,
    visibility,
    immutable,
    immutableTags: JSON.parse(tags) as string[],
    promotionPolicy: row.promotion_policy,
  };
}

/** Nobody has set anything. */
const NO_SETTING: JoinedSetting = {
  description: null,
  visibility: null,
  immutable: null,
  immutable_tags: null,
  promotion_policy: null,
  set_by: null,
  set_time: null,
  from_seq: null,
};

/** A name that is, or was, a repository's. */
export interface KnownRepository {
  readonly name: string;
  readonly org: string;
  /** The event since which it is there. */
  readonly createdSequence: number;
  /** Why it is there no more; undefined while it is. */
  readonly ended:
    | { readonly as: "deleted" | "renamed"; readonly sequence: number; readonly heir: string | null }
    | undefined;
  readonly settings: RepositorySettings;
  /** When somebody last set them; undefined when nobody did. */
  readonly set: { readonly by: string; readonly time: number; readonly sequence: number } | undefined;
}

function known(
  row: JoinedSetting &
    Pick<RegistryTables["repository"], "name" | "org" | "created_seq" | "ended_seq" | "ended_as" | "heir">,
): KnownRepository {
  const { set_by: by, set_time: time, from_seq: sequence } = row;
  return {
    name: row.name,
    org: row.org,
    createdSequence: row.created_seq,
    ended:
      row.ended_seq === null || row.ended_as === null
        ? undefined
        : { as: row.ended_as, sequence: row.ended_seq, heir: row.heir },
    settings: settingsOf(row),
    set: by === null || time === null || sequence === null ? undefined : { by, time, sequence },
  };
}

const NAME = [
  "repository.name",
  "repository.org",
  "repository.created_seq",
  "repository.ended_seq",
  "repository.ended_as",
  "repository.heir",
] as const;

/** What is known under a name: a repository that is there, or one whose name is still taken; undefined when nothing ever was. */
export async function findRepository(reader: Reader, name: string): Promise<KnownRepository | undefined> {
  const row = await reader
    .tables<RegistryTables>()
    .selectFrom("repository")
    .leftJoin("repository_setting", (join) =>
      join.onRef("repository_setting.repository", "=", "repository.name").on("repository_setting.to_seq", "is", null),
    )
    .select([...NAME, ...SETTING])
    .where("repository.name", "=", name)
    .executeTakeFirst();
  return row && known(row);
}

/** Whether everybody may pull from a repository. */
export async function isPublic(reader: Reader, repository: string): Promise<boolean> {
  const row = await reader
    .tables<RegistryTables>()
    .selectFrom("repository_setting")
    .select("visibility")
    .where("repository", "=", repository)
    .where("to_seq", "is", null)
    .executeTakeFirst();
  return row?.visibility === "public";
}

/** Public repositories of an organisation after `last` (exclusive), at most `limit`. */
export async function listPublic(
  reader: Reader,
  org: string,
  page: { readonly last: string; readonly limit: number },
): Promise<string[]> {
  const rows = await reader
    .tables<RegistryTables>()
    .selectFrom("repository_setting")
    .select("repository")
    .where("org", "=", org)
    .where("repository", ">", page.last)
    .where("to_seq", "is", null)
    // A literal: a partial index serves no query whose value comes as a parameter.
    .where("visibility", "=", sql.lit("public" as const))
    .orderBy("repository")
    .limit(page.limit)
    .execute();
  return rows.map((row) => row.repository);
}

/** The first organisation after `last` that has a public repository. */
export async function nextPublicOrganisation(reader: Reader, last: string): Promise<string | undefined> {
  const row = await reader
    .tables<RegistryTables>()
    .selectFrom("repository_setting")
    .select("org")
    .where("org", ">", last)
    .where("to_seq", "is", null)
    .where("visibility", "=", sql.lit("public" as const))
    .orderBy("org")
    .limit(ONE_ROW)
    .executeTakeFirst();
  return row?.org;
}

/** A place in a list by sequence, newest first: rows before `before`, of the list as of `asOf`. */
export interface NewestFirst {
  readonly asOf: number;
  readonly before: number | undefined;
  readonly limit: number;
}

/** Repositories of an organisation that are there, the newest first. */
export async function listKnown(reader: Reader, org: string, page: NewestFirst): Promise<KnownRepository[]> {
  let query = reader
    .tables<RegistryTables>()
    .selectFrom("repository")
    .select(NAME)
    .where("org", "=", org)
    .where("created_seq", "<=", page.asOf)
    .where("ended_seq", "is", null);
  if (page.before !== undefined) query = query.where("created_seq", "<", page.before);
  const rows = await query.orderBy("created_seq", "desc").limit(page.limit).execute();
  // Asked by name: joined, a database may read the settings of all organisations to find those of a page.
  const settings = new Map<string, JoinedSetting>();
  for (const names of inBatches(rows.map((row) => row.name))) {
    const found = await reader
      .tables<RegistryTables>()
      .selectFrom("repository_setting")
      .select(["repository", ...SETTING])
      .where("repository", "in", names)
      .where("to_seq", "is", null)
      .execute();
    for (const row of found) settings.set(row.repository, row);
  }
  return rows.map((row) => known({ ...row, ...(settings.get(row.name) ?? NO_SETTING) }));
}

/** How the settings of a repository came to be what they are, the newest first. */
export async function settingHistory(
  reader: Reader,
  repository: string,
  page: NewestFirst,
): Promise<(RepositorySettings & { by: string; time: number; sequence: number; until: number | null })[]> {
  let query = reader
    .tables<RegistryTables>()
    .selectFrom("repository_setting")
    .selectAll()
    .where("repository", "=", repository)
    .where("from_seq", "<=", page.asOf);
  if (page.before !== undefined) query = query.where("from_seq", "<", page.before);
  const rows = await query.orderBy("from_seq", "desc").limit(page.limit).execute();
  return rows.map((row) => ({
    ...settingsOf(row),
    by: row.set_by,
    time: row.set_time,
    sequence: row.from_seq,
    until: row.to_seq,
  }));
}

/** What a tag names or, if it was deleted, named last; and the event that set it so. */
export async function lastOfTag(
  reader: Reader,
  repository: string,
  tag: string,
): Promise<{ readonly digest: Digest; readonly sequence: number; readonly current: boolean } | undefined> {
  const row = await reader
    .tables<RegistryTables>()
    .selectFrom("tag")
    .select(["digest", "from_seq", "to_seq"])
    .where("repository", "=", repository)
    .where("name", "=", tag)
    .orderBy("from_seq", "desc")
    .limit(ONE_ROW)
    .executeTakeFirst();
  return row && { digest: parseDigest(row.digest), sequence: row.from_seq, current: row.to_seq === null };
}

/** Recorded attempts of an identity to move a tag since an event, at most `limit`. */
export async function refusedMovesOf(
  reader: Reader,
  move: { readonly repository: string; readonly tag: string; readonly actor: string },
  since: number,
  limit: number,
): Promise<string[]> {
  const rows = await reader
    .tables<RegistryTables>()
    .selectFrom("refused_move")
    .select("digest")
    .where("repository", "=", move.repository)
    .where("tag", "=", move.tag)
    .where("actor", "=", move.actor)
    .where("sequence", ">", since)
    .orderBy("sequence")
    .limit(limit)
    .execute();
  return rows.map((row) => row.digest);
}

/** How many attempts of an identity in a repository were recorded since a time, counted up to `limit`. */
export async function countRefusedMoves(
  reader: Reader,
  repository: string,
  actor: string,
  since: number,
  limit: number,
): Promise<number> {
  const rows = await reader
    .tables<RegistryTables>()
    .selectFrom("refused_move")
    .select("time")
    .where("repository", "=", repository)
    .where("actor", "=", actor)
    .where("time", ">", since)
    .orderBy("time")
    .limit(limit)
    .execute();
  return rows.length;
}

/** Attempts to move immutable tags of a repository, the newest first. */
export async function listRefusedMoves(
  reader: Reader,
  repository: string,
  page: NewestFirst,
): Promise<RegistryTables["refused_move"][]> {
  let query = reader
    .tables<RegistryTables>()
    .selectFrom("refused_move")
    .selectAll()
    .where("repository", "=", repository)
    .where("sequence", "<=", page.asOf);
  if (page.before !== undefined) query = query.where("sequence", "<", page.before);
  return await query.orderBy("sequence", "desc").limit(page.limit).execute();
}

/** How often an identity tried to move a tag of a repository, recorded attempts included. */
export async function refusedMoveCount(
  reader: Reader,
  move: { readonly repository: string; readonly tag: string; readonly actor: string },
): Promise<number> {
  const { count } = await reader
    .tables<RegistryTables>()
    .selectFrom("refused_move_count")
    .select((is) => is.fn.sum<number | string>("count").as("count"))
    .where("repository", "=", move.repository)
    .where("tag", "=", move.tag)
    .where("actor", "=", move.actor)
    .executeTakeFirstOrThrow();
  return Number(count ?? 0);
}

/** How many rows say what a repository holds now. */
export async function heldRows(reader: Reader, repository: string): Promise<number> {
  let count = 0;
  for (const table of ["tag", "manifest", "manifest_reference"] as const) {
    const { rows } = await reader
      .tables<RegistryTables>()
      .selectFrom(table)
      .select((is) => is.fn.countAll<number>().as("rows"))
      .where("repository", "=", repository)
      .where("to_seq", "is", null)
      .executeTakeFirstOrThrow();
    count += Number(rows);
  }
  return count;
}
