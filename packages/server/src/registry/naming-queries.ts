import { type Digest, isDigest, parseDigest } from "@assay/evidence";
import type { Reader } from "../storage/database.ts";
import { inBatches } from "./queries.ts";
import type { RegistryTables } from "./schema.ts";
import { ONE_ROW } from "../storage/one-row.ts";

/** Manifests of a repository, in order of digest, from after `after` (exclusive; "" for the first). */
export interface NamingPage {
  readonly after: string;
  readonly limit: number;
}

/** The manifests of a repository that name a blob and had it: by which its bytes are to be seen there. */
export async function manifestsHolding(
  reader: Reader,
  repository: string,
  blob: Digest,
  page: NamingPage,
): Promise<Digest[]> {
  const rows = await reader
    .tables<RegistryTables>()
    .selectFrom("manifest_reference")
    .select("manifest")
    .distinct()
    .where("repository", "=", repository)
    .where("digest", "=", blob)
    .where("to_seq", "is", null)
    .where("held", "=", 1)
    .where("kind", "<>", "child")
    .where("manifest", ">", page.after)
    .orderBy("manifest")
    .limit(page.limit)
    .execute();
  return rows.map((row) => parseDigest(row.manifest));
}

/** Whether a manifest of a repository names a blob and had it. */
export async function holds(reader: Reader, repository: string, manifest: Digest, blob: Digest): Promise<boolean> {
  const row = await reader
    .tables<RegistryTables>()
    .selectFrom("manifest_reference")
    .select("manifest")
    .where("repository", "=", repository)
    .where("digest", "=", blob)
    .where("manifest", "=", manifest)
    .where("to_seq", "is", null)
    .where("held", "=", 1)
    .where("kind", "<>", "child")
    .limit(ONE_ROW)
    .executeTakeFirst();
  return row !== undefined;
}

/** The indexes of a repository that list some manifests of it, each with the manifest it lists; at most `limit` for every 256 asked about. */
export async function indexesListing(
  reader: Reader,
  repository: string,
  manifests: readonly Digest[],
  limit: number,
): Promise<{ readonly index: Digest; readonly lists: Digest }[]> {
  const found: { index: Digest; lists: Digest }[] = [];
  for (const batch of inBatches(manifests)) {
    const rows = await reader
      .tables<RegistryTables>()
      .selectFrom("manifest_reference")
      .select(["manifest", "digest"])
      .distinct()
      .where("repository", "=", repository)
      .where("digest", "in", batch)
      .where("to_seq", "is", null)
      .where("held", "=", 1)
      .where("kind", "=", "child")
      .orderBy("manifest")
      .limit(limit)
      .execute();
    found.push(...rows.map((row) => ({ index: parseDigest(row.manifest), lists: parseDigest(row.digest) })));
  }
  return found;
}

/**
 * The tags that begin as those do under which signing clients keep evidence, and that name a manifest of a repository now: at most `limit`, by name.
 * However many other tags name it.
 */
export async function evidenceTagsOf(
  reader: Reader,
  repository: string,
  digest: Digest,
  limit: number,
): Promise<string[]> {
  const rows = await reader
    .tables<RegistryTables>()
    .selectFrom("tag")
    .select("name")
    .where("repository", "=", repository)
    .where("digest", "=", digest)
    .where("to_seq", "is", null)
    .where("name", ">=", "sha256-")
    .where("name", "<", "sha256.")
    .orderBy("name")
    .limit(limit)
    .execute();
  return rows.map((row) => row.name);
}

/** What a manifest of a repository says it is and is about. A subject that stands for nothing there is none. */
export async function statedBy(
  reader: Reader,
  repository: string,
  digest: Digest,
): Promise<{ readonly subject: Digest | undefined; readonly artifactType: string | undefined } | undefined> {
  const row = await reader
    .tables<RegistryTables>()
    .selectFrom("manifest")
    .select(["subject", "artifact_type"])
    .where("repository", "=", repository)
    .where("digest", "=", digest)
    .where("to_seq", "is", null)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  return {
    subject: isDigest(row.subject) ? row.subject : undefined,
    artifactType: row.artifact_type ?? undefined,
  };
}
