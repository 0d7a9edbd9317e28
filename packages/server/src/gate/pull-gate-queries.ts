import type { Reader } from "../storage/database.ts";
import type { GateTables } from "./schema.ts";
import { ONE_ROW } from "../storage/one-row.ts";

export type PullGateRow = GateTables["pull_gate"];

/** Values one statement is asked with at most. */
const CHUNK = 500;

/** The gates of an organisation by pattern; now, or as of a sequence. */
export async function pullGates(reader: Reader, org: string, asOf?: number): Promise<PullGateRow[]> {
  const query = reader.tables<GateTables>().selectFrom("pull_gate").selectAll().where("org", "=", org);
  return await (asOf === undefined
    ? query.where("to_seq", "is", null)
    : query.where("from_seq", "<=", asOf).where((is) => is.or([is("to_seq", "is", null), is("to_seq", ">", asOf)]))
  )
    .orderBy("repository")
    .execute();
}

/** The gate that stands under exactly this pattern. */
export async function findPullGate(reader: Reader, org: string, repository: string): Promise<PullGateRow | undefined> {
  return reader
    .tables<GateTables>()
    .selectFrom("pull_gate")
    .selectAll()
    .where("org", "=", org)
    .where("repository", "=", repository)
    .where("to_seq", "is", null)
    .executeTakeFirst();
}

/** The version of a policy that judges now, without its text. */
export async function currentPolicy(
  reader: Reader,
  org: string,
  name: string,
): Promise<{ version: number; digest: string } | undefined> {
  return reader
    .tables<GateTables>()
    .selectFrom("gate_policy")
    .select(["version", "digest"])
    .where("org", "=", org)
    .where("name", "=", name)
    .orderBy("version", "desc")
    .limit(ONE_ROW)
    .executeTakeFirst();
}

/** Those of some artifacts that a policy's newest decision allowed in a repository: what to ask about first, never an answer. */
export async function onceAllowed(
  reader: Reader,
  org: string,
  by: { readonly repository: string; readonly policyDigest: string },
  subjects: readonly string[],
): Promise<Set<string>> {
  const allowed = new Set<string>();
  for (let start = 0; start < subjects.length; start += CHUNK) {
    const rows = await reader
      .tables<GateTables>()
      .selectFrom("gate_decision")
      .select("subject")
      .where("org", "=", org)
      .where("subject", "in", subjects.slice(start, start + CHUNK))
      .where("repository", "=", by.repository)
      .where("policy_digest", "=", by.policyDigest)
      .where("result", "=", "allowed")
      .where("to_seq", "is", null)
      .execute();
    for (const { subject } of rows) allowed.add(subject);
  }
  return allowed;
}
