import type { Command } from "commander";
import type { AnswerObject } from "../answer.ts";
import { usageError } from "../errors.ts";
import { showMoment } from "../moment.ts";
import { askList, askObject, organisationClient } from "../organisation.ts";
import type { Session } from "../session.ts";
import { facts, table } from "../table.ts";
import { withReceipt } from "./receipt.ts";
import { repositoryPattern } from "./repository.ts";

type SetOptions = {
  issuer: string;
  audience?: string;
  claim: string[];
  serviceAccount: string;
  repository: string[];
  singleUse?: true;
  expiresInDays?: string;
};

const DAY = 86_400_000;

/** `assay account workload …`: whose CI tokens act as a service account, with no key stored anywhere. */
export function defineWorkload(command: Command, session: Session): void {
  const gather = (value: string, before: string[]): string[] => [...before, value];
  command
    .command("set")
    .description("let a CI's jobs act as a service account, by the identity tokens the CI gives them")
    .argument("<name>", "the workload identity's name; one that is there is replaced, and its tokens are void")
    .requiredOption("--issuer <url>", "who issues the tokens, exactly as their iss spells it")
    .requiredOption("--service-account <name>", "whom they act as")
    .option("--audience <text>", "what their aud must be (default: the server's address)")
    .option("--claim <name=value>", "what they must say: * is any run without /, ** any run (several)", gather, [])
    .option("--repository <pattern>", "where they are good (several; default: wherever the account may)", gather, [])
    .option("--single-use", "each token of the CI buys one of ours")
    .option("--expires-in-days <days>", "when this ends (default: not by itself)")
    .action((name: string, options: SetOptions) => set(session, name, options));

  command
    .command("list")
    .description("list the organisation's workload identities")
    .action(() => list(session));

  command
    .command("remove")
    .description("take no more tokens under it; those exchanged stop working at once")
    .argument("<name>", "the workload identity's name")
    .action((name: string) => remove(session, name));
}

/** `name=value`: the value may hold further `=`. */
function conditionOf(text: string): { claim: string; value: string } {
  const split = text.indexOf("=");
  if (split < 1) throw usageError("usage", `--claim ${JSON.stringify(text)} is not name=value`);
  return { claim: text.slice(0, split), value: text.slice(split + 1) };
}

function expiryOf(days: string | undefined): number | null {
  if (days === undefined) return null;
  if (!/^[1-9]\d{0,3}$/.test(days)) {
    throw usageError("usage", `--expires-in-days ${JSON.stringify(days)} is no number of days`);
  }
  return Date.now() + Number(days) * DAY;
}

async function set(session: Session, name: string, options: SetOptions): Promise<void> {
  if (options.claim.length === 0) {
    throw usageError(
      "usage",
      "without --claim every job of the issuer would be let in",
      "For GitHub --claim repository_id=…, for GitLab --claim project_id=…; see docs/access.md.",
    );
  }
  const conditions = options.claim.map(conditionOf);
  const expires = expiryOf(options.expiresInDays);
  const { client, org, path } = await organisationClient(session);
  const answer = await askObject(client, {
    method: "PUT",
    path: path("workload-identities", name),
    json: {
      issuer: options.issuer,
      audience: options.audience ?? client.server,
      conditions,
      serviceAccount: options.serviceAccount,
      repositories:
        options.repository.length === 0 ? null : options.repository.map((one) => repositoryPattern(org, one)),
      singleUse: options.singleUse === true,
      expires,
    },
  });
  if (!answer.flag("issuerBelieved")) {
    session.output.warn(
      "issuer-not-believed",
      `the server takes no tokens of ${options.issuer}: its operator adds it to ASSAY_OIDC_ISSUERS`,
    );
  }
  session.output.result(answer.json, facts([["workload identity", `${org}/${name}`], ...shown(answer)]));
}

function shown(answer: AnswerObject): [string, string][] {
  const repositories =
    answer.raw("repositories") === null ? "wherever it may" : answer.texts("repositories").join(", ");
  const expires = answer.wholeOrNull("expires");
  return [
    ["tokens of", answer.text("issuer")],
    ["for", answer.text("audience")],
    [
      "that say",
      answer
        .objects("conditions")
        .map((one) => `${one.text("claim")}=${one.text("value")}`)
        .join(", "),
    ],
    ["act as", answer.text("serviceAccount")],
    ["in", repositories],
    ["until", expires === null ? "it is removed" : showMoment(expires)],
  ];
}

async function list(session: Session): Promise<void> {
  const { client, path } = await organisationClient(session);
  const { items } = await askList(client, path("workload-identities"));
  const rows = items.map((item) => {
    const facts = new Map(shown(item));
    return [item.text("name"), ...["tokens of", "that say", "act as", "in"].map((fact) => facts.get(fact) ?? "")];
  });
  session.output.result(
    items.map((item) => item.json),
    rows.length === 0 ? "there are none yet" : table(["NAME", "TOKENS OF", "THAT SAY", "ACT AS", "IN"], rows),
  );
}

async function remove(session: Session, name: string): Promise<void> {
  const { client, org, path } = await organisationClient(session);
  const answer = withReceipt(await askObject(client, { method: "DELETE", path: path("workload-identities", name) }));
  session.output.result(
    { ...answer.json, org, name, removed: true },
    `removed: ${org}/${name}. Tokens exchanged under it work no more.`,
  );
}
