import { type Digest, LIMITS } from "@assay/evidence";
import { type Decision, explain } from "@assay/policy";
import type { Command } from "commander";
import { type AnswerObject, answerInvalid } from "../answer.ts";
import { writeFileAtomically } from "../atomic.ts";
import { CliError, Exit } from "../errors.ts";
import type { ServerClient } from "../http.ts";
import { adviceOnDenial } from "../judging/advice.ts";
import { askedArtifact } from "../judging/list.ts";
import { showMoment } from "../moment.ts";
import { API, askObject, findOut, organisationClient } from "../organisation.ts";
import type { JsonValue } from "../output.ts";
import type { Session } from "../session.ts";
import { oneLine } from "../table.ts";
import { type ArtifactType, artifactTypeOption } from "./fingerprint.ts";
import { policyInvalid, readPolicyFile } from "./policy.ts";

type Options = { policy: string; artifactType?: ArtifactType; repository?: string; vsa?: string };

export function define(command: Command, session: Session): void {
  command
    .argument("<subject>", "a file, a digest (sha256:…), or an image ([host/]name:tag or @sha256:…)")
    .addOption(artifactTypeOption())
    .requiredOption(
      "--policy <policy>",
      "a stored policy's name, or a file: a path with a / in it, or that ends in .yaml or .yml",
    )
    .option("--repository <name>", "org/name of the repository it is to be used from (default: from the reference)")
    .option("--vsa <file>", "write the decision here as a signed SLSA verification summary")
    .addHelpText("after", "\nExit code 0: allowed. 1: denied. 3: could not find out.")
    .action((subject: string, options: Options) => findOut(() => decide(session, subject, options)));
}

async function decide(session: Session, words: string, options: Options): Promise<void> {
  const policy = await policyAsked(options.policy);
  const api = await organisationClient(session);
  const { client, org } = api;
  const subject = await askedArtifact(session, api, words, options);
  const { digest, kind, named, repository } = subject;
  const answer = await askObject(client, {
    method: "POST",
    path: `${API}/decisions`,
    json: { org, digest, policy: policy.json, ...(repository === undefined ? {} : { repository }) },
  }).catch((error: unknown) => {
    throw policyMissing(error, options.policy);
  });
  const decision = readDecision(answer.object("decision"), digest, policy.digest);
  if (options.vsa !== undefined) await writeSummary(client, answer.text("id"), options.vsa);
  const again = answer.flag("repeated")
    ? `\nthe same decision as before: made ${showMoment(answer.whole("recordedAt"))}, found to hold ${showMoment(answer.whole("confirmedAt"))}`
    : "";
  // What was asked about stands behind the digest, on the line that says allowed or denied.
  const asked = kind === "digest" ? "" : `  ${kind} ${oneLine(named)}`;
  const [head = "", ...rest] = explain(decision.decision).split("\n");
  const summary = options.vsa === undefined ? "" : `\nsummary ${options.vsa}`;
  const { evidence, result } = decision.decision;
  const advice = result === "allowed" ? "" : `\nnext    ${adviceOnDenial(subject, evidence.length)}\n`;
  session.output.verdict(
    // The decision object, and beside it what was asked about.
    { ...decision.json, asked: { kind, named } },
    `${head}${asked}\n${rest.join("\n")}${advice}\ndecision ${answer.text("id")} (record ${answer.whole("sequence")})${again}${summary}`,
  );
  session.answer(decision.decision.result === "allowed" ? Exit.yes : Exit.no);
}

/**
 * The policy in the request's form. What is a file is told by the words alone: were it by what lies in the working directory,
 * a file put there under a stored policy's name would decide in its place.
 */
async function policyAsked(words: string): Promise<{ json: JsonValue; digest: Digest | undefined }> {
  if (!words.includes("/") && !/\.ya?ml$/i.test(words)) return { json: { name: words }, digest: undefined };
  const { text, parsed } = await readPolicyFile(words);
  if (!parsed.ok) throw policyInvalid(words, parsed);
  return { json: { yaml: text }, digest: parsed.digest };
}

/** The server speaks of its API; here a policy is stored by a verb, or read from a file. */
function policyMissing(error: unknown, words: string): unknown {
  if (!(error instanceof CliError) || error.code !== "policy-unknown") return error;
  const hint = `\`assay policy list\` shows them; \`assay policy set ${words} FILE\` stores one. A file itself is given as ./NAME.`;
  return new CliError(error.code, error.message, { exit: error.exit, hint, cause: error });
}

/** The decision, held to the question: about this artifact, by this policy, and allowed only where every rule is satisfied. */
function readDecision(
  answer: AnswerObject,
  subject: Digest,
  policy: Digest | undefined,
): { decision: Decision; json: AnswerObject["json"] } {
  const result = answer.text("result");
  if (result !== "allowed" && result !== "denied") throw answerInvalid(`a decision is ${JSON.stringify(result)}`);
  if (answer.text("subject") !== subject) throw answerInvalid("the decision is about another artifact");
  if (policy !== undefined && answer.object("policy").text("digest") !== policy) {
    throw answerInvalid("the decision was made by another policy");
  }
  const rules = answer.objects("rules");
  for (const rule of rules) {
    rule.text("rule");
    rule.text("kind");
    for (const satisfied of rule.objects("satisfiedBy")) satisfied.texts("identities");
    for (const rejected of rule.objects("rejected")) rejected.text("code");
  }
  const satisfied = rules.length > 0 && rules.every((rule) => rule.text("outcome") === "satisfied");
  if ((result === "allowed") !== satisfied) throw answerInvalid("the decision is not what its rules say");
  answer.object("trust").whole("version");
  answer.whole("time");
  answer.wholeOrNull("asOf");
  answer.texts("evidence");
  answer.texts("reasons");
  // Everything that `explain` reads was looked at above; the rest is shown as it came.
  return { decision: answer.json as unknown as Decision, json: answer.json };
}

async function writeSummary(client: ServerClient, id: string, file: string): Promise<void> {
  const answer = await client.send({
    method: "GET",
    path: `${API}/decisions/${encodeURIComponent(id)}/vsa`,
    headers: { accept: "*/*" },
  });
  await writeFileAtomically(file, await answer.bytes(LIMITS.bundleBytes), { mode: 0o644 });
}
