import {
  canonicalJson,
  type Digest,
  digestOf,
  isJsonObject,
  type JsonValue,
  parseJson,
  type RecordReceipt,
  utf8Encode,
} from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { type Decision, parsePolicy, type Policy } from "@assay/policy";
import { type JudgingContext, withinOneRequest } from "../attestations/artifact-bytes.ts";
import { appendNaming, store } from "../collection/naming.ts";
import { ServerError } from "../errors.ts";
import { Problem } from "../http/problem.ts";
import type { Actor, JsonObject } from "../record/command.ts";
import { newestSequence } from "../record/newest.ts";
import { trustVersion } from "../trust/queries.ts";
import { decideResult, policyRefusal } from "./commands.ts";
import type { GateContext } from "./context.ts";
import { decisionFrom } from "./decision.ts";
import { type DecisionShape, decisionSchema } from "./decision-shape.ts";
import { findDecision, findPolicy, newestAnswer, type DecisionRow } from "./queries.ts";
import { answerOf, questionOf } from "./question.ts";
import { signSummary } from "./summary.ts";

/** Bytes of a decision's canonical JSON; it must fit its event. */
const MAX_DECISION_BYTES = 3 * 1024 * 1024;

/** How often a question is asked again when newer evidence overtook the answer. */
const ATTEMPTS = 3;

/** What is asked of the gate. */
export interface GateQuestion {
  readonly org: string;
  readonly artifact: Digest;
  /** Whole name, "org/path", or none. */
  readonly repository: string | undefined;
  readonly policy: { readonly name: string } | { readonly yaml: string };
  /** A version of trust to decide under; undefined for the current one. */
  readonly trustVersion: number | undefined;
}

/** The recorded decision that answers, and whether it was made for this request. */
export interface GateAnswer {
  readonly row: DecisionRow;
  readonly recorded: boolean;
  /** When this answer was found to hold, ms. */
  readonly confirmedAt: number;
  /** The receipt the append came with; undefined for a repeat. */
  readonly receipt: RecordReceipt | undefined;
  /** By which it was answered. */
  readonly policy: Policy;
}

interface ChosenPolicy {
  readonly policy: Policy;
  readonly digest: Digest;
  readonly yaml: string;
  readonly stored: { readonly name: string; readonly version: number } | null;
}

/**
 * Answers "may this be used?": everything read as of one sequence → judged → evaluated → signed → recorded. An answer that says what the
 * newest one on the same question says is that one, counted.
 *
 * @throws ServerError `artifacts-busy`, with nothing recorded, when there is no time to judge all of the evidence: that is no denial.
 */
export async function decide(context: GateContext, actor: Actor, question: GateQuestion): Promise<GateAnswer> {
  for (let attempt = 1; ; attempt += 1) {
    const answered = await decideOnce(withinOneRequest(context), actor, question);
    if (answered.ok) return answered.answer;
    if (answered.problem.code !== "decision-stale" || attempt >= ATTEMPTS) throw answered.problem;
  }
}

type Attempt = { readonly ok: true; readonly answer: GateAnswer } | { readonly ok: false; readonly problem: Problem };

async function decideOnce(
  context: GateContext & JudgingContext,
  actor: Actor,
  question: GateQuestion,
): Promise<Attempt> {
  const { reader, record } = context;
  const { org, artifact, repository } = question;
  // Every read below is as of this sequence, so that the decision rests on one state of the record and can be repeated from it.
  const asOf = await newestSequence(reader);
  const chosen = await choosePolicy(context, question, asOf);
  const trust = await trustVersion(
    reader,
    org,
    question.trustVersion === undefined ? { asOf } : { version: question.trustVersion, asOf },
    context.logs,
  );
  if (trust === undefined) {
    throw new Problem(404, "trust-version-unknown", `${org} has no trust version ${question.trustVersion}`);
  }
  const decision = await decisionFrom(context, {
    org,
    artifact,
    repository,
    policy: chosen.policy,
    policyDigest: chosen.digest,
    trust,
    asOf,
    now: (context.now ?? Date.now)(),
  });
  const pinnedTrust = question.trustVersion ?? null;
  const { json, shape } = written(decision);

  const newest = await newestAnswer(reader, org, questionOf(shape, pinnedTrust, chosen.stored));
  if (newest !== undefined && newest.answer === answerOf(shape)) {
    return repeated(context, newest, decision.time, chosen.policy);
  }

  const summary = await signSummary(context, org, decision, chosen.stored !== null);
  const vsa = digestOf(nodeCrypto, summary);
  const body = { decision: json, policy: chosen.stored, pinnedTrust, vsa };
  // Blobs before the event that names them: the summary, and the policy's text where no stored policy keeps it.
  const appended = await appendNaming(record, async () => [
    { type: "gate.decide", org, actor, body },
    await store(context, { org, actor }, summary),
    ...(chosen.stored === null ? [await store(context, { org, actor }, utf8Encode(chosen.yaml))] : []),
  ]);
  if (!appended.ok) return { ok: false, problem: Problem.fromRefusal(appended.refusal) };
  const { id, recorded } = decideResult.parse(appended.results[0]);
  const row = await findDecision(reader, id);
  if (row === undefined) throw new ServerError("internal", `the decision ${id} was recorded and cannot be found`);
  const { policy } = chosen;
  if (!recorded) return repeated(context, row, decision.time, policy);
  return { ok: true, answer: { row, recorded, confirmedAt: decision.time, receipt: appended.receipts[0], policy } };
}

async function repeated(context: GateContext, row: DecisionRow, confirmedAt: number, policy: Policy): Promise<Attempt> {
  await context.record.operate("gate.count-repeat", { id: row.id });
  return { ok: true, answer: { row, recorded: false, confirmedAt, receipt: undefined, policy } };
}

async function choosePolicy(context: GateContext, question: GateQuestion, asOf: number): Promise<ChosenPolicy> {
  const { policy: asked, org } = question;
  if ("yaml" in asked) return readPolicy(asked.yaml, null);
  const row = await findPolicy(context.reader, org, asked.name, { asOf });
  if (row === undefined) {
    throw new Problem(404, "policy-unknown", `${org} has no policy ${JSON.stringify(asked.name)}`, {
      hint: `PUT /api/assay/v1/orgs/${org}/policies/${asked.name} sets it`,
    });
  }
  return readPolicy(row.yaml, { name: row.name, version: row.version });
}

function readPolicy(yaml: string, stored: ChosenPolicy["stored"]): ChosenPolicy {
  const parsed = parsePolicy(yaml, nodeCrypto);
  if (parsed.ok) return { policy: parsed.policy, digest: parsed.digest, yaml, stored };
  const refused = policyRefusal(parsed.errors);
  if (refused.accepted) throw new ServerError("internal", "a policy with errors was accepted");
  throw Problem.fromRefusal(refused.refusal);
}

/** The decision as the JSON its event will hold, to the byte that its id is the digest of. */
function written(decision: Decision): { json: JsonObject; shape: DecisionShape } {
  const text = canonicalJson(decision as unknown as JsonValue);
  const bytes = utf8Encode(text);
  if (bytes.length > MAX_DECISION_BYTES) {
    throw new Problem(422, "decision-too-large", `the decision and its reasons take ${bytes.length} bytes`, {
      hint: `at most ${MAX_DECISION_BYTES}: use a policy with fewer rules, or one that names fewer identities`,
    });
  }
  const json = parseJson(bytes);
  if (!isJsonObject(json)) throw new ServerError("internal", "a decision is an object");
  return { json: { ...json }, shape: decisionSchema.parse(json) };
}
