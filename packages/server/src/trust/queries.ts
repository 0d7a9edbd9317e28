import { isJsonObject, parseJson, type TrustEntry, type TrustRoot, type TrustVersion } from "@assay/evidence";
import { ServerError } from "../errors.ts";
import type { Reader } from "../storage/database.ts";
import { entryScope } from "./entry.ts";
import { identityIn } from "./identity-text.ts";
import { readStoredRoot } from "./root.ts";
import type { TrustTables } from "./schema.ts";
import { ONE_ROW } from "../storage/one-row.ts";

type EntryRow = TrustTables["trust_entry"];

/** Which version is meant: one by number, the one current as of a record sequence (inclusive), or the newest. */
export type TrustAt = { readonly version?: number | undefined; readonly asOf?: number | undefined };

/** A change that made a version. */
export interface TrustChange {
  readonly version: number;
  readonly change: TrustTables["trust_version"]["change"];
  readonly entry: string;
  readonly actor: string;
  readonly time: number;
  readonly sequence: number;
}

/** A row as the entry it stands for. Stored scopes were checked by the command that recorded them. */
export function entryOf(row: EntryRow): TrustEntry {
  const scope = entryScope.parse({
    repositories: parseJson(row.repositories),
    predicateTypes: parseJson(row.predicate_types),
  });
  return {
    id: row.id,
    name: row.name,
    ...identityIn(row.kind, row.public_key),
    keyId: row.key_id,
    scope,
    validFrom: row.valid_from,
    validUntil: row.valid_until,
    primary: row.is_primary === 1,
  };
}

/** The number of the organisation's newest trust version; 0 while it has never trusted anybody. */
export async function currentTrustNumber(reader: Reader, org: string): Promise<number> {
  const row = await reader
    .tables<TrustTables>()
    .selectFrom("trust_version")
    .select("version")
    .where("org", "=", org)
    .orderBy("version", "desc")
    .limit(ONE_ROW)
    .executeTakeFirst();
  return row?.version ?? 0;
}

/**
 * An organisation's trust at one version. Version 0 is the state before the first change: nobody is trusted.
 *
 * @param logs verifier keys of the record logs whose receipts count as time.
 * @returns undefined when there is no such version (yet).
 */
export async function trustVersion(
  reader: Reader,
  org: string,
  at: TrustAt,
  logs: readonly string[],
): Promise<TrustVersion | undefined> {
  const version = await numberAt(reader, org, at);
  if (version === undefined) return undefined;
  const [rows, roots] = await Promise.all([
    reader
      .tables<TrustTables>()
      .selectFrom("trust_entry")
      .selectAll()
      .where("org", "=", org)
      .where("from_version", "<=", version)
      .where((where) => where.or([where("to_version", "is", null), where("to_version", ">", version)]))
      .execute(),
    rootsAt(reader, org, version),
  ]);
  // Ids compare by the code unit, not by a database's collation: the same version is the same file everywhere.
  const entries = rows.map(entryOf).toSorted((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
  return { org, version, entries, logs: [...logs], roots };
}

/** The roots of a version, by name. */
async function rootsAt(reader: Reader, org: string, version: number): Promise<TrustRoot[]> {
  const rows = await reader
    .tables<TrustTables>()
    .selectFrom("trust_root")
    .select(["name", "root"])
    .where("org", "=", org)
    .where("from_version", "<=", version)
    .where((where) => where.or([where("to_version", "is", null), where("to_version", ">", version)]))
    .execute();
  return rows.toSorted((a, b) => (a.name < b.name ? -1 : 1)).map(({ root }) => parsedRoot(root));
}

/** Roots by their exact text: reading one parses certificates and keys, and every decision reads them. */
const parsedRoots = new Map<string, TrustRoot>();
const PARSED_ROOTS = 256;

/** A root from the JSON it is kept as. */
export function parsedRoot(text: string): TrustRoot {
  const known = parsedRoots.get(text);
  if (known !== undefined) return known;
  const json = parseJson(text);
  if (!isJsonObject(json)) throw new ServerError("internal", "a stored trust root is no JSON object");
  const root = readStoredRoot(json);
  if (parsedRoots.size >= PARSED_ROOTS) parsedRoots.clear();
  parsedRoots.set(text, root);
  return root;
}

/** The current root of a name, as the JSON it is kept as. */
export async function currentRoot(reader: Reader, org: string, name: string): Promise<string | undefined> {
  const row = await reader
    .tables<TrustTables>()
    .selectFrom("trust_root")
    .select("root")
    .where("org", "=", org)
    .where("name", "=", name)
    .where("to_version", "is", null)
    .executeTakeFirst();
  return row?.root;
}

async function numberAt(reader: Reader, org: string, at: TrustAt): Promise<number | undefined> {
  if (at.version === undefined && at.asOf === undefined) return currentTrustNumber(reader, org);
  let query = reader.tables<TrustTables>().selectFrom("trust_version").select("version").where("org", "=", org);
  if (at.version !== undefined && at.version !== 0) query = query.where("version", "=", at.version);
  if (at.asOf !== undefined) query = query.where("from_seq", "<=", at.asOf);
  if (at.version === 0) return 0;
  const row = await query.orderBy("version", "desc").limit(ONE_ROW).executeTakeFirst();
  // As of a moment before the first change, the version is 0; a version that was asked for by number must exist.
  return row?.version ?? (at.version === undefined ? 0 : undefined);
}

/** The current entries of the keys, in any scope, and the number of the current version. For decisions inside a transaction. */
export async function currentEntriesOfKeys(
  reader: Reader,
  org: string,
  keyIds: readonly string[],
): Promise<TrustEntry[]> {
  if (keyIds.length === 0) return [];
  const rows = await reader
    .tables<TrustTables>()
    .selectFrom("trust_entry")
    .selectAll()
    .where("org", "=", org)
    .where("key_id", "in", keyIds)
    .where("to_version", "is", null)
    .execute();
  return rows.map(entryOf);
}

/**
 * The keys of current entries that came in or changed after a version: what a proof made under that version has not tried. A root that
 * changed since makes every certificate identity untried.
 */
export async function keysSince(reader: Reader, org: string, version: number): Promise<string[]> {
  const tables = reader.tables<TrustTables>();
  const changed = await tables
    .selectFrom("trust_root")
    .select("name")
    .where("org", "=", org)
    .where("from_version", ">", version)
    .limit(ONE_ROW)
    .execute();
  const rows = await tables
    .selectFrom("trust_entry")
    .select("key_id")
    .distinct()
    .where("org", "=", org)
    .where((where) =>
      changed.length === 0
        ? where("from_version", ">", version)
        : where.or([where("from_version", ">", version), where("kind", "=", "certificate")]),
    )
    .where("to_version", "is", null)
    .execute();
  return rows.map((row) => row.key_id);
}

/** One current entry by its id. */
export async function currentEntry(reader: Reader, org: string, id: string): Promise<TrustEntry | undefined> {
  const row = await reader
    .tables<TrustTables>()
    .selectFrom("trust_entry")
    .selectAll()
    .where("org", "=", org)
    .where("id", "=", id)
    .where("to_version", "is", null)
    .executeTakeFirst();
  return row && entryOf(row);
}

/** How many entries are current. */
export async function countEntries(reader: Reader, org: string): Promise<number> {
  const row = await reader
    .tables<TrustTables>()
    .selectFrom("trust_entry")
    .select((select) => select.fn.countAll<number>().as("count"))
    .where("org", "=", org)
    .where("to_version", "is", null)
    .executeTakeFirstOrThrow();
  return Number(row.count);
}

/** The changes that made an organisation's versions, newest first, below `before`, as of a sequence. */
export async function trustChanges(
  reader: Reader,
  org: string,
  page: { readonly asOf: number; readonly before: number | undefined; readonly limit: number },
): Promise<TrustChange[]> {
  let query = reader
    .tables<TrustTables>()
    .selectFrom("trust_version")
    .select(["version", "change", "entry", "actor", "time", "from_seq"])
    .where("org", "=", org)
    .where("from_seq", "<=", page.asOf);
  if (page.before !== undefined) query = query.where("version", "<", page.before);
  const rows = await query.orderBy("version", "desc").limit(page.limit).execute();
  return rows.map(({ from_seq, ...row }) => ({ ...row, sequence: from_seq }));
}
