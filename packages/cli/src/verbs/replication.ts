import { type Command, Option } from "commander";
import { withReceipt } from "../account/receipt.ts";
import { type CredentialOptions, remoteCredential } from "../account/remote-credential.ts";
import { runIn } from "../account/remote-run.ts";
import { repositoryPattern } from "../account/repository.ts";
import { timeOf } from "../account/time.ts";
import type { AnswerObject } from "../answer.ts";
import { askList, askObject, organisationClient } from "../organisation.ts";
import type { Session } from "../session.ts";
import { facts, table } from "../table.ts";

type Settings = CredentialOptions & {
  to?: string;
  repository: string[];
  tag: string[];
  tokenHost: string[];
  onPush?: true;
  every?: string;
  evidence: boolean;
};

/** `assay replication …`: what is copied to another registry, or brought from the upstreams of mirrors, without being asked for. */
export function define(command: Command, session: Session): void {
  const gather = (value: string, before: string[]): string[] => [...before, value];
  command
    .command("list")
    .description("list the organisation's replications, with how they stand")
    .action(() => list(session));
  command
    .command("status")
    .description("show a replication and how far it is")
    .argument("<name>", "the replication's name")
    .action((name: string) => status(session, name));
  command
    .command("set")
    .description("say what is replicated: to another registry (--to), or whole from the upstreams of mirrors")
    .argument("<name>", "the replication's name")
    .option("--to <url>", "push: the registry and what names there begin with: https://backup.example.com/acme")
    .option(
      "--repository <pattern>",
      "only these repositories: app, 'team/*' (one component), 'team/**' (any number) (several)",
      gather,
      [],
    )
    .option("--tag <pattern>", "only these tags, in which * stands for any characters (several)", gather, [])
    .option("--username <name>", "whom the other registry is asked as; the password is asked for, and kept encrypted")
    .option("--password-stdin", "read the password from standard input")
    .option("--no-credential", "ask the other registry as nobody")
    .option("--token-host <host>", "a host besides the registry's that gives its tokens (several)", gather, [])
    .option("--on-push", "push: as soon as something is pushed here")
    .addOption(new Option("--every <time>", "everything again, this often: 30m, 24h, 7d"))
    .option("--no-evidence", "leave referrers and cosign's tags where they are")
    .action((name: string, options: Settings) => set(session, name, options));
  command
    .command("run")
    .description("run a replication over everything now; what is there is passed over")
    .argument("<name>", "the replication's name")
    .action((name: string) => run(session, name));
  command
    .command("remove")
    .description("replicate this no more; what was copied stays where it is")
    .argument("<name>", "the replication's name")
    .action((name: string) => remove(session, name));
}

function shown(replication: AnswerObject): [string, string | undefined][] {
  const every = replication.wholeOrNull("everyMs");
  const when = [
    ...(replication.flag("onEvents") ? ["on push"] : []),
    ...(every === null ? [] : [`every ${every / 1_000} s`]),
  ];
  return [
    ["direction", replication.text("direction")],
    ["to", replication.textOrNull("url") ?? undefined],
    ["repositories", replication.texts("repositories").join(", ")],
    ["tags", replication.texts("tags").join(", ")],
    ["when", when.length === 0 ? "when somebody says so" : when.join(", ")],
    ["evidence", replication.flag("evidence") ? "comes along" : "stays there"],
    ["everything", runIn(replication, "all")],
    ["what is new", runIn(replication, "new")],
  ];
}

async function list(session: Session): Promise<void> {
  const { client, path } = await organisationClient(session);
  const { items } = await askList(client, path("replications"));
  const rows = items.map((item) => {
    const about = new Map(shown(item));
    return [item.text("name"), ...["direction", "to", "when", "everything"].map((fact) => about.get(fact) ?? "")];
  });
  session.output.result(
    items.map((item) => item.json),
    rows.length === 0 ? "there are none yet" : table(["NAME", "DIRECTION", "TO", "WHEN", "EVERYTHING"], rows),
  );
}

async function status(session: Session, name: string): Promise<void> {
  const { client, org, path } = await organisationClient(session);
  const answer = await askObject(client, { method: "GET", path: path("replications", name) });
  session.output.result(answer.json, facts([["replication", `${org}/${name}`], ...shown(answer)]));
}

async function set(session: Session, name: string, options: Settings): Promise<void> {
  const credential = await remoteCredential(session, options);
  const { client, org, path } = await organisationClient(session);
  const repositories = options.repository.length === 0 ? ["**"] : options.repository;
  const answer = withReceipt(
    await askObject(client, {
      method: "PUT",
      path: path("replications", name),
      json: {
        direction: options.to === undefined ? "pull" : "push",
        url: options.to ?? null,
        repositories: repositories.map((one) => repositoryPattern(org, one)),
        tags: options.tag.length === 0 ? ["*"] : options.tag,
        tokenHosts: options.tokenHost,
        onEvents: options.onPush === true,
        everyMs: options.every === undefined ? null : timeOf("--every", options.every) * 1_000,
        evidence: options.evidence,
        ...(credential === undefined ? {} : { credential }),
      },
    }),
  );
  session.output.result(answer.json, facts([["replication", `${org}/${name}`], ...shown(answer)]));
}

async function run(session: Session, name: string): Promise<void> {
  const { client, org, path } = await organisationClient(session);
  const answer = await askObject(client, { method: "POST", path: path("replications", name, "run") });
  session.output.result(
    answer.json,
    `${org}/${answer.text("name")} runs. \`assay replication status ${name}\` says how far it is.`,
  );
}

async function remove(session: Session, name: string): Promise<void> {
  const { client, org, path } = await organisationClient(session);
  const answer = withReceipt(await askObject(client, { method: "DELETE", path: path("replications", name) }));
  session.output.result({ ...answer.json, org, name, removed: true }, `removed: ${org}/${name}.`);
}
