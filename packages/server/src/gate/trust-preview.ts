import { type Digest, parseDigest, type TrustDiff, type TrustEntry, type TrustVersion } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { type Decision, parsePolicy } from "@assay/policy";
import type { JudgingContext } from "../attestations/artifact-bytes.ts";
import { AllowanceSpent } from "../attestations/artifact-readings.ts";
import { repositoriesOf, subjectsOf } from "../attestations/queries.ts";
import type { AttestationTables } from "../attestations/schema.ts";
import { type Status, statusOf } from "../attestations/status.ts";
import { evidenceInOrder, signersOfAll } from "../attestations/walk-queries.ts";
import type { GateContext } from "./context.ts";
import { decisionFrom } from "./decision.ts";
import { currentAnswers, findPolicy } from "./queries.ts";

/** Two versions of trust, and the record's state and the moment to look at it under both: only trust differs between two judgements. */
export interface TrustChange {
  readonly org: string;
  readonly before: TrustVersion;
  readonly after: TrustVersion;
  /** What differs between the two. */
  readonly diff: TrustDiff;
  readonly asOf: number;
  /** ms since 1970. */
  readonly now: number;
}

/** What a piece of evidence is worth, in short. */
export interface Worth {
  readonly status: Status["status"];
  /** Why it is refused. */
  readonly code: string | null;
  /** Who said it, by trust's name. */
  readonly by: string | null;
}

/** A piece that would be worth something else, about one artifact in one place. */
export interface EvidenceChange {
  readonly subject: string;
  readonly repository: string | null;
  readonly evidence: string;
  readonly predicateType: string | null;
  readonly before: Worth;
  readonly after: Worth;
}

/** A stored policy's answer about an artifact that would be another one. */
export interface DecisionChange {
  readonly subject: string;
  readonly repository: string | null;
  readonly policy: string;
  readonly before: "allowed" | "denied";
  readonly after: "allowed" | "denied";
  readonly reasons: readonly string[];
}

/** A piece about an artifact, or a policy's answer about one, that one step has not the time to judge under both versions. */
export interface Unjudged {
  readonly subject: string;
  readonly repository: string | null;
  /** The piece; null where it is an answer. */
  readonly evidence: string | null;
  /** The policy; null where it is a piece. */
  readonly policy: string | null;
}

/** What one step of the walk found, and where the next begins; undefined at the end. */
export interface Walked<T> {
  readonly examined: number;
  readonly changes: readonly T[];
  /** What was passed over: whether it would change is not known. */
  readonly unjudged: readonly Unjudged[];
  readonly last: number | undefined;
}

type EvidenceRow = AttestationTables["evidence"];

/** Subjects and repositories of one piece that are looked at. */
const MOST_PLACES = 100;

/** Judgements under either version after which a step ends: a piece may be about many artifacts in many places. */
const MOST_JUDGED = 2_000;

/**
 * Judges the next pieces of evidence under both versions. Passed over without a look are only those whose signer is proven and is nobody
 * that the change is about: nothing it changes could reach them.
 *
 * A step ends before what it has not enough reading left for. What even a whole step's is not enough for is `unjudged`.
 */
export async function walkEvidence(
  context: GateContext & JudgingContext,
  change: TrustChange,
  page: { readonly after: number; readonly limit: number },
): Promise<Walked<EvidenceChange>> {
  const { reader } = context;
  const { org, asOf } = change;
  const rows = await evidenceInOrder(reader, org, { asOf, ...page });
  const touched = touchedKeys(change);
  const signers = await signersOfAll(
    reader,
    org,
    rows.map(({ digest }) => digest),
  );
  const changes: EvidenceChange[] = [];
  const unjudged: Unjudged[] = [];
  let examined = 0;
  let judged = 0;
  for (const row of rows) {
    if (judged >= MOST_JUDGED) break;
    const proven = signers.get(row.digest) ?? [];
    const concerned = proven.length === 0 || proven.some((key) => touched.has(key));
    if (row.form === "report" || row.form === "unreadable" || !concerned) {
      examined++;
      continue;
    }
    const compared = await compare(context, change, row);
    if (context.allowance.isSpent && judged > 0) break;
    examined++;
    unjudged.push(...compared.unjudged);
    changes.push(...compared.changes);
    if (context.allowance.isSpent) break;
    judged += compared.judged;
  }
  const isLast = examined === rows.length && rows.length < page.limit;
  return { examined, changes, unjudged, last: isLast ? undefined : rows[examined - 1]?.sequence };
}

/** Everybody whom an added, removed or changed entry is about; with a changed root, everybody who is judged under it. */
function touchedKeys({ before, after, diff }: TrustChange): ReadonlySet<string> {
  const { entries, roots } = diff;
  const names = new Set(
    [...roots.added, ...roots.removed, ...roots.changed.map((one) => one.after)].map(({ name }) => name),
  );
  const under = (entry: TrustEntry): boolean => entry.kind === "certificate" && names.has(entry.root);
  return new Set(
    [
      ...entries.added,
      ...entries.removed,
      ...entries.changed.flatMap((one) => [one.before, one.after]),
      ...before.entries.filter(under),
      ...after.entries.filter(under),
    ].map(({ keyId }) => keyId),
  );
}

async function compare(
  context: GateContext & JudgingContext,
  change: TrustChange,
  row: EvidenceRow,
): Promise<{
  readonly judged: number;
  readonly changes: readonly EvidenceChange[];
  readonly unjudged: readonly Unjudged[];
}> {
  const { org, before, after, asOf, now } = change;
  const subjects = await subjectsOf(context.reader, org, row.digest, MOST_PLACES);
  const places = (await repositoriesOf(context.reader, org, [row.digest], asOf)).slice(0, MOST_PLACES);
  const repositories = places.length === 0 ? [undefined] : places.map(({ repository }) => repository);
  const changes: EvidenceChange[] = [];
  for (const subject of subjects) {
    for (const repository of repositories) {
      const worth = async (trust: TrustVersion): Promise<Worth> =>
        worthOf(await statusOf(context, row, { artifact: parseDigest(subject), repository, trust, now }));
      const [was, will] = [await worth(before), await worth(after)];
      if (context.allowance.isSpent) {
        const place = { subject, repository: repository ?? null, evidence: row.digest, policy: null };
        return { judged: 0, changes, unjudged: [place] };
      }
      if (was.status === will.status && was.code === will.code && was.by === will.by) continue;
      changes.push({
        subject,
        repository: repository ?? null,
        evidence: row.digest,
        predicateType: row.predicate_type,
        before: was,
        after: will,
      });
    }
  }
  return { judged: subjects.length * repositories.length, changes, unjudged: [] };
}

function worthOf(status: Status): Worth {
  return {
    status: status.status,
    code: status.status === "refused" ? status.code : null,
    by: status.status === "verified" ? status.signer.name : null,
  };
}

/**
 * Asks the stored policies again, each in its current version about what it last decided on, under both versions of trust. A step ends as
 * that of {@link walkEvidence}.
 */
export async function walkDecisions(
  context: GateContext & JudgingContext,
  change: TrustChange,
  page: { readonly after: number; readonly limit: number },
): Promise<Walked<DecisionChange>> {
  const { org, before, after, asOf, now } = change;
  const rows = await currentAnswers(context.reader, org, { asOf, ...page });
  const changes: DecisionChange[] = [];
  const unjudged: Unjudged[] = [];
  let examined = 0;
  let judged = 0;
  for (const { subject, repository, policy_name: name } of rows) {
    examined++;
    if (name === null) continue;
    const artifact = parseDigest(subject);
    const question = { org, artifact, repository: repository ?? undefined, policy: name, asOf, now };
    let was: Decision | undefined;
    let will: Decision | undefined;
    try {
      was = await wouldDecide(context, question, before);
      will = await wouldDecide(context, question, after);
    } catch (error) {
      if (!(error instanceof AllowanceSpent)) throw error;
      if (judged > 0) examined--;
      else unjudged.push({ subject, repository, evidence: null, policy: name });
      break;
    }
    judged++;
    if (was === undefined || will === undefined || was.result === will.result) continue;
    changes.push({
      subject,
      repository,
      policy: name,
      before: was.result,
      after: will.result,
      reasons: will.reasons,
    });
  }
  const isLast = examined === rows.length && rows.length < page.limit;
  return { examined, changes, unjudged, last: isLast ? undefined : rows[examined - 1]?.from_seq };
}

interface Hypothesis {
  readonly org: string;
  readonly artifact: Digest;
  readonly repository: string | undefined;
  readonly policy: string;
  readonly asOf: number;
  readonly now: number;
}

/** What a stored policy would say. Nothing of it is recorded. Undefined when the policy is not there any more. */
async function wouldDecide(
  context: GateContext & JudgingContext,
  question: Hypothesis,
  trust: TrustVersion,
): Promise<Decision | undefined> {
  const { org, asOf } = question;
  const row = await findPolicy(context.reader, org, question.policy, { asOf });
  if (row === undefined) return undefined;
  const parsed = parsePolicy(row.yaml, nodeCrypto);
  if (!parsed.ok) return undefined;
  return decisionFrom(context, { ...question, policy: parsed.policy, policyDigest: parsed.digest, trust });
}
