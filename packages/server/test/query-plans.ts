/** The statements a server makes, and how its database would go about them. */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { Client } from "pg";
import { vi } from "vitest";
import type { DatabasePlace } from "../src/storage/open.ts";
import { databasePath } from "../src/storage/sqlite.ts";

/** Walks along a table's own key, or in no order at all, that stop at the first rows. */
const FIRST_ROWS = /from ("event"( order by "sequence" desc)?|"job" order by "id" desc) limit (1|\?|\$\d+)$/;

/**
 * What asks for all there is and is meant to: the metrics' count of jobs, of which only so many are kept; and the default organisation,
 * whose partial index has one row.
 */
const WHOLE = /count\(\*\) as "count" from "job" group by "state", "kind"$|from "organisation" where "is_default" = 1$/;

/** What is asked of the database about itself. */
const ABOUT_ITSELF = /\b(sqlite_(master|schema)|information_schema|pg_\w+|current_setting)\b/;

/** What a schema step does once, to a table that is there only while it does it. */
const OF_A_STEP = /\b(role_membership_widened|evidence_subject_new)\b/;

/**
 * Tables that stay small whatever the server does; `ranked`: what a query found of one page's pieces, ranked; `asked`, `listed`: digests
 * that are asked about at once; `page`: one page of tags; `leased`: blobs no manifest names where there is a quota, which is refused beyond some thousands.
 */
const SMALL = new Set([
  "log_state",
  "schema_migration",
  "key",
  "server_state",
  "bootstrap",
  "job_schedule",
  "collection_run",
  "witness_answer",
  "ranked",
  "asked",
  "listed",
  "page",
  "leased",
]);

/** Collects the text of every statement this process makes from here on, in both databases; the test's end restores them. */
export function listenToStatements(): ReadonlySet<string> {
  const statements = new Set<string>();
  const prepare = Object.getOwnPropertyDescriptor(DatabaseSync.prototype, "prepare")?.value as (
    this: DatabaseSync,
    text: string,
  ) => StatementSync;
  vi.spyOn(DatabaseSync.prototype, "prepare").mockImplementation(function (this: DatabaseSync, text: string) {
    statements.add(text);
    return prepare.call(this, text);
  });
  const query = Object.getOwnPropertyDescriptor(Client.prototype, "query")?.value as (
    this: Client,
    ...request: unknown[]
  ) => unknown;
  vi.spyOn(Client.prototype, "query").mockImplementation(function (this: Client, ...request: unknown[]) {
    const [statement] = request;
    const cursor = statement as { readonly text?: unknown };
    const text = typeof statement === "string" ? statement : cursor.text;
    if (typeof text === "string") statements.add(text);
    return query.apply(this, request);
  } as never);
  return statements;
}

/** The statements that read or change rows of a table that grows. */
export function planned(statements: ReadonlySet<string>): string[] {
  return [...statements].filter(
    (text) =>
      /^\s*(select|with|update|delete|insert)\b/i.test(text) &&
      ![FIRST_ROWS, WHOLE, ABOUT_ITSELF, OF_A_STEP].some((pattern) => pattern.test(text)),
  );
}

/** Every walk through a whole table, or a whole index, that grows, with the statement that makes it. */
export async function fullScans(place: DatabasePlace, statements: readonly string[]): Promise<string[]> {
  return place.databaseUrl === undefined
    ? scansOfSqlite(databasePath(place.dataDirectory), statements)
    : scansOfPostgres(place.databaseUrl, statements);
}

/** A walk along everything one organisation has in a table of evidence: no better than through the whole table. */
const WHOLE_ORGANISATION = /^SEARCH (?:evidence_(?:subject|field|signer|repository|step)|along|other|by) .*\(org=\?\)/;

/** A range of evidence: fine by itself, but not for each piece of a path (`along`) that is gone along. */
const RANGE_OF_EVIDENCE = /^SEARCH evidence .*sequence>\?/;

/** https://sqlite.org/eqp.html: SCAN goes through all rows, also USING INDEX; SEARCH looks some up. */
function scansOfSqlite(path: string, statements: readonly string[]): string[] {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    return statements.flatMap((text) => {
      const parameters = (text.match(/\?/g) ?? []).map(() => null);
      const details = database
        .prepare(`explain query plan ${text}`)
        .all(...parameters)
        .map((step) => String(step["detail"]));
      const followsPath = details.some((detail) => detail.startsWith("SEARCH along "));
      return details
        .filter((detail) => {
          // What a statement brings along itself.
          if (/^SCAN \d+ CONSTANT ROWS$/.test(detail)) return false;
          const table = /^SCAN (\w+)/.exec(detail)?.[1];
          if (table !== undefined) return !SMALL.has(table);
          return WHOLE_ORGANISATION.test(detail) || (followsPath && RANGE_OF_EVIDENCE.test(detail));
        })
        .map((detail) => `${detail}: ${text}`);
    });
  } finally {
    database.close();
  }
}

interface PostgresPlan {
  readonly "Node Type": string;
  readonly "Relation Name"?: string;
  readonly "Index Cond"?: string;
  readonly "Recheck Cond"?: string;
  readonly Plans?: readonly PostgresPlan[];
}

/** Rows below which PostgreSQL rightly reads a whole table, index or not. */
const FEW_ROWS = 1_000;

/**
 * PostgreSQL chooses by the number of rows. Tables that have many are judged by what it does; of the others it is asked what it would do
 * if it had a reason to avoid going through the table, which shows whether there is an index to take.
 */
async function scansOfPostgres(url: string, statements: readonly string[]): Promise<string[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query("analyze");
    const { rows: sizes } = await client.query<{ name: string; rows: number }>(
      "select relname as name, reltuples::float8 as rows from pg_class where relkind = 'r'",
    );
    const large = new Set(sizes.filter(({ rows }) => rows >= FEW_ROWS).map(({ name }) => name));
    const found = new Set<string>();
    for (const choice of ["on", "off"]) {
      await client.query(`set enable_seqscan = ${choice}`);
      for (const text of statements) {
        const { rows } = await client.query<{ "QUERY PLAN": [{ Plan: PostgresPlan }] }>(
          `explain (generic_plan, format json) ${text}`,
        );
        for (const node of nodesOf(rows[0]?.["QUERY PLAN"][0].Plan)) {
          const table = node["Relation Name"];
          if (table === undefined || SMALL.has(table) || (choice === "on") !== large.has(table)) continue;
          if (isWhole(node)) found.add(`${node["Node Type"]} of ${table}: ${text}`);
        }
      }
    }
    return [...found];
  } finally {
    await client.end();
  }
}

function* nodesOf(plan: PostgresPlan | undefined): Generator<PostgresPlan> {
  if (plan === undefined) return;
  yield plan;
  for (const part of plan.Plans ?? []) yield* nodesOf(part);
}

/** https://www.postgresql.org/docs/18/using-explain.html: without a condition an index is walked from end to end. */
function isWhole(node: PostgresPlan): boolean {
  switch (node["Node Type"]) {
    case "Seq Scan":
      return true;
    case "Index Scan":
    case "Index Only Scan":
      return node["Index Cond"] === undefined;
    default:
      return false;
  }
}
