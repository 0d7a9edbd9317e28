import { sql } from "kysely";
import { keptAmong } from "../collection/kept.ts";
import type { NamedBlob } from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import type { AttestationTables } from "./schema.ts";

/** Rows read at a time. */
const PAGE = 500;

/**
 * Every blob that is a piece of evidence, with its organisation: what must never be missing.
 *
 * @param asOf after that many events; today when it is not given.
 */
export async function* evidenceBlobs(reader: Reader, asOf = Number.MAX_SAFE_INTEGER): AsyncGenerator<NamedBlob> {
  let last: { org: string; sequence: number } | undefined;
  for (;;) {
    const after = last;
    let query = reader
      .tables<AttestationTables>()
      .selectFrom("evidence")
      .select(["org", "sequence", "digest"])
      .where("sequence", "<", asOf);
    if (after !== undefined) {
      query = query.where((where) =>
        where.or([
          where("org", ">", after.org),
          where.and([where("org", "=", after.org), where("sequence", ">", after.sequence)]),
        ]),
      );
    }
    const rows = await query.orderBy("org").orderBy("sequence").limit(PAGE).execute();
    for (const row of rows) yield { digest: row.digest, namedBy: `evidence of ${row.org} (record ${row.sequence})` };
    last = rows.at(-1);
    if (rows.length < PAGE) return;
  }
}

/** Those of some digests that are pieces of evidence, whoever's: evidence is kept for ever. */
export function evidenceKeeps(reader: Reader, digests: readonly string[]): Promise<readonly string[]> {
  return keptAmong(reader, digests, [sql`select 1 from evidence where digest = asked.digest`]);
}
