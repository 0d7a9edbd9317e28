import { type Digest, parseDigest } from "@assay/evidence";
import { sql } from "kysely";
import type { RecordTables } from "../record/schema.ts";
import type { Reader } from "../storage/database.ts";
import { prepared, recorded } from "../storage/prepared.ts";
import type { RegistryTables } from "./schema.ts";
import { ONE_ROW } from "../storage/one-row.ts";

/** A manifest as a repository holds it. */
export interface StoredManifest {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly mediaType: string;
  /** The record's sequence since which the repository holds it. */
  readonly sequence: number;
}

const manifestEver = (reader: Reader, at: { repository: string; digest: string }) =>
  reader
    .tables<RegistryTables>()
    .selectFrom("manifest")
    .select(["size", "media_type", "from_seq"])
    .where("repository", "=", at.repository)
    .where("digest", "=", at.digest);

const manifestNow = prepared((reader, at: { repository: string; digest: string }) =>
  manifestEver(reader, at).where("to_seq", "is", null),
);

/** A manifest of a repository by digest; now, or as of a sequence of the record. */
export async function findManifest(
  reader: Reader,
  repository: string,
  digest: Digest,
  asOf?: number,
): Promise<StoredManifest | undefined> {
  const [row] = await (asOf === undefined
    ? manifestNow(reader, { repository, digest })
    : manifestEver(reader, { repository, digest })
        .where("from_seq", "<=", asOf)
        .where((is) => is.or([is("to_seq", "is", null), is("to_seq", ">", asOf)]))
        .execute());
  return row && { digest, size: row.size, mediaType: row.media_type, sequence: row.from_seq };
}

/** What a tag names. */
export interface ResolvedTag {
  readonly digest: Digest;
  /** The digest it was set by, where that was of another algorithm: what a pull by the tag is answered with. */
  readonly namedAs: string | undefined;
  readonly sequence: number;
}

/** What a tag names; now, or as of a sequence of the record. */
export async function resolveTag(
  reader: Reader,
  repository: string,
  tag: string,
  asOf?: number,
): Promise<ResolvedTag | undefined> {
  const query = reader
    .tables<RegistryTables>()
    .selectFrom("tag")
    .select(["digest", "named_as", "from_seq"])
    .where("repository", "=", repository)
    .where("name", "=", tag);
  const row = await (asOf === undefined
    ? query.where("to_seq", "is", null)
    : query.where("from_seq", "<=", asOf).where((is) => is.or([is("to_seq", "is", null), is("to_seq", ">", asOf)]))
  ).executeTakeFirst();
  return row && { digest: parseDigest(row.digest), namedAs: row.named_as ?? undefined, sequence: row.from_seq };
}

/** Who set a tag, by the sequence since which it names what it does: an actor's id. */
export async function tagSetBy(reader: Reader, sequence: number): Promise<string | undefined> {
  const row = await reader
    .tables<RecordTables>()
    .selectFrom("event")
    .select("actor")
    .where("sequence", "=", sequence)
    .executeTakeFirst();
  return row?.actor;
}

const taggedNow = recorded((reader, at: { repository: string; tag: string }) =>
  reader
    .tables<RegistryTables>()
    .selectFrom("tag")
    .innerJoin("manifest", (join) =>
      join.onRef("manifest.repository", "=", "tag.repository").onRef("manifest.digest", "=", "tag.digest"),
    )
    .select(["tag.digest", "tag.named_as", "manifest.size", "manifest.media_type", "manifest.from_seq"])
    .where("tag.repository", "=", at.repository)
    .where("tag.name", "=", at.tag)
    .where("tag.to_seq", "is", null)
    .where("manifest.to_seq", "is", null),
);

/** The manifest that a tag names now, and what the tag was set by where that was a digest of another algorithm. */
export async function findTagged(
  reader: Reader,
  repository: string,
  tag: string,
): Promise<(StoredManifest & { readonly namedAs: string | undefined }) | undefined> {
  const [row] = await taggedNow(reader, { repository, tag });
  return (
    row && {
      digest: parseDigest(row.digest),
      namedAs: row.named_as ?? undefined,
      size: row.size,
      mediaType: row.media_type,
      sequence: row.from_seq,
    }
  );
}

/** The tags that name a manifest now, at most `limit`, by name. */
export async function tagsOf(reader: Reader, repository: string, digest: Digest, limit: number): Promise<string[]> {
  const rows = await reader
    .tables<RegistryTables>()
    .selectFrom("tag")
    .select("name")
    .where("repository", "=", repository)
    .where("digest", "=", digest)
    .where("to_seq", "is", null)
    .orderBy("name")
    .limit(limit)
    .execute();
  return rows.map((row) => row.name);
}

/** A blob's visibility in a repository. */
export interface VisibleBlob {
  /** Bytes. */
  readonly size: number;
  /** When its lease ends, ms; undefined when only a manifest holds it. */
  readonly leaseEnds: number | undefined;
}

const leaseOf = prepared((reader, at: { repository: string; digest: string }) =>
  reader
    .tables<RegistryTables>()
    .selectFrom("blob_lease")
    .select(["size", "expires"])
    .where("repository", "=", at.repository)
    .where("digest", "=", at.digest),
);

const heldBy = prepared((reader, at: { repository: string; digest: string }) =>
  reader
    .tables<RegistryTables>()
    .selectFrom("manifest_reference")
    .select("size")
    .where("repository", "=", at.repository)
    .where("digest", "=", at.digest)
    .where("to_seq", "is", null)
    .where("held", "=", 1)
    .where("kind", "<>", "child")
    .limit(ONE_ROW),
);

/**
 * Whether a blob is to be seen in a repository: by a lease that has not run out, or because a manifest there names it and the bytes
 * were there when that manifest came. That the bytes lie in the store (perhaps from another tenant) makes nothing visible.
 */
export async function findBlob(
  reader: Reader,
  repository: string,
  digest: Digest,
  now: number,
): Promise<VisibleBlob | undefined> {
  const [lease] = await leaseOf(reader, { repository, digest });
  if (lease !== undefined && lease.expires > now) return { size: lease.size, leaseEnds: lease.expires };
  const [reference] = await heldBy(reader, { repository, digest });
  return reference && { size: reference.size, leaseEnds: undefined };
}

/**
 * The size of what an organisation holds under a digest: a manifest of one of its repositories, or what one of them names and had when it
 * came. undefined: no repository of the organisation holds it, whatever the store has.
 */
export async function artifactSize(reader: Reader, org: string, digest: Digest): Promise<number | undefined> {
  const tables = reader.tables<RegistryTables>();
  const named = await tables
    .selectFrom("manifest_reference")
    .select("size")
    .where("org", "=", org)
    .where("digest", "=", digest)
    .where("to_seq", "is", null)
    .where("held", "=", 1)
    .limit(ONE_ROW)
    .executeTakeFirst();
  if (named !== undefined) return named.size;
  const manifest = await tables
    .selectFrom("manifest")
    .select("size")
    .where("org", "=", org)
    .where("digest", "=", digest)
    .where("to_seq", "is", null)
    .limit(ONE_ROW)
    .executeTakeFirst();
  return manifest?.size;
}

/** Some manifests of a repository that need a blob, at most `limit`. */
export async function manifestsNaming(
  reader: Reader,
  repository: string,
  digest: Digest,
  limit: number,
): Promise<string[]> {
  const rows = await reader
    .tables<RegistryTables>()
    .selectFrom("manifest_reference")
    .select("manifest")
    .distinct()
    .where("repository", "=", repository)
    .where("digest", "=", digest)
    .where("to_seq", "is", null)
    .where("held", "=", 1)
    .where("kind", "<>", "child")
    .limit(limit)
    .execute();
  return rows.map((row) => row.manifest);
}

const uploadById = prepared((reader, at: { id: string }) =>
  reader
    .tables<RegistryTables>()
    .selectFrom("upload")
    .select(["org", "owner", "repository", "offset", "claim", "claimed_until", "expires"])
    .where("id", "=", at.id),
);

/** An upload session; undefined when there is none of this id. Whose it is, and whether it ran out, is the caller's to ask. */
export async function findUpload(
  reader: Reader,
  id: string,
): Promise<
  | Pick<RegistryTables["upload"], "org" | "owner" | "repository" | "offset" | "claim" | "claimed_until" | "expires">
  | undefined
> {
  const [row] = await uploadById(reader, { id });
  return row;
}

const uploadsOf = prepared((reader, at: { owner: string }) =>
  reader
    .tables<RegistryTables>()
    .selectFrom("upload")
    .select((is) => is.fn.countAll<number>().as("uploads"))
    .where("owner", "=", at.owner),
);

/** How many upload sessions of an actor are under way. */
export async function countUploads(reader: Reader, owner: string): Promise<number> {
  return (await uploadsOf(reader, { owner }))[0]?.uploads ?? 0;
}

const awaitedUnder = prepared((reader, at: { repository: string; name: string; other: string; size: number }) =>
  reader
    .tables<RegistryTables>()
    .selectFrom("manifest_reference")
    .select("manifest")
    .where("repository", "=", at.repository)
    .where("digest", "in", [at.name, at.other])
    .where("to_seq", "is", null)
    .where("held", "=", 0)
    .where("size", "=", at.size)
    .limit(ONE_ROW),
);

/**
 * Whether a manifest of the repository names something of this size that was not there when the manifest came.
 *
 * @param names its digests, or the one it has twice: a manifest may have named it by either.
 */
export async function isAwaited(
  reader: Reader,
  repository: string,
  [name, other]: readonly [string, string],
  size: number,
): Promise<boolean> {
  return (await awaitedUnder(reader, { repository, name, other, size })).length > 0;
}

/** Something that manifests of a repository name and that it does not have. */
export interface AwaitedBlob {
  /** Bytes, as the manifest says. */
  readonly size: number;
}

/** A blob that a manifest of the repository names, and that was not there when the manifest came; undefined when none names it. */
export async function awaitedBlob(reader: Reader, repository: string, named: string): Promise<AwaitedBlob | undefined> {
  const row = await reader
    .tables<RegistryTables>()
    .selectFrom("manifest_reference")
    .select("size")
    .where("repository", "=", repository)
    .where("digest", "=", named)
    .where("to_seq", "is", null)
    .where("held", "=", 0)
    .where("kind", "<>", "child")
    .limit(ONE_ROW)
    .executeTakeFirst();
  return row && { size: row.size };
}

/** A tag that was set, and names something now. */
export interface SetTag {
  readonly repository: string;
  readonly tag: string;
  readonly digest: Digest;
  readonly sequence: number;
}

/** The tags of an organisation that were set after a sequence of the record and are so now, in that order, at most `limit`. */
export async function tagsSetAfter(reader: Reader, org: string, after: number, limit: number): Promise<SetTag[]> {
  const rows = await reader
    .tables<RegistryTables>()
    .selectFrom("tag")
    .select(["repository", "name", "digest", "from_seq"])
    .where("org", "=", org)
    .where("from_seq", ">", after)
    .where("to_seq", "is", null)
    .orderBy("from_seq")
    .limit(limit)
    .execute();
  return rows.map((row) => ({
    repository: row.repository,
    tag: row.name,
    digest: parseDigest(row.digest),
    sequence: row.from_seq,
  }));
}

/** A manifest that is about another. */
export interface PushedReferrer {
  readonly repository: string;
  readonly digest: Digest;
  /** A SHA-512 digest where that stands for nothing. */
  readonly subject: string;
  readonly sequence: number;
}

/** The manifests of an organisation about others that came after a sequence of the record and are there, in that order, at most `limit`. */
export async function referrersAfter(
  reader: Reader,
  org: string,
  after: number,
  limit: number,
): Promise<PushedReferrer[]> {
  const rows = await reader
    .tables<RegistryTables>()
    .selectFrom("manifest")
    .select(["repository", "digest", "subject", "from_seq"])
    .where("org", "=", org)
    .where("from_seq", ">", after)
    .where("subject", "is not", null)
    .where("to_seq", "is", null)
    .orderBy("from_seq")
    .limit(limit)
    .execute();
  return rows.map((row) => ({
    repository: row.repository,
    digest: parseDigest(row.digest),
    subject: row.subject ?? "",
    sequence: row.from_seq,
  }));
}

const repositoryNow = prepared((reader, at: { repository: string }) =>
  reader
    .tables<RegistryTables>()
    .selectFrom("repository")
    .select("name")
    .where("name", "=", at.repository)
    .where("ended_seq", "is", null),
);

/** Whether there is a repository of this name. */
export async function repositoryExists(reader: Reader, repository: string): Promise<boolean> {
  return (await repositoryNow(reader, { repository })).length > 0;
}

/**
 * One text with all of a page's tags in it. A row for each would be an object for each, and some hundred thousand of those a second make a heap grow
 * to several times what is ever needed at once.
 */
const tagsAfter = prepared((reader, at: { repository: string; last: string; limit: number }) =>
  reader
    .tables<RegistryTables>()
    .selectFrom((from) =>
      from
        .selectFrom("tag")
        .select("name")
        .where("repository", "=", at.repository)
        .where("to_seq", "is", null)
        .where("name", ">", at.last)
        .orderBy("name")
        .limit(at.limit)
        .as("page"),
    )
    // No tag has a comma in it (distribution-spec, "Pulling manifests").
    .select(sql<string | null>`string_agg(page.name, ',' order by page.name)`.as("names")),
);

/** Tags after `last` (exclusive), in byte order, at most `limit`. */
export async function listTags(
  reader: Reader,
  repository: string,
  page: { readonly last: string; readonly limit: number },
): Promise<string[]> {
  const [row] = await tagsAfter(reader, { repository, ...page });
  return row?.names?.split(",") ?? [];
}

/** The first organisation after `last` that has a repository. */
export async function nextOrganisation(reader: Reader, last: string): Promise<string | undefined> {
  const row = await reader
    .tables<RegistryTables>()
    .selectFrom("repository")
    .select("org")
    .where("org", ">", last)
    .orderBy("org")
    .limit(ONE_ROW)
    .executeTakeFirst();
  return row?.org;
}

/** Repositories of an organisation after `last` (exclusive), at most `limit`. */
export async function listRepositories(
  reader: Reader,
  org: string,
  page: { readonly last: string; readonly limit: number },
): Promise<string[]> {
  const rows = await reader
    .tables<RegistryTables>()
    .selectFrom("repository")
    .select("name")
    .where("org", "=", org)
    .where("name", ">", page.last)
    .where("ended_seq", "is", null)
    .orderBy("name")
    .limit(page.limit)
    .execute();
  return rows.map((row) => row.name);
}

/** A manifest that names another as its subject, as referrers lists show it. */
export interface Referrer {
  readonly digest: Digest;
  readonly size: number;
  readonly mediaType: string;
  readonly artifactType: string | undefined;
  /** JSON. */
  readonly annotations: string | undefined;
}

/**
 * Manifests about `subject` (a digest; or a SHA-512 one that stands for nothing here) after digest `last` (exclusive), in order of digest,
 * at most `limit`.
 */
export async function listReferrers(
  reader: Reader,
  repository: string,
  subject: string,
  page: { readonly last: string; readonly limit: number; readonly artifactType: string | undefined },
): Promise<Referrer[]> {
  let query = reader
    .tables<RegistryTables>()
    .selectFrom("manifest")
    .select(["digest", "size", "media_type", "artifact_type", "annotations"])
    .where("repository", "=", repository)
    .where("subject", "=", subject)
    .where("to_seq", "is", null)
    .where("digest", ">", page.last);
  if (page.artifactType !== undefined) query = query.where("artifact_type", "=", page.artifactType);
  const rows = await query.orderBy("digest").limit(page.limit).execute();
  return rows.map((row) => ({
    digest: parseDigest(row.digest),
    size: row.size,
    mediaType: row.media_type,
    artifactType: row.artifact_type ?? undefined,
    annotations: row.annotations ?? undefined,
  }));
}

type ReferrersPlace = {
  readonly repository: string;
  readonly subject: string;
  readonly last: string;
  readonly limit: number;
};

const referrerSizesNow = (reader: Reader, at: ReferrersPlace) =>
  reader
    .tables<RegistryTables>()
    .selectFrom("manifest")
    // Bytes that the database knows without reading them.
    .select(["digest", sql<number>`coalesce(octet_length(annotations), 0)`.as("annotations")])
    .where("repository", "=", at.repository)
    .where("subject", "=", at.subject)
    .where("to_seq", "is", null)
    .where("digest", ">", at.last)
    .orderBy("digest")
    .limit(at.limit);

const allSizes = prepared((reader, at: ReferrersPlace) => referrerSizesNow(reader, at));

const sizesOfType = prepared((reader, at: ReferrersPlace & { readonly artifactType: string }) =>
  referrerSizesNow(reader, at).where("artifact_type", "=", at.artifactType),
);

/** What {@link listReferrers} would list: each one's digest, and the bytes of its annotations. */
export function referrerSizes(
  reader: Reader,
  repository: string,
  subject: string,
  page: { readonly last: string; readonly limit: number; readonly artifactType: string | undefined },
): Promise<{ digest: string; annotations: number }[]> {
  const { last, limit, artifactType } = page;
  const place = { repository, subject, last, limit };
  return artifactType === undefined ? allSizes(reader, place) : sizesOfType(reader, { ...place, artifactType });
}

/** Digests asked about in one query. Two fixed sizes, so that two prepared statements serve every manifest. */
const SMALL_BATCH = 16;
const LARGE_BATCH = 256;

/** A list of digests in the parts to ask for at once. */
export function* inBatches<T extends string | number>(digests: readonly T[]): Iterable<T[]> {
  const step = digests.length > SMALL_BATCH ? LARGE_BATCH : SMALL_BATCH;
  for (let at = 0; at < digests.length; at += step) {
    const batch = digests.slice(at, at + step);
    const [first] = batch;
    if (first === undefined) return;
    // Padding repeats a digest, which changes no answer.
    yield [...batch, ...Array.from({ length: step - batch.length }, () => first)];
  }
}

/** The sizes of those of `digests` that are blobs to be seen in the repository; {@link findBlob} for many. */
export async function findBlobs(
  reader: Reader,
  repository: string,
  digests: readonly string[],
  now: number,
): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  const tables = reader.tables<RegistryTables>();
  for (const batch of inBatches(digests)) {
    const leases = await tables
      .selectFrom("blob_lease")
      .select(["digest", "size"])
      .where("repository", "=", repository)
      .where("digest", "in", batch)
      .where("expires", ">", now)
      .execute();
    const references = await tables
      .selectFrom("manifest_reference")
      .select(["digest", "size"])
      .where("repository", "=", repository)
      .where("digest", "in", batch)
      .where("to_seq", "is", null)
      .where("held", "=", 1)
      .where("kind", "<>", "child")
      .execute();
    for (const row of [...references, ...leases]) found.set(row.digest, row.size);
  }
  return found;
}

/** The sizes of those of `digests` that are manifests in the repository. */
export async function findManifests(
  reader: Reader,
  repository: string,
  digests: readonly string[],
): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for (const batch of inBatches(digests)) {
    const rows = await reader
      .tables<RegistryTables>()
      .selectFrom("manifest")
      .select(["digest", "size"])
      .where("repository", "=", repository)
      .where("digest", "in", batch)
      .where("to_seq", "is", null)
      .execute();
    for (const row of rows) found.set(row.digest, row.size);
  }
  return found;
}
