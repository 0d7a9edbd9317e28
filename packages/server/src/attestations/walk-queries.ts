import type { Reader } from "../storage/database.ts";
import type { AttestationTables } from "./schema.ts";

/** Values one statement is asked with at most. */
const CHUNK = 500;

/** All of an organisation's pieces as of a sequence, oldest first, page by page: for who must look at everything. */
export async function evidenceInOrder(
  reader: Reader,
  org: string,
  page: { readonly asOf: number; readonly after: number; readonly limit: number },
): Promise<AttestationTables["evidence"][]> {
  return reader
    .tables<AttestationTables>()
    .selectFrom("evidence")
    .selectAll()
    .where("org", "=", org)
    .where("sequence", ">", page.after)
    .where("sequence", "<=", page.asOf)
    .orderBy("sequence")
    .limit(page.limit)
    .execute();
}

/** Whose the signatures of these pieces were proven to be: key ids by piece. */
export async function signersOfAll(
  reader: Reader,
  org: string,
  digests: readonly string[],
): Promise<ReadonlyMap<string, readonly string[]>> {
  const signers = new Map<string, string[]>();
  for (let start = 0; start < digests.length; start += CHUNK) {
    const rows = await reader
      .tables<AttestationTables>()
      .selectFrom("evidence_signer")
      .select(["digest", "key_id"])
      .where("org", "=", org)
      .where("digest", "in", digests.slice(start, start + CHUNK))
      .execute();
    for (const row of rows) signers.set(row.digest, [...(signers.get(row.digest) ?? []), row.key_id]);
  }
  return signers;
}
