import type { NamedBlob } from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import type { RegistryTables } from "./schema.ts";

/** The blobs a repository stands on today: its manifests' own bytes, and what they name and the repository held. */
export async function* registryBlobs(reader: Reader): AsyncGenerator<NamedBlob> {
  const tables = reader.tables<RegistryTables>();
  const manifests = tables.selectFrom("manifest").select(["repository", "digest"]).where("to_seq", "is", null);
  for await (const row of manifests.stream()) {
    yield { digest: row.digest, namedBy: `the manifest ${row.repository}@${row.digest}` };
  }
  const references = tables
    .selectFrom("manifest_reference")
    .select(["repository", "manifest", "digest"])
    .where("to_seq", "is", null)
    .where("held", "=", 1);
  for await (const row of references.stream()) {
    yield { digest: row.digest, namedBy: `the manifest ${row.repository}@${row.manifest}` };
  }
}
