import type { Reader } from "../storage/database.ts";
import type { ReferenceKind, RegistryTables } from "./schema.ts";

/** A repository that holds a manifest now. */
export interface Place {
  readonly repository: string;
  readonly mediaType: string;
  readonly artifactType: string | null;
  /** Bytes. */
  readonly size: number;
  readonly pushedBy: string;
  /** ms since 1970. */
  readonly pushedAt: number;
  readonly sequence: number;
}

/** A manifest that names something, or is about it. */
export interface Naming extends Place {
  readonly digest: string;
}

/** Which rows a page has: those after the last repository and digest seen. */
interface Page {
  readonly after: { readonly repository: string; readonly digest: string };
  readonly limit: number;
}

const MANIFEST = [
  "manifest.repository as repository",
  "manifest.digest as digest",
  "manifest.media_type as mediaType",
  "manifest.artifact_type as artifactType",
  "manifest.size as size",
  "manifest.pushed_by as pushedBy",
  "manifest.pushed_time as pushedAt",
  "manifest.from_seq as sequence",
] as const;

/** Repositories of an organisation that hold the manifest, by name, after `after` (exclusive). */
export async function placesOf(
  reader: Reader,
  org: string,
  digest: string,
  page: { readonly after: string; readonly limit: number },
): Promise<Place[]> {
  const rows = await reader
    .tables<RegistryTables>()
    .selectFrom("repository")
    .innerJoin("manifest", "manifest.repository", "repository.name")
    .select(MANIFEST)
    .where("repository.org", "=", org)
    .where("repository.name", ">", page.after)
    .where("manifest.digest", "=", digest)
    .where("manifest.to_seq", "is", null)
    .orderBy("repository.name")
    .limit(page.limit)
    .execute();
  return rows.map(({ digest: _same, ...place }) => place);
}

/** Manifests of an organisation whose subject is the digest, by repository and digest. */
export async function referrersIn(reader: Reader, org: string, subject: string, page: Page): Promise<Naming[]> {
  const { repository, digest } = page.after;
  return reader
    .tables<RegistryTables>()
    .selectFrom("repository")
    .innerJoin("manifest", "manifest.repository", "repository.name")
    .select(MANIFEST)
    .where("repository.org", "=", org)
    .where("repository.name", ">=", repository)
    .where("manifest.subject", "=", subject)
    .where("manifest.to_seq", "is", null)
    .where((is) => is.or([is("repository.name", ">", repository), is("manifest.digest", ">", digest)]))
    .orderBy("repository.name")
    .orderBy("manifest.digest")
    .limit(page.limit)
    .execute();
}

/** Manifests of an organisation that name the digest as something of theirs and had its bytes, by repository and digest. */
export async function manifestsWith(
  reader: Reader,
  org: string,
  named: string,
  page: Page,
): Promise<(Naming & { readonly kind: ReferenceKind })[]> {
  const { repository, digest } = page.after;
  const tables = reader.tables<RegistryTables>();
  const references = await tables
    .selectFrom("repository")
    .innerJoin("manifest_reference", "manifest_reference.repository", "repository.name")
    .select([
      "manifest_reference.repository as repository",
      "manifest_reference.manifest as manifest",
      "manifest_reference.kind as kind",
    ])
    .where("repository.org", "=", org)
    .where("repository.name", ">=", repository)
    .where("manifest_reference.digest", "=", named)
    .where("manifest_reference.held", "=", 1)
    .where("manifest_reference.to_seq", "is", null)
    .where((is) => is.or([is("repository.name", ">", repository), is("manifest_reference.manifest", ">", digest)]))
    .orderBy("repository.name")
    .orderBy("manifest_reference.manifest")
    .limit(page.limit)
    .execute();
  // Each by its key: joined in one statement, a planner that knows little of the tables may walk through all manifests instead.
  const found = await Promise.all(
    references.map(async ({ kind, ...reference }) => {
      const row = await tables
        .selectFrom("manifest")
        .select(MANIFEST)
        .where("manifest.repository", "=", reference.repository)
        .where("manifest.digest", "=", reference.manifest)
        .where("manifest.to_seq", "is", null)
        .executeTakeFirst();
      return row === undefined ? [] : [{ ...row, kind }];
    }),
  );
  return found.flat();
}
