import { type Command, InvalidArgumentError, Option } from "commander";
import { withReceipt } from "../account/receipt.ts";
import { repositoryPattern } from "../account/repository.ts";
import { graceOf } from "../account/rotate.ts";
import type { AnswerObject } from "../answer.ts";
import { Exit, usageError } from "../errors.ts";
import { showMoment } from "../moment.ts";
import { askList, askObject, organisationClient } from "../organisation.ts";
import type { Session } from "../session.ts";
import { facts, table } from "../table.ts";

const KINDS = ["push", "delete", "tag", "evidence", "decision", "quota"] as const;
const FORMATS = ["cloudevents", "cdevents"] as const;
const STATES = ["delivered", "failed", "dead"] as const;

const KEEP_IT = "The secret is shown this once. Give it to the receiver now: nobody can show it again.";

type Settings = { url?: string; kind: string[]; repository: string[]; allRepositories?: true; format?: string };

/** `assay webhook …`: who is told what is recorded, what they were told, and telling them again. */
export function define(command: Command, session: Session): void {
  const gather = (value: string, before: string[]): string[] => [...before, value];
  const kind = () =>
    new Option("--kind <kind>", `what it is told of (several): ${KINDS.join(", ")}`)
      .argParser((value: string, before: string[]) => gather(kindOf(value), before))
      .default([], "all");
  const repositories = "only of these repositories: app, 'team/*' (one component), 'team/**' (any number) (several)";
  const format = () => new Option("--format <format>", "how messages are written").choices(FORMATS);
  command
    .command("list")
    .description("list the organisation's webhooks")
    .action(() => list(session));
  command
    .command("add")
    .description("tell a URL what is recorded from now on; its secret is shown this once and kept nowhere")
    .argument("<name>", "the webhook's name")
    .argument("<url>", "where messages are POSTed to; it is recorded: no secrets in it")
    .addOption(kind())
    .option("--repository <pattern>", repositories, gather, [])
    .addOption(format())
    .action((name: string, url: string, options: Settings) => add(session, name, { ...options, url }));
  command
    .command("change")
    .description("change where a webhook is, what it is told of, or how; what is not named stays")
    .argument("<name>", "the webhook's name")
    .option("--url <url>", "where messages are POSTed to")
    .addOption(kind().default([], "as it is"))
    .option("--repository <pattern>", repositories, gather, [])
    .option("--all-repositories", "of all repositories, and of what lies in none")
    .addOption(format())
    .action((name: string, options: Settings) => change(session, name, options));
  command
    .command("rotate")
    .description("give a webhook another secret; for a while messages are signed with both")
    .argument("<name>", "the webhook's name")
    .option("--grace <time>", "how long the former secret signs too: 90s, 30m, 24h, 7d; 0 when it leaked", "24h")
    .action((name: string, options: { grace: string }) => rotate(session, name, options.grace));
  command
    .command("pause")
    .description("tell it nothing until it is resumed; what is recorded meanwhile waits")
    .argument("<name>", "the webhook's name")
    .action((name: string) => turn(session, name, "pause"));
  command
    .command("resume")
    .description("tell it again: all that came while it was paused, in order")
    .argument("<name>", "the webhook's name")
    .action((name: string) => turn(session, name, "resume"));
  command
    .command("remove")
    .description("tell it nothing any more, also nothing that waits")
    .argument("<name>", "the webhook's name")
    .action((name: string) => remove(session, name));
  command
    .command("deliveries")
    .description("show what a webhook was told and what came of it, the newest first")
    .argument("<name>", "the webhook's name")
    .addOption(new Option("--state <state>", "only deliveries in this state").choices(STATES))
    .action((name: string, options: { state?: string }) => deliveries(session, name, options));
  command
    .command("replay")
    .description("tell a webhook again: one delivery, or everything from an event on; recorded")
    .argument("<name>", "the webhook's name")
    .addOption(
      new Option("--from <sequence>", "everything from this event of the record on, in order").argParser(sequenceOf),
    )
    .addOption(
      new Option("--delivery <sequence>", "the delivery of this event alone").argParser(sequenceOf).conflicts("from"),
    )
    .action((name: string, options: { from?: number; delivery?: number }) => replay(session, name, options));
  command
    .command("test")
    .description("send a webhook a test message, now and once (exit code 1: it was not taken)")
    .argument("<name>", "the webhook's name")
    .action((name: string) => test(session, name));
}

function kindOf(text: string): string {
  if (!KINDS.some((kind) => kind === text)) throw new InvalidArgumentError(`is one of ${KINDS.join(", ")}.`);
  return text;
}

function sequenceOf(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError("an event is named by its sequence in the record.");
  return Number(text);
}

function shown(webhook: AnswerObject): [string, string | undefined][] {
  const former = webhook.wholeOrNull("formerSecretUntil");
  const next = webhook.wholeOrNull("next");
  const paused = webhook.wholeOrNull("paused");
  return [
    ["url", webhook.text("url")],
    ["told of", webhook.texts("kinds").join(", ")],
    [
      "in",
      webhook.raw("repositories") === null ? "all repositories, and none" : webhook.texts("repositories").join(", "),
    ],
    ["format", webhook.text("format")],
    ["paused since", paused === null ? undefined : showMoment(paused)],
    ["under way", next === null ? undefined : `event ${next}`],
    ["former secret until", former === null ? undefined : showMoment(former)],
  ];
}

async function list(session: Session): Promise<void> {
  const { client, path } = await organisationClient(session);
  const { items } = await askList(client, path("webhooks"));
  const rows = items.map((item) => {
    const about = new Map(shown(item));
    return [
      item.text("name"),
      ...["url", "told of", "in", "format", "paused since", "under way"].map((fact) => about.get(fact) ?? ""),
    ];
  });
  session.output.result(
    items.map((item) => item.json),
    rows.length === 0
      ? "there are none yet"
      : table(["NAME", "URL", "TOLD OF", "IN", "FORMAT", "PAUSED", "UNDER WAY"], rows),
  );
}

async function add(session: Session, name: string, options: Settings): Promise<void> {
  const { client, org, path } = await organisationClient(session);
  const answer = await askObject(client, {
    method: "POST",
    path: path("webhooks"),
    json: {
      name,
      url: options.url ?? "",
      kinds: options.kind.length === 0 ? [...KINDS] : [...new Set(options.kind)],
      repositories:
        options.repository.length === 0 ? null : options.repository.map((one) => repositoryPattern(org, one)),
      format: options.format ?? "cloudevents",
    },
  });
  session.output.result(
    answer.json,
    `${facts([["webhook", `${org}/${name}`], ...shown(answer), ["secret", answer.text("secret")]])}\n\n${KEEP_IT}`,
  );
}

async function change(session: Session, name: string, options: Settings): Promise<void> {
  const { url, kind, repository, allRepositories, format } = options;
  if (allRepositories === true && repository.length > 0) {
    throw usageError("usage", "--all-repositories and --repository say two things");
  }
  const named = [url, format, allRepositories, ...kind, ...repository].some((value) => value !== undefined);
  if (!named) {
    throw usageError("usage", "nothing is named that should change", "See `assay webhook change --help`.");
  }
  const { client, org, path } = await organisationClient(session);
  const place = path("webhooks", name);
  const now = await askObject(client, { method: "GET", path: place });
  const kept = now.raw("repositories") === null ? null : now.texts("repositories");
  const asked = repository.length === 0 ? kept : repository.map((one) => repositoryPattern(org, one));
  const answer = await askObject(client, {
    method: "PUT",
    path: place,
    json: {
      url: url ?? now.text("url"),
      kinds: kind.length === 0 ? now.texts("kinds") : [...new Set(kind)],
      repositories: allRepositories === true ? null : asked,
      format: format ?? now.text("format"),
    },
  });
  session.output.result(answer.json, facts([["webhook", `${org}/${name}`], ...shown(answer)]));
}

async function rotate(session: Session, name: string, grace: string): Promise<void> {
  const overlapMs = graceOf(grace) * 1_000;
  const { client, org, path } = await organisationClient(session);
  const answer = await askObject(client, {
    method: "POST",
    path: path("webhooks", name, "rotate"),
    json: { overlapMs },
  });
  session.output.result(
    answer.json,
    `${facts([
      ["webhook", `${org}/${name}`],
      ["secret", answer.text("secret")],
      ["the former signs until", overlapMs === 0 ? "now: it has stopped" : showMoment(answer.whole("formerUntil"))],
    ])}\n\n${KEEP_IT}`,
  );
}

async function turn(session: Session, name: string, verb: "pause" | "resume"): Promise<void> {
  const { client, org, path } = await organisationClient(session);
  const answer = await askObject(client, { method: "POST", path: path("webhooks", name, verb) });
  session.output.result(answer.json, facts([["webhook", `${org}/${name}`], ...shown(answer)]));
}

async function remove(session: Session, name: string): Promise<void> {
  const { client, org, path } = await organisationClient(session);
  const answer = withReceipt(await askObject(client, { method: "DELETE", path: path("webhooks", name) }));
  session.output.result(
    { ...answer.json, org, name, removed: true },
    `removed: ${org}/${name}. It is told nothing more.`,
  );
}

async function deliveries(session: Session, name: string, options: { state?: string }): Promise<void> {
  const { client, path } = await organisationClient(session);
  const { items } = await askList(client, path("webhooks", name, "deliveries"), options);
  const rows = items.map((item) => {
    const status = item.wholeOrNull("status");
    return [
      String(item.whole("sequence")),
      item.text("type"),
      item.text("state"),
      String(item.whole("attempts")),
      showMoment(item.whole("last")),
      status === null ? "" : String(status),
      item.textOrNull("error") ?? "",
    ];
  });
  session.output.result(
    items.map((item) => item.json),
    rows.length === 0 ? "no deliveries" : table(["EVENT", "TYPE", "STATE", "TRIES", "LAST", "STATUS", "ERROR"], rows),
  );
}

async function replay(session: Session, name: string, options: { from?: number; delivery?: number }): Promise<void> {
  const { from, delivery } = options;
  if (from === undefined && delivery === undefined) {
    throw usageError("usage", "say what is told again: --from SEQUENCE or --delivery SEQUENCE");
  }
  const { client, org, path } = await organisationClient(session);
  const json = delivery === undefined ? { from: from ?? 0 } : { delivery };
  const answer = withReceipt(await askObject(client, { method: "POST", path: path("webhooks", name, "replay"), json }));
  const what = delivery === undefined ? `everything from event ${from ?? 0} on` : `event ${delivery}`;
  session.output.result({ ...answer.json, org, name, ...json }, `${org}/${name} is told again: ${what}.`);
}

async function test(session: Session, name: string): Promise<void> {
  const { client, org, path } = await organisationClient(session);
  const answer = await askObject(client, { method: "POST", path: path("webhooks", name, "test") });
  const taken = answer.flag("taken");
  const status = answer.wholeOrNull("status");
  session.output.result(
    answer.json,
    facts([
      ["webhook", `${org}/${name}`],
      ["message", answer.text("id")],
      ["taken", taken ? "yes" : "no"],
      ["status", status === null ? undefined : String(status)],
      ["error", answer.textOrNull("error") ?? undefined],
    ]),
  );
  session.answer(taken ? Exit.yes : Exit.no);
}
