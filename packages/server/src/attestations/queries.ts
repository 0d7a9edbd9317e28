import type { Reader } from "../storage/database.ts";
import type { AttestationTables } from "./schema.ts";
import { ONE_ROW } from "../storage/one-row.ts";

export type EvidenceRow = AttestationTables["evidence"];
export type PrimaryRow = AttestationTables["primary_provenance"];

/** Values one statement is asked with at most. */
const CHUNK = 500;

/** A piece by its digest. Where the same bytes are here both unreadable and readable, the readable one. */
export async function findEvidence(reader: Reader, org: string, digest: string): Promise<EvidenceRow | undefined> {
  const rows = await reader
    .tables<AttestationTables>()
    .selectFrom("evidence")
    .selectAll()
    .where("org", "=", org)
    .where("digest", "=", digest)
    .orderBy("sequence")
    .execute();
  return rows.find((row) => row.form !== "unreadable") ?? rows[0];
}

/** Whether a piece is here in exactly this form, and since when. */
export async function evidenceInForm(
  reader: Reader,
  org: string,
  digest: string,
  form: EvidenceRow["form"],
): Promise<{ sequence: number; first_sequence: number } | undefined> {
  return reader
    .tables<AttestationTables>()
    .selectFrom("evidence")
    .select(["sequence", "first_sequence"])
    .where("org", "=", org)
    .where("digest", "=", digest)
    .where("form", "=", form)
    .executeTakeFirst();
}

/** The first piece that came with a signature, whatever wrapped it. */
export async function firstOfSignature(
  reader: Reader,
  org: string,
  signature: string,
): Promise<{ sequence: number; time: number } | undefined> {
  return reader
    .tables<AttestationTables>()
    .selectFrom("evidence")
    .select(["sequence", "time"])
    .where("org", "=", org)
    .where("signature", "=", signature)
    .orderBy("sequence")
    .limit(ONE_ROW)
    .executeTakeFirst();
}

/**
 * What is listed under subjects, each piece in the very form it is listed in: a piece that is here in two forms may be listed in one of them
 * only. Every query of pieces by what they are about starts here.
 */
function listedPieces(reader: Reader, org: string) {
  return reader
    .tables<AttestationTables>()
    .selectFrom("evidence_subject")
    .innerJoin("evidence", (join) =>
      join
        .onRef("evidence.org", "=", "evidence_subject.org")
        .onRef("evidence.digest", "=", "evidence_subject.digest")
        .onRef("evidence.form", "=", "evidence_subject.form"),
    )
    .where("evidence_subject.org", "=", org);
}

/** The pieces about a subject, to be selected from further. */
export function piecesAbout(reader: Reader, org: string, subject: string) {
  return listedPieces(reader, org).where("evidence_subject.subject", "=", subject);
}

/** A piece about a subject, and since when it is known to be about it. */
export type EvidenceAbout = EvidenceRow & { readonly about: number };

/**
 * The evidence an organisation has about an artifact as of a sequence, oldest first.
 *
 * @param page.after the place (`about`) of the last piece already given.
 */
export async function evidenceAbout(
  reader: Reader,
  org: string,
  subject: string,
  page: {
    readonly asOf: number;
    readonly after?: number | undefined;
    readonly limit: number;
    readonly predicateType?: string | undefined;
  },
): Promise<EvidenceAbout[]> {
  let query = piecesAbout(reader, org, subject)
    .selectAll("evidence")
    .select("evidence_subject.sequence as about")
    .where("evidence_subject.sequence", "<=", page.asOf);
  if (page.after !== undefined) query = query.where("evidence_subject.sequence", ">", page.after);
  if (page.predicateType !== undefined) query = query.where("evidence.predicate_type", "=", page.predicateType);
  return query.orderBy("evidence_subject.sequence").limit(page.limit).execute();
}

/** The place (`about`) of the newest piece about an artifact; undefined when there is none: while it stays, nothing new was said. */
export async function newestAbout(reader: Reader, org: string, subject: string): Promise<number | undefined> {
  const row = await reader
    .tables<AttestationTables>()
    .selectFrom("evidence_subject")
    .select("sequence")
    .where("org", "=", org)
    .where("subject", "=", subject)
    .orderBy("sequence", "desc")
    .limit(ONE_ROW)
    .executeTakeFirst();
  return row?.sequence;
}

/** What a piece is about, by subject and form: its row in each form, with the subject it is listed under in it. */
export async function listingsOf(
  reader: Reader,
  org: string,
  digest: string,
  page: { readonly asOf: number; readonly limit: number },
): Promise<(EvidenceRow & { readonly subject: string })[]> {
  return listedPieces(reader, org)
    .selectAll("evidence")
    .select("evidence_subject.subject")
    .where("evidence_subject.digest", "=", digest)
    .where("evidence_subject.sequence", "<=", page.asOf)
    .orderBy("evidence_subject.subject")
    .orderBy("evidence_subject.form")
    .limit(page.limit)
    .execute();
}

/** A piece with the step it says it belongs to. */
export type EvidenceInStep = EvidenceRow & { readonly flow: string; readonly trail: string; readonly step: string };

/** The evidence that says it belongs to a flow (and trail, and name in it), as of a sequence, oldest first. */
export async function evidenceInStep(
  reader: Reader,
  org: string,
  step: { readonly flow: string; readonly trail?: string | undefined; readonly name?: string | undefined },
  page: { readonly asOf: number; readonly after?: number | undefined; readonly limit: number },
): Promise<EvidenceInStep[]> {
  let query = reader
    .tables<AttestationTables>()
    .selectFrom("evidence_step")
    .innerJoin("evidence", (join) =>
      join
        .onRef("evidence.org", "=", "evidence_step.org")
        .onRef("evidence.digest", "=", "evidence_step.digest")
        .onRef("evidence.form", "=", "evidence_step.form"),
    )
    .selectAll("evidence")
    .select(["evidence_step.flow", "evidence_step.trail", "evidence_step.name as step"])
    .where("evidence_step.org", "=", org)
    .where("evidence_step.flow", "=", step.flow)
    .where("evidence_step.sequence", "<=", page.asOf);
  if (step.trail !== undefined) query = query.where("evidence_step.trail", "=", step.trail);
  if (step.name !== undefined) query = query.where("evidence_step.name", "=", step.name);
  if (page.after !== undefined) query = query.where("evidence_step.sequence", ">", page.after);
  return query.orderBy("evidence_step.sequence").limit(page.limit).execute();
}

/** Whether a piece is listed under a subject. */
export async function isAbout(
  reader: Reader,
  org: string,
  piece: { readonly evidence: string; readonly form: EvidenceRow["form"] },
  subject: string,
): Promise<boolean> {
  const row = await reader
    .tables<AttestationTables>()
    .selectFrom("evidence_subject")
    .select("sequence")
    .where("org", "=", org)
    .where("subject", "=", subject)
    .where("digest", "=", piece.evidence)
    .where("form", "=", piece.form)
    .executeTakeFirst();
  return row !== undefined;
}

/** An artifact that has other primary provenance in one repository than in another; undefined when there is none. */
export async function otherPrimary(
  reader: Reader,
  org: string,
  repository: string,
  other: string,
): Promise<string | undefined> {
  const row = await reader
    .tables<AttestationTables>()
    .selectFrom("primary_provenance as one")
    .innerJoin("primary_provenance as two", (join) =>
      join.onRef("two.org", "=", "one.org").onRef("two.subject", "=", "one.subject"),
    )
    .select("one.subject")
    .where("one.org", "=", org)
    .where("one.repository", "=", repository)
    .where("two.repository", "=", other)
    .whereRef("two.payload_digest", "<>", "one.payload_digest")
    .limit(ONE_ROW)
    .executeTakeFirst();
  return row?.subject;
}

/** Whether an organisation holds evidence about an artifact, verified or reported. */
export async function hasEvidence(reader: Reader, org: string, subject: string): Promise<boolean> {
  const row = await reader
    .tables<AttestationTables>()
    .selectFrom("evidence_subject")
    // Any other column, and SQLite goes through the organisation's pieces along the table's key, which has all the others.
    .select("sequence")
    .where("org", "=", org)
    .where("subject", "=", subject)
    .limit(ONE_ROW)
    .executeTakeFirst();
  return row !== undefined;
}

/** What a piece is about. */
export async function subjectsOf(reader: Reader, org: string, digest: string, limit: number): Promise<string[]> {
  const rows = await reader
    .tables<AttestationTables>()
    .selectFrom("evidence_subject")
    .select("subject")
    .distinct()
    .where("org", "=", org)
    .where("digest", "=", digest)
    .orderBy("subject")
    .limit(limit)
    .execute();
  return rows.map((row) => row.subject);
}

/** Keys the signature of a piece was proven to be of when it came in. */
export async function signersOf(reader: Reader, org: string, digest: string): Promise<string[]> {
  const rows = await reader
    .tables<AttestationTables>()
    .selectFrom("evidence_signer")
    .select("key_id")
    .where("org", "=", org)
    .where("digest", "=", digest)
    .orderBy("key_id")
    .execute();
  return rows.map((row) => row.key_id);
}

/** What each of the pieces of a page is about, in order, and of each no more than `limit`: one question for all of them. */
export async function subjectsOfPieces(
  reader: Reader,
  org: string,
  digests: readonly string[],
  limit: number,
): Promise<ReadonlyMap<string, readonly string[]>> {
  if (digests.length === 0) return new Map();
  const rows = await reader
    .tables<AttestationTables>()
    .selectFrom((tables) =>
      tables
        .selectFrom("evidence_subject")
        .select(["digest", "subject"])
        // A piece may be listed under a subject in two forms: both have one rank.
        .select((select) =>
          select.fn
            .agg<number>("dense_rank")
            .over((over) => over.partitionBy("digest").orderBy("subject"))
            .as("rank"),
        )
        .where("org", "=", org)
        .where("digest", "in", digests)
        .as("ranked"),
    )
    .select(["digest", "subject"])
    .distinct()
    .where("rank", "<=", limit)
    .orderBy("digest")
    .orderBy("subject")
    .execute();
  return new Map(
    [...Map.groupBy(rows, ({ digest }) => digest)].map(([digest, of]) => [digest, of.map(({ subject }) => subject)]),
  );
}

/** Where a piece was given, of several pieces at once. */
export async function repositoriesOf(
  reader: Reader,
  org: string,
  digests: readonly string[],
  asOf: number,
): Promise<AttestationTables["evidence_repository"][]> {
  const found: AttestationTables["evidence_repository"][] = [];
  for (let start = 0; start < digests.length; start += CHUNK) {
    found.push(
      ...(await reader
        .tables<AttestationTables>()
        .selectFrom("evidence_repository")
        .selectAll()
        .where("org", "=", org)
        .where("digest", "in", digests.slice(start, start + CHUNK))
        .where("sequence", "<=", asOf)
        .orderBy("sequence")
        .execute()),
    );
  }
  return found;
}

/** Whether a piece was given to a repository. */
export async function isInRepository(
  reader: Reader,
  org: string,
  digest: string,
  repository: string,
): Promise<boolean> {
  const row = await reader
    .tables<AttestationTables>()
    .selectFrom("evidence_repository")
    .select("sequence")
    .where("org", "=", org)
    .where("digest", "=", digest)
    .where("repository", "=", repository)
    .executeTakeFirst();
  return row !== undefined;
}

/** The primary provenances that some artifacts of a repository have. */
export async function primaryOf(
  reader: Reader,
  org: string,
  repository: string,
  subjects: readonly string[],
): Promise<PrimaryRow[]> {
  const found: PrimaryRow[] = [];
  for (let start = 0; start < subjects.length; start += CHUNK) {
    found.push(
      ...(await reader
        .tables<AttestationTables>()
        .selectFrom("primary_provenance")
        .selectAll()
        .where("org", "=", org)
        .where("repository", "=", repository)
        .where("subject", "in", subjects.slice(start, start + CHUNK))
        .execute()),
    );
  }
  return found;
}

/** Of what a piece is the primary provenance. */
export async function primaryBy(reader: Reader, org: string, evidence: string, limit: number): Promise<PrimaryRow[]> {
  return reader
    .tables<AttestationTables>()
    .selectFrom("primary_provenance")
    .selectAll()
    .where("org", "=", org)
    .where("evidence", "=", evidence)
    .orderBy("repository")
    .orderBy("subject")
    .limit(limit)
    .execute();
}
