import { type Digest, parseDigest } from "@assay/evidence";
import type { Reader } from "../storage/database.ts";
import { isSha512, type NamedDigest } from "./digest.ts";
import { inBatches } from "./queries.ts";
import type { RegistryTables } from "./schema.ts";

/** What a SHA-512 digest stands for in a repository. */
export interface Alias {
  readonly digest: Digest;
  /** A fact of the record; else it is known by a lease, and ends with it. */
  readonly recorded: boolean;
}

/**
 * What SHA-512 digests stand for in a repository: those whose bytes this server hashed for somebody who pushed or mounted them there. It
 * says nothing about whether the bytes are to be seen; one that is not in the answer is unknown, whatever the store holds.
 */
export async function findAliases(
  reader: Reader,
  repository: string,
  names: readonly string[],
  now: number,
): Promise<Map<string, Alias>> {
  const found = new Map<string, Alias>();
  const tables = reader.tables<RegistryTables>();
  for (const batch of inBatches(names)) {
    const leases = await tables
      .selectFrom("blob_lease")
      .select(["sha512", "digest"])
      .where("repository", "=", repository)
      .where("sha512", "in", batch)
      .where("expires", ">", now)
      .execute();
    for (const { sha512, digest } of leases) {
      if (sha512 !== null) found.set(sha512, { digest: parseDigest(digest), recorded: false });
    }
    const recorded = await tables
      .selectFrom("digest_alias")
      .select(["alias", "digest"])
      .where("repository", "=", repository)
      .where("alias", "in", batch)
      .execute();
    for (const { alias, digest } of recorded) found.set(alias, { digest: parseDigest(digest), recorded: true });
  }
  return found;
}

/** The one name of what a client or a manifest names in a repository; undefined when it is a SHA-512 digest of nothing known there. */
export async function canonicalDigest(
  reader: Reader,
  repository: string,
  named: NamedDigest,
  now: number,
): Promise<Digest | undefined> {
  if (!isSha512(named)) return named;
  return (await findAliases(reader, repository, [named], now)).get(named)?.digest;
}

/** Some repositories of an organisation that hold a blob, or may: each is still to be asked. At most `limit`, by name. */
export async function repositoriesHolding(
  reader: Reader,
  org: string,
  named: NamedDigest,
  page: { readonly now: number; readonly limit: number },
): Promise<string[]> {
  const tables = reader.tables<RegistryTables>();
  const leased = await tables
    .selectFrom("blob_lease")
    .select("repository")
    .where("org", "=", org)
    .where(isSha512(named) ? "sha512" : "digest", "=", named)
    .where("expires", ">", page.now)
    .orderBy("repository")
    .limit(page.limit)
    .execute();
  const kept = isSha512(named)
    ? await tables
        .selectFrom("digest_alias")
        .select("repository")
        .where("org", "=", org)
        .where("alias", "=", named)
        .orderBy("repository")
        .limit(page.limit)
        .execute()
    : await tables
        .selectFrom("manifest_reference")
        .select("repository")
        .distinct()
        .where("org", "=", org)
        .where("digest", "=", named)
        .where("to_seq", "is", null)
        .where("held", "=", 1)
        .where("kind", "<>", "child")
        .orderBy("repository")
        .limit(page.limit)
        .execute();
  return [...new Set([...leased, ...kept].map((row) => row.repository))].toSorted().slice(0, page.limit);
}
