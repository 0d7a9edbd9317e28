import { type Command, Option } from "commander";
import { withReceipt } from "../account/receipt.ts";
import { repositoryPattern } from "../account/repository.ts";
import type { AnswerObject } from "../answer.ts";
import { showMoment } from "../moment.ts";
import { askObject, organisationClient } from "../organisation.ts";
import type { Session } from "../session.ts";
import { table } from "../table.ts";

const PLATFORMS = ["own", "index"] as const;

/** `assay gate …`: which repositories serve only what a policy allows. */
export function define(command: Command, session: Session): void {
  command
    .command("list")
    .description("list the organisation's pull gates")
    .action(() => list(session, undefined));
  command
    .command("show")
    .description("show the gates that stand over a repository: all of them must allow what is pulled from it")
    .argument("<repository>", "app, or org/app")
    .action((repository: string) => list(session, repository));
  command
    .command("set")
    .description("let repositories serve only what a policy allows, except to who may write evidence there")
    .argument("<repositories>", "app, 'team/*' (one component), 'team/**' (any number), '**' (all)")
    .requiredOption("--policy <name>", "a stored policy; its version of the moment judges")
    .addOption(
      new Option(
        "--platforms <how>",
        "a platform's manifest is allowed: own: by its own decision; index: also by that of an index that lists it",
      )
        .choices(PLATFORMS)
        .default("own"),
    )
    .action((repositories: string, options: { policy: string; platforms: string }) =>
      set(session, repositories, options),
    );
  command
    .command("clear")
    .description("take a gate away")
    .argument("<repositories>", "the pattern as it was set")
    .action((repositories: string) => clear(session, repositories));
}

function row(gate: AnswerObject): string[] {
  return [
    gate.text("repository"),
    gate.text("policy"),
    gate.text("platforms"),
    gate.text("setBy"),
    showMoment(gate.whole("time")),
  ];
}

async function list(session: Session, over: string | undefined): Promise<void> {
  const { client, org, path } = await organisationClient(session);
  const query = { over: over === undefined ? undefined : repositoryPattern(org, over) };
  const answer = await askObject(client, { method: "GET", path: path("pull-gates"), query });
  const items = answer.objects("items");
  const none = over === undefined ? "there are none yet" : `no gate stands over ${repositoryPattern(org, over)}`;
  session.output.result(
    items.map((item) => item.json),
    items.length === 0 ? none : table(["REPOSITORIES", "POLICY", "PLATFORMS", "SET BY", "SINCE"], items.map(row)),
  );
}

async function set(
  session: Session,
  repositories: string,
  options: { policy: string; platforms: string },
): Promise<void> {
  const { client, org, path } = await organisationClient(session);
  const repository = repositoryPattern(org, repositories);
  const json = { repository, policy: options.policy, platforms: options.platforms };
  const answer = withReceipt(await askObject(client, { method: "PUT", path: path("pull-gates"), json }));
  const said = answer.flag("changed") ? "serves only" : "already serves only";
  session.output.result(answer.json, `${repository} ${said} what policy ${options.policy} allows`);
}

async function clear(session: Session, repositories: string): Promise<void> {
  const { client, org, path } = await organisationClient(session);
  const repository = repositoryPattern(org, repositories);
  const answer = withReceipt(
    await askObject(client, { method: "DELETE", path: path("pull-gates"), query: { repository } }),
  );
  session.output.result(answer.json, `no gate stands under ${repository} any more`);
}
