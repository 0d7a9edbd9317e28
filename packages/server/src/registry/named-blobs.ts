import { sql } from "kysely";
import { keptAmong } from "../collection/kept.ts";
import type { AliasedBlob, KeptAt, NamedBlob } from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import type { RegistryTables } from "./schema.ts";

/**
 * The blobs a repository stands on: its manifests' own bytes, and what they name and the repository held.
 *
 * @param asOf after that many events; today when it is not given.
 */
export async function* registryBlobs(reader: Reader, asOf = Number.MAX_SAFE_INTEGER): AsyncGenerator<NamedBlob> {
  const tables = reader.tables<RegistryTables>();
  const manifests = tables
    .selectFrom("manifest")
    .select(["repository", "digest"])
    .where("from_seq", "<", asOf)
    .where((row) => row.or([row("to_seq", "is", null), row("to_seq", ">=", asOf)]));
  for await (const row of manifests.stream()) {
    yield { digest: row.digest, namedBy: `the manifest ${row.repository}@${row.digest}` };
  }
  const references = tables
    .selectFrom("manifest_reference")
    .select(["repository", "manifest", "digest"])
    .where("from_seq", "<", asOf)
    .where((row) => row.or([row("to_seq", "is", null), row("to_seq", ">=", asOf)]))
    .where("held", "=", 1);
  for await (const row of references.stream()) {
    yield { digest: row.digest, namedBy: `the manifest ${row.repository}@${row.manifest}` };
  }
}

/**
 * Those of some digests whose bytes repositories need: manifests and what they name, also for a while after they were deleted; leases; and
 * what an upload that is being finished turns into.
 */
export function registryKeeps(
  reader: Reader,
  digests: readonly string[],
  { time, since }: KeptAt,
): Promise<readonly string[]> {
  return keptAmong(reader, digests, [
    sql`select 1 from manifest where digest = asked.digest and to_seq is null`,
    sql`select 1 from manifest where digest = asked.digest and to_seq >= ${since}`,
    sql`select 1 from manifest_reference where digest = asked.digest and held = 1 and to_seq is null`,
    sql`select 1 from manifest_reference where digest = asked.digest and held = 1 and to_seq >= ${since}`,
    sql`select 1 from blob_lease where digest = asked.digest and expires > ${time}`,
    sql`select 1 from upload where digest = asked.digest`,
  ]);
}

/** What else the record calls bytes that a repository holds or held. */
export async function* registryAliases(reader: Reader): AsyncGenerator<AliasedBlob> {
  const rows = reader.tables<RegistryTables>().selectFrom("digest_alias").select(["repository", "alias", "digest"]);
  for await (const { repository, alias, digest } of rows.stream()) {
    yield { digest, alias, namedBy: `the repository ${repository}` };
  }
}
