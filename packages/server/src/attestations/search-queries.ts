import { type SelectQueryBuilder, sql } from "kysely";
import type { Reader } from "../storage/database.ts";
import type { Field } from "./fields.ts";
import { type EvidenceRow, piecesAbout } from "./queries.ts";
import type { AttestationTables } from "./schema.ts";
import { ONE_ROW } from "../storage/one-row.ts";

/** What is searched for: pieces that meet all of it. */
export interface Search {
  readonly predicateType?: string | undefined;
  readonly fields: readonly Field[];
  /** Key id of an identity that the signature was proven to be of. */
  readonly signer?: string | undefined;
  readonly subject?: string | undefined;
  /** Received at this time or later, ms. */
  readonly after?: number | undefined;
  /** Received before this time, ms. */
  readonly before?: number | undefined;
}

/** A part of a search's result, oldest first. */
export interface Found {
  readonly rows: readonly (EvidenceRow & { readonly place: number })[];
  /** Where the search goes on, though fewer pieces than asked for were found so far; undefined when it was looked through to its end. */
  readonly scannedTo: number | undefined;
}

/** Entries of an index that one look goes along, and looks that one search makes at most. Together they bound its time. */
const WINDOW = 2_000;
const WINDOWS = 3;

/** Up to where the entries that meet one condition are counted, to go along the shortest list. */
const COUNTED = 1_000;

/** The places of evidence that are looked at: sequences in (after, through]. */
interface Span {
  readonly after: number;
  readonly through: number;
}

/** One index that the search can go along: the pieces that meet one condition, in order. */
type Path =
  | { readonly by: "field"; readonly field: Field }
  | { readonly by: "signer"; readonly signer: string }
  | { readonly by: "type"; readonly predicateType: string }
  | { readonly by: "all" };

/**
 * The pieces that meet every condition, oldest first. It goes along the index of the condition that fewest pieces meet and looks each of
 * them up under the others. What one call looks at is bounded: it may answer with fewer pieces than there are, and says where to go on.
 *
 * @param page.after the place of the last piece already given, or where the last call said to go on.
 */
export async function searchEvidence(
  reader: Reader,
  org: string,
  search: Search,
  page: { readonly asOf: number; readonly after: number | undefined; readonly limit: number },
): Promise<Found> {
  const span = await spanOf(reader, org, search, page);
  if (span.after >= span.through) return { rows: [], scannedTo: undefined };
  if (search.subject !== undefined) return searchAbout(reader, org, search, search.subject, { ...page, span });
  const path = await shortestPath(reader, org, search, span);
  const rows: (EvidenceRow & { place: number })[] = [];
  let after = span.after;
  for (let window = 0; window < WINDOWS; window++) {
    const end = await windowEnd(reader, org, path, { after, through: span.through });
    const through = end ?? span.through;
    const found = await alongPath(reader, org, search, path, { after, through }, page.limit - rows.length);
    rows.push(...found.map((row) => ({ ...row, place: row.sequence })));
    if (rows.length >= page.limit || end === undefined) return { rows, scannedTo: undefined };
    after = through;
  }
  return { rows, scannedTo: after };
}

/** Times are those of the record, which never go back: a time is a place in it. */
async function spanOf(
  reader: Reader,
  org: string,
  search: Search,
  page: { readonly asOf: number; readonly after: number | undefined },
): Promise<Span> {
  let after = page.after ?? -1;
  let through = page.asOf;
  // Of a subject the place is where it was first listed under it, which may be later than the piece: times are compared row by row there.
  if (search.subject !== undefined) return { after, through };
  if (search.after !== undefined) {
    const first = await firstSince(reader, org, search.after);
    after = Math.max(after, first === undefined ? through : first - 1);
  }
  if (search.before !== undefined) {
    const first = await firstSince(reader, org, search.before);
    if (first !== undefined) through = Math.min(through, first - 1);
  }
  return { after, through };
}

/** The sequence of the first piece received at a time or later. */
export async function firstSince(reader: Reader, org: string, time: number): Promise<number | undefined> {
  const row = await reader
    .tables<AttestationTables>()
    .selectFrom("evidence")
    .select("sequence")
    .where("org", "=", org)
    .where("time", ">=", time)
    .orderBy("time")
    .orderBy("sequence")
    .limit(ONE_ROW)
    .executeTakeFirst();
  return row?.sequence;
}

async function shortestPath(reader: Reader, org: string, search: Search, span: Span): Promise<Path> {
  const paths: Path[] = search.fields.map((field) => ({ by: "field", field }));
  if (search.signer !== undefined) paths.push({ by: "signer", signer: search.signer });
  if (search.predicateType !== undefined) paths.push({ by: "type", predicateType: search.predicateType });
  let [best = { by: "all" } as Path] = paths;
  if (paths.length < 2) return best;
  let least = Number.POSITIVE_INFINITY;
  for (const path of paths) {
    const count = await countPath(reader, org, path, span);
    if (count < least) [best, least] = [path, count];
  }
  return best;
}

/** A query of sequences out of one of the tables that a path goes along. */
type Entries = SelectQueryBuilder<
  AttestationTables,
  "evidence" | "evidence_field" | "evidence_signer",
  { sequence: number }
>;

/** The entries of an index in a span, as a query of their sequences. */
function entries(reader: Reader, org: string, path: Path, span: Span): Entries {
  return entriesOf(reader, org, path, span) as unknown as Entries;
}

function entriesOf(reader: Reader, org: string, path: Path, { after, through }: Span) {
  const tables = reader.tables<AttestationTables>();
  switch (path.by) {
    case "field":
      return tables
        .selectFrom("evidence_field")
        .select("sequence")
        .where("org", "=", org)
        .where("name", "=", path.field.name)
        .where("value", "=", path.field.value)
        .where("sequence", ">", after)
        .where("sequence", "<=", through);
    case "signer":
      return tables
        .selectFrom("evidence_signer")
        .select("sequence")
        .where("org", "=", org)
        .where("key_id", "=", path.signer)
        .where("sequence", ">", after)
        .where("sequence", "<=", through);
    case "type":
      return tables
        .selectFrom("evidence")
        .select("sequence")
        .where("org", "=", org)
        .where("predicate_type", "=", path.predicateType)
        .where("sequence", ">", after)
        .where("sequence", "<=", through);
    case "all":
      return tables
        .selectFrom("evidence")
        .select("sequence")
        .where("org", "=", org)
        .where("sequence", ">", after)
        .where("sequence", "<=", through);
  }
}

async function countPath(reader: Reader, org: string, path: Path, span: Span): Promise<number> {
  const rows = await entries(reader, org, path, span).orderBy("sequence").limit(COUNTED).execute();
  return rows.length;
}

/** The last sequence of the next window; undefined when what is left is no whole window. */
async function windowEnd(reader: Reader, org: string, path: Path, span: Span): Promise<number | undefined> {
  const row = await entries(reader, org, path, span)
    .orderBy("sequence")
    .limit(ONE_ROW)
    .offset(WINDOW - 1)
    .executeTakeFirst();
  return row?.sequence;
}

/** A query of pieces, whatever it goes along. */
type Pieces = SelectQueryBuilder<AttestationTables, "evidence", EvidenceRow>;

/**
 * The sequence that the path has come to. As an expression: of two equal columns SQLite takes the bounds of one for the other's too, and may
 * then go through the whole window for each piece on the path.
 */
const sequenceAlong = sql<number>`along.sequence + 0`;

/** The pieces of a window on a path, in order. A cross join keeps the order of going in SQLite: the path first, then each piece on it. */
function piecesAlong(reader: Reader, org: string, path: Path, { after, through }: Span): Pieces {
  const tables = reader.tables<AttestationTables>();
  switch (path.by) {
    case "field":
      return tables
        .selectFrom("evidence_field as along")
        .crossJoin("evidence")
        .selectAll("evidence")
        .where("along.org", "=", org)
        .where("along.name", "=", path.field.name)
        .where("along.value", "=", path.field.value)
        .where("along.sequence", ">", after)
        .where("along.sequence", "<=", through)
        .where("evidence.org", "=", org)
        .where("evidence.sequence", "=", sequenceAlong)
        .orderBy("along.sequence") as unknown as Pieces;
    case "signer":
      return tables
        .selectFrom("evidence_signer as along")
        .crossJoin("evidence")
        .selectAll("evidence")
        .where("along.org", "=", org)
        .where("along.key_id", "=", path.signer)
        .where("along.sequence", ">", after)
        .where("along.sequence", "<=", through)
        .where("evidence.org", "=", org)
        .where("evidence.sequence", "=", sequenceAlong)
        .orderBy("along.sequence") as unknown as Pieces;
    case "type":
    case "all":
      return tables
        .selectFrom("evidence")
        .selectAll("evidence")
        .where("evidence.org", "=", org)
        .where("evidence.sequence", ">", after)
        .where("evidence.sequence", "<=", through)
        .orderBy("evidence.sequence");
  }
}

/** The pieces on a path that meet every condition. The span is a window: what it holds of the path is bounded. */
async function alongPath(
  reader: Reader,
  org: string,
  search: Search,
  path: Path,
  span: Span,
  limit: number,
): Promise<EvidenceRow[]> {
  let query = piecesAlong(reader, org, path, span);
  if (search.predicateType !== undefined) query = query.where("evidence.predicate_type", "=", search.predicateType);
  for (const field of search.fields) {
    if (path.by === "field" && path.field === field) continue;
    query = query.where((where) => where.exists(withField(reader, org, field)));
  }
  if (search.signer !== undefined && path.by !== "signer") {
    query = query.where((where) => where.exists(withSigner(reader, org, search.signer ?? "")));
  }
  return query.limit(limit).execute();
}

function withField(reader: Reader, org: string, field: Field) {
  return reader
    .tables<AttestationTables & { evidence: AttestationTables["evidence"] }>()
    .selectFrom("evidence_field as other")
    .select("other.sequence")
    .where("other.org", "=", org)
    .where("other.name", "=", field.name)
    .where("other.value", "=", field.value)
    .whereRef("other.sequence", "=", "evidence.sequence" as never);
}

function withSigner(reader: Reader, org: string, signer: string) {
  return reader
    .tables<AttestationTables>()
    .selectFrom("evidence_signer as by")
    .select("by.sequence")
    .where("by.org", "=", org)
    .where("by.key_id", "=", signer)
    .whereRef("by.sequence", "=", "evidence.sequence" as never);
}

/** The pieces about one subject that meet every other condition. */
async function searchAbout(
  reader: Reader,
  org: string,
  search: Search,
  subject: string,
  page: { readonly span: Span; readonly limit: number },
): Promise<Found> {
  let query = piecesAbout(reader, org, subject)
    .selectAll("evidence")
    .select("evidence_subject.sequence as place")
    .where("evidence_subject.sequence", ">", page.span.after)
    .where("evidence_subject.sequence", "<=", page.span.through);
  if (search.predicateType !== undefined) query = query.where("evidence.predicate_type", "=", search.predicateType);
  if (search.after !== undefined) query = query.where("evidence.time", ">=", search.after);
  if (search.before !== undefined) query = query.where("evidence.time", "<", search.before);
  for (const field of search.fields) query = query.where((where) => where.exists(withField(reader, org, field)));
  if (search.signer !== undefined) {
    query = query.where((where) => where.exists(withSigner(reader, org, search.signer ?? "")));
  }
  const rows = await query.orderBy("evidence_subject.sequence").limit(page.limit).execute();
  return { rows, scannedTo: undefined };
}

/**
 * What some pieces can be found by, in order of name. They are sorted here: asked for in this order, SQLite finds it in the table's key and
 * walks along all that the organisation has.
 */
export async function fieldsOf(
  reader: Reader,
  org: string,
  sequences: readonly number[],
): Promise<AttestationTables["evidence_field"][]> {
  if (sequences.length === 0) return [];
  const rows = await reader
    .tables<AttestationTables>()
    .selectFrom("evidence_field")
    .selectAll()
    .where("org", "=", org)
    .where("sequence", "in", sequences)
    .execute();
  return rows.toSorted(
    (one, other) =>
      one.sequence - other.sequence || compareTexts(one.name, other.name) || compareTexts(one.value, other.value),
  );
}

function compareTexts(one: string, other: string): number {
  return one < other ? -1 : Number(one > other);
}
