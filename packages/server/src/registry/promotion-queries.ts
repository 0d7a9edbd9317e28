import { type Digest, parseDigest } from "@assay/evidence";
import type { Reader } from "../storage/database.ts";
import { REGISTRY_LIMITS } from "./limits.ts";
import { inBatches, listReferrers, resolveTag } from "./queries.ts";
import { mayRun, type NamedPart } from "./runnable.ts";
import type { RegistryTables } from "./schema.ts";

/** Children of an index in a repository. */
async function childrenOf(reader: Reader, repository: string, manifest: string, limit: number): Promise<Digest[]> {
  const rows = await reader
    .tables<RegistryTables>()
    .selectFrom("manifest_reference")
    .select("digest")
    .where("repository", "=", repository)
    .where("manifest", "=", manifest)
    .where("kind", "=", "child")
    .where("held", "=", 1)
    .where("to_seq", "is", null)
    .orderBy("digest")
    .limit(limit)
    .execute();
  return rows.map((row) => parseDigest(row.digest));
}

/** The tags that signing clients keep evidence about an artifact under. */
function evidenceTags(digest: Digest): string[] {
  const name = digest.replace(":", "-");
  return [name, `${name}.sig`, `${name}.att`, `${name}.sbom`];
}

/** What comes with an artifact when it is copied: see {@link companyOf}. */
export interface Company {
  /** The artifact itself, what it consists of, and what refers to any of it, each once. */
  readonly manifests: readonly Digest[];
  /** Of these the artifact itself and what it consists of: they are named by its digest. */
  readonly parts: ReadonlySet<Digest>;
  /** Tags that evidence about any of it is kept under. */
  readonly evidenceTags: readonly { readonly tag: string; readonly digest: Digest }[];
  /** There is more than {@link REGISTRY_LIMITS.promotedManifests}: this is not all of it. */
  readonly more: boolean;
}

/** An artifact in a repository with all that belongs to it there: children, referrers, and what is kept under tags made of their digests. */
export async function companyOf(reader: Reader, repository: string, artifact: Digest): Promise<Company> {
  const manifests = new Set<Digest>([artifact]);
  const parts = new Set<Digest>([artifact]);
  const tags: { tag: string; digest: Digest }[] = [];
  // A set goes on with what is added while it is gone through.
  for (const digest of manifests) {
    const limit = REGISTRY_LIMITS.promotedManifests + 1 - manifests.size;
    if (limit <= 0) return { manifests: [...manifests], parts, evidenceTags: tags, more: true };
    for (const child of await childrenOf(reader, repository, digest, limit)) {
      manifests.add(child);
      if (parts.has(digest)) parts.add(child);
    }
    const page = { last: "", limit, artifactType: undefined };
    for (const referrer of await listReferrers(reader, repository, digest, page)) manifests.add(referrer.digest);
    for (const tag of evidenceTags(digest)) {
      const named = await resolveTag(reader, repository, tag);
      if (named === undefined) continue;
      manifests.add(named.digest);
      tags.push({ tag, digest: named.digest });
    }
  }
  const more = manifests.size > REGISTRY_LIMITS.promotedManifests;
  return { manifests: [...manifests], parts, evidenceTags: tags, more };
}

/** Those of some manifests of a repository that may be something that is run, by what they name (runnable.ts). */
export async function runningAmong(
  reader: Reader,
  repository: string,
  manifests: readonly Digest[],
): Promise<Set<string>> {
  const named = new Map<string, NamedPart[]>();
  for (const batch of inBatches(manifests)) {
    const rows = await reader
      .tables<RegistryTables>()
      .selectFrom("manifest_reference")
      .select(["manifest", "kind", "digest", "media_type"])
      .where("repository", "=", repository)
      .where("manifest", "in", batch)
      .where("kind", "<>", "child")
      .where("to_seq", "is", null)
      .execute();
    for (const { manifest, kind, digest, media_type: mediaType } of rows) {
      const parts = named.get(manifest) ?? [];
      parts.push({ kind, digest, mediaType });
      named.set(manifest, parts);
    }
  }
  return new Set([...named].flatMap(([manifest, parts]) => (mayRun(parts) ? [manifest] : [])));
}
