import type { Reader } from "../storage/database.ts";
import { type EvidenceAbout, piecesAbout } from "./queries.ts";

/** A page of signed statements about a subject, newest first. */
export interface BundlePage {
  readonly asOf: number;
  /** The place (`about`) of the last piece of the page before: what follows is older. */
  readonly after?: number | undefined;
  /** The place of the first piece of the page after: what comes before it is newer. */
  readonly before?: number | undefined;
  readonly limit: number;
  /** Of one of these types; of any, when absent. */
  readonly predicateTypes?: readonly string[] | undefined;
  /** Given to this repository. */
  readonly repository?: string | undefined;
}

/** The Sigstore bundles about a subject, newest first. Other signed forms, reports and what cannot be read are not among them. */
export async function bundlesAbout(
  reader: Reader,
  org: string,
  subject: string,
  page: BundlePage,
): Promise<EvidenceAbout[]> {
  let query = piecesAbout(reader, org, subject)
    .selectAll("evidence")
    .select("evidence_subject.sequence as about")
    .where("evidence_subject.sequence", "<=", page.asOf)
    .where("evidence_subject.form", "in", ["dsse", "message-signature"])
    .where("evidence.wrapping", "is", null);
  if (page.after !== undefined) query = query.where("evidence_subject.sequence", "<", page.after);
  if (page.before !== undefined) query = query.where("evidence_subject.sequence", ">", page.before);
  if (page.predicateTypes !== undefined) query = query.where("evidence.predicate_type", "in", page.predicateTypes);
  if (page.repository !== undefined) {
    const { repository } = page;
    query = query.where((where) =>
      where.exists(
        where
          .selectFrom("evidence_repository")
          .select("evidence_repository.sequence")
          .where("evidence_repository.org", "=", org)
          .where("evidence_repository.repository", "=", repository)
          .whereRef("evidence_repository.digest", "=", "evidence.digest"),
      ),
    );
  }
  const direction = page.before === undefined ? "desc" : "asc";
  const rows = await query.orderBy("evidence_subject.sequence", direction).limit(page.limit).execute();
  return direction === "asc" ? rows.toReversed() : rows;
}

/** How many pieces about a subject are not Sigstore bundles: what a shape that knows nothing else leaves out. */
export async function countOtherForms(reader: Reader, org: string, subject: string, asOf: number): Promise<number> {
  const row = await piecesAbout(reader, org, subject)
    .select((select) => select.fn.countAll<number>().as("count"))
    .where("evidence_subject.sequence", "<=", asOf)
    .where((where) =>
      where.or([
        where("evidence.wrapping", "is not", null),
        where("evidence.form", "not in", ["dsse", "message-signature"]),
      ]),
    )
    .executeTakeFirstOrThrow();
  return Number(row.count);
}
