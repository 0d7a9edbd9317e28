import { sql } from "kysely";
import { keptAmong } from "../collection/kept.ts";
import type { NamedBlob } from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import type { GateTables } from "./schema.ts";

/** Rows read at a time. */
const PAGE = 500;

/**
 * Every blob that a decision names: its signed summary, and the text of a policy that came with the request.
 *
 * @param asOf after that many events; today when it is not given.
 */
export async function* decisionBlobs(reader: Reader, asOf = Number.MAX_SAFE_INTEGER): AsyncGenerator<NamedBlob> {
  let last: { org: string; from_seq: number } | undefined;
  for (;;) {
    const after = last;
    let query = reader
      .tables<GateTables>()
      .selectFrom("gate_decision")
      .select(["org", "from_seq", "vsa", "policy_digest", "policy_name"])
      .where("from_seq", "<", asOf);
    if (after !== undefined) {
      query = query.where((where) =>
        where.or([
          where("org", ">", after.org),
          where.and([where("org", "=", after.org), where("from_seq", ">", after.from_seq)]),
        ]),
      );
    }
    const rows = await query.orderBy("org").orderBy("from_seq").limit(PAGE).execute();
    for (const row of rows) {
      const decision = `a decision of ${row.org} (record ${row.from_seq})`;
      yield { digest: row.vsa, namedBy: decision };
      if (row.policy_name === null) yield { digest: row.policy_digest, namedBy: decision };
    }
    last = rows.at(-1);
    if (rows.length < PAGE) return;
  }
}

/** Those of some digests that decisions stand on: they are kept for ever. */
export function decisionKeeps(reader: Reader, digests: readonly string[]): Promise<readonly string[]> {
  return keptAmong(reader, digests, [
    sql`select 1 from gate_decision where vsa = asked.digest`,
    sql`select 1 from gate_decision where policy_digest = asked.digest and policy_name is null`,
  ]);
}
