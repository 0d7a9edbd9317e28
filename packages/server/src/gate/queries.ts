import type { Reader } from "../storage/database.ts";
import type { GateTables } from "./schema.ts";
import { ONE_ROW } from "../storage/one-row.ts";

export type PolicyRow = GateTables["gate_policy"];
export type DecisionRow = GateTables["gate_decision"];

/** What lists show: without the texts, of which one may have megabytes. */
export type PolicySummary = Pick<PolicyRow, (typeof POLICY_SUMMARY)[number]>;
export type DecisionSummary = Pick<DecisionRow, (typeof DECISION_SUMMARY)[number]>;

const POLICY_SUMMARY = ["name", "version", "digest", "time", "from_seq"] as const;
const DECISION_SUMMARY = [
  "id",
  "subject",
  "repository",
  "policy_name",
  "policy_version",
  "policy_digest",
  "result",
  "time",
  "from_seq",
  "to_seq",
] as const;

/** Values one statement is asked with at most. */
const CHUNK = 500;

/** A policy by name: the version current as of a sequence, or a named version. */
export async function findPolicy(
  reader: Reader,
  org: string,
  name: string,
  at: { readonly asOf?: number | undefined; readonly version?: number | undefined },
): Promise<PolicyRow | undefined> {
  let query = reader
    .tables<GateTables>()
    .selectFrom("gate_policy")
    .selectAll()
    .where("org", "=", org)
    .where("name", "=", name);
  if (at.version !== undefined) query = query.where("version", "=", at.version);
  if (at.asOf !== undefined) query = query.where("from_seq", "<=", at.asOf);
  return query.orderBy("version", "desc").limit(ONE_ROW).executeTakeFirst();
}

/** A policy by its digest, in whatever version it was first set. */
export async function findPolicyByDigest(reader: Reader, org: string, digest: string): Promise<PolicyRow | undefined> {
  return reader
    .tables<GateTables>()
    .selectFrom("gate_policy")
    .selectAll()
    .where("org", "=", org)
    .where("digest", "=", digest)
    .orderBy("from_seq")
    .limit(ONE_ROW)
    .executeTakeFirst();
}

/** Whether an organisation ever decided by a policy: what makes a policy given with a request its own. */
export async function decidedByPolicy(reader: Reader, org: string, digest: string): Promise<boolean> {
  const row = await reader
    .tables<GateTables>()
    .selectFrom("gate_decision")
    .select("id")
    .where("org", "=", org)
    .where("policy_digest", "=", digest)
    .limit(ONE_ROW)
    .executeTakeFirst();
  return row !== undefined;
}

/** The policies current as of a sequence, in the order they last changed. */
export async function listPolicies(
  reader: Reader,
  org: string,
  page: { readonly asOf: number; readonly after: number | undefined; readonly limit: number },
): Promise<PolicySummary[]> {
  let query = reader
    .tables<GateTables>()
    .selectFrom("gate_policy")
    .select(POLICY_SUMMARY)
    .where("org", "=", org)
    .where("from_seq", "<=", page.asOf)
    .where((where) => where.or([where("to_seq", "is", null), where("to_seq", ">", page.asOf)]));
  if (page.after !== undefined) query = query.where("from_seq", ">", page.after);
  return query.orderBy("from_seq").limit(page.limit).execute();
}

/** How many policies an organisation has. */
export async function countPolicies(reader: Reader, org: string): Promise<number> {
  const row = await reader
    .tables<GateTables>()
    .selectFrom("gate_policy")
    .select((select) => select.fn.countAll<number>().as("count"))
    .where("org", "=", org)
    .where("to_seq", "is", null)
    .executeTakeFirstOrThrow();
  return Number(row.count);
}

/** A decision by its id, whoever's it is: the caller asks whether it may be seen. */
export async function findDecision(reader: Reader, id: string): Promise<DecisionRow | undefined> {
  return reader.tables<GateTables>().selectFrom("gate_decision").selectAll().where("id", "=", id).executeTakeFirst();
}

/** The newest answer to a question. */
export async function newestAnswer(reader: Reader, org: string, question: string): Promise<DecisionRow | undefined> {
  return reader
    .tables<GateTables>()
    .selectFrom("gate_decision")
    .selectAll()
    .where("org", "=", org)
    .where("question", "=", question)
    .where("to_seq", "is", null)
    .executeTakeFirst();
}

/** The answers that stand as of a sequence, oldest first: of each question its newest one. */
export async function currentAnswers(
  reader: Reader,
  org: string,
  page: { readonly asOf: number; readonly after: number; readonly limit: number },
): Promise<DecisionSummary[]> {
  return reader
    .tables<GateTables>()
    .selectFrom("gate_decision")
    .select(DECISION_SUMMARY)
    .where("org", "=", org)
    .where("from_seq", ">", page.after)
    .where("from_seq", "<=", page.asOf)
    .where((where) => where.or([where("to_seq", "is", null), where("to_seq", ">", page.asOf)]))
    .orderBy("from_seq")
    .limit(page.limit)
    .execute();
}

/** Decisions, newest first, below a sequence. */
export async function listDecisions(
  reader: Reader,
  org: string,
  page: {
    readonly asOf: number;
    readonly before: number | undefined;
    readonly limit: number;
    readonly subject: string | undefined;
  },
): Promise<DecisionSummary[]> {
  let query = reader
    .tables<GateTables>()
    .selectFrom("gate_decision")
    .select(DECISION_SUMMARY)
    .where("org", "=", org)
    .where("from_seq", "<=", page.asOf);
  if (page.before !== undefined) query = query.where("from_seq", "<", page.before);
  if (page.subject !== undefined) query = query.where("subject", "=", page.subject);
  return query.orderBy("from_seq", "desc").limit(page.limit).execute();
}

/** Which of these pieces of evidence are verification summaries of this organisation's own decisions. */
export async function ownSummaries(reader: Reader, org: string, digests: readonly string[]): Promise<Set<string>> {
  const own = new Set<string>();
  for (let start = 0; start < digests.length; start += CHUNK) {
    const rows = await reader
      .tables<GateTables>()
      .selectFrom("gate_decision")
      .select("vsa")
      .where("org", "=", org)
      .where("vsa", "in", digests.slice(start, start + CHUNK))
      .execute();
    for (const row of rows) own.add(row.vsa);
  }
  return own;
}

/** How often a decision was asked for again, and when last; undefined for never. */
export async function repeatsOf(reader: Reader, id: string): Promise<{ count: number; last_time: number } | undefined> {
  return reader
    .tables<GateTables>()
    .selectFrom("gate_repeat")
    .select(["count", "last_time"])
    .where("id", "=", id)
    .executeTakeFirst();
}
