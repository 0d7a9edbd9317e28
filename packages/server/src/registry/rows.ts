import { sql } from "kysely";
import type { Transactor } from "../storage/database.ts";
import type { RegistryTables } from "./schema.ts";

/** Tables whose rows say what a repository holds, from when to when. Its quota ends apart (quota-events.ts): what it counts ends with it. */
const KEPT = ["tag", "manifest_reference", "manifest", "repository_setting", "retention"] as const;

/** Ends everything in a repository, and the repository: its name stays taken. */
export async function endRepository(
  transactor: Transactor,
  repository: string,
  end: { readonly sequence: number; readonly as: "deleted" | "renamed"; readonly heir: string | null },
): Promise<void> {
  const tables = transactor.tables<RegistryTables>();
  for (const table of KEPT) {
    await tables
      .updateTable(table)
      .set({ to_seq: end.sequence })
      .where("repository", "=", repository)
      .where("to_seq", "is", null)
      .execute();
  }
  await tables
    .updateTable("repository")
    .set({ ended_seq: end.sequence, ended_as: end.as, heir: end.heir })
    .where("name", "=", repository)
    .execute();
}

/**
 * Lets rows that an event ended go on as they were, in the repository they are now of: the rows of before stay, so that what held when can still be
 * told.
 *
 * @param to `tags`: those tags only; undefined: all.
 */
export async function copyRows(
  transactor: Transactor,
  from: { readonly repository: string; readonly endedBy: number },
  to: {
    readonly repository: string;
    readonly org: string;
    readonly sequence: number;
    readonly tags: readonly string[] | undefined;
  },
): Promise<void> {
  const tables = transactor.tables<RegistryTables>();
  const open = sql<null>`cast(null as bigint)`.as("to_seq");
  const place = sql<string>`cast(${to.repository} as text)`;
  const now = sql<number>`cast(${to.sequence} as bigint)`;
  const org = sql<string>`cast(${to.org} as text)`;
  await tables
    .insertInto("manifest")
    .columns([
      "repository",
      "digest",
      "org",
      "size",
      "media_type",
      "artifact_type",
      "subject",
      "annotations",
      "pushed_by",
      "pushed_time",
      "from_seq",
      "to_seq",
    ])
    .expression((is) =>
      is
        .selectFrom("manifest")
        .select([place.as("repository"), "digest", org.as("org"), "size", "media_type", "artifact_type", "subject"])
        .select(["annotations", "pushed_by", "pushed_time", now.as("from_seq"), open])
        .where("repository", "=", from.repository)
        .where("to_seq", "=", from.endedBy),
    )
    .execute();
  await tables
    .insertInto("manifest_reference")
    .columns(["repository", "manifest", "kind", "digest", "org", "size", "media_type", "held", "from_seq", "to_seq"])
    .expression((is) =>
      is
        .selectFrom("manifest_reference")
        .select([place.as("repository"), "manifest", "kind", "digest", org.as("org"), "size", "media_type", "held"])
        .select([now.as("from_seq"), open])
        .where("repository", "=", from.repository)
        .where("to_seq", "=", from.endedBy),
    )
    .execute();
  let names = tables
    .selectFrom("tag")
    .select([place.as("repository"), "name", org.as("org"), "digest", "named_as"])
    .select([now.as("from_seq"), open])
    .where("repository", "=", from.repository)
    .where("to_seq", "=", from.endedBy);
  if (to.tags !== undefined) names = names.where("name", "in", to.tags.length === 0 ? [""] : to.tags);
  await tables
    .insertInto("tag")
    .columns(["repository", "name", "org", "digest", "named_as", "from_seq", "to_seq"])
    .expression(names)
    .execute();
  await tables
    .insertInto("repository_setting")
    .columns([
      "repository",
      "org",
      "description",
      "visibility",
      "immutable",
      "immutable_tags",
      "promotion_policy",
      "set_by",
      "set_time",
      "from_seq",
      "to_seq",
    ])
    .expression((is) =>
      is
        .selectFrom("repository_setting")
        .select([place.as("repository"), org.as("org"), "description", "visibility", "immutable", "immutable_tags"])
        .select(["promotion_policy", "set_by", "set_time", now.as("from_seq"), open])
        .where("repository", "=", from.repository)
        .where("to_seq", "=", from.endedBy),
    )
    .execute();
  await tables
    .insertInto("retention")
    .columns(["repository", "org", "version", "rules", "set_by", "set_time", "from_seq", "to_seq"])
    .expression((is) =>
      is
        .selectFrom("retention")
        .select([place.as("repository"), org.as("org"), "version", "rules", "set_by", "set_time"])
        .select([now.as("from_seq"), open])
        .where("repository", "=", from.repository)
        .where("to_seq", "=", from.endedBy),
    )
    .execute();
  await tables
    .insertInto("quota")
    .columns(["scope", "org", "repository", "bytes", "set_by", "set_time", "from_seq", "to_seq"])
    .expression((is) =>
      is
        .selectFrom("quota")
        .select([place.as("scope"), org.as("org"), place.as("repository"), "bytes", "set_by", "set_time"])
        .select([now.as("from_seq"), open])
        .where("repository", "=", from.repository)
        .where("to_seq", "=", from.endedBy),
    )
    .execute();
}

/** Ends what a tag names. */
export async function endTag(transactor: Transactor, repository: string, tag: string, sequence: number): Promise<void> {
  await transactor
    .tables<RegistryTables>()
    .updateTable("tag")
    .set({ to_seq: sequence })
    .where("repository", "=", repository)
    .where("name", "=", tag)
    .where("to_seq", "is", null)
    .execute();
}

/** Digests one statement names at most. */
const CHUNK = 200;

/**
 * What else the bytes are called that some manifests name, and the manifests: true in the other repository as well.
 *
 * @param manifests undefined: everything the repository knows by another name.
 */
export async function copyAliases(
  transactor: Transactor,
  from: string,
  to: { readonly repository: string; readonly org: string; readonly sequence: number },
  manifests: readonly string[] | undefined,
): Promise<void> {
  const tables = transactor.tables<RegistryTables>();
  let digests: string[] | undefined;
  if (manifests !== undefined) {
    const named = new Set(manifests);
    for (let at = 0; at < manifests.length; at += CHUNK) {
      const rows = await tables
        .selectFrom("manifest_reference")
        .select("digest")
        .distinct()
        .where("repository", "=", from)
        .where("manifest", "in", manifests.slice(at, at + CHUNK))
        .where("to_seq", "is", null)
        .execute();
      for (const row of rows) named.add(row.digest);
    }
    digests = [...named];
  }
  const aliases = await tables.selectFrom("digest_alias").selectAll().where("repository", "=", from).execute();
  const wanted = digests === undefined ? undefined : new Set(digests);
  for (const { alias, digest } of aliases) {
    if (wanted !== undefined && !wanted.has(digest)) continue;
    await tables
      .insertInto("digest_alias")
      .values({ ...to, alias, digest })
      .onConflict((conflict) => conflict.columns(["repository", "alias"]).doNothing())
      .execute();
  }
}
