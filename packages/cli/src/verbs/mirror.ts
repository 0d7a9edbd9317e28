import { type Command, Option } from "commander";
import { withReceipt } from "../account/receipt.ts";
import { type CredentialOptions, remoteCredential } from "../account/remote-credential.ts";
import { runIn } from "../account/remote-run.ts";
import { repositoryPattern } from "../account/repository.ts";
import { timeOf } from "../account/time.ts";
import type { AnswerObject } from "../answer.ts";
import { usageError } from "../errors.ts";
import { askList, askObject, organisationClient } from "../organisation.ts";
import type { Session } from "../session.ts";
import { facts, table } from "../table.ts";

const STALE = ["serve", "refuse"] as const;

type Settings = CredentialOptions & { tokenHost: string[]; maxAge?: string; stale?: string; evidence: boolean };

/** `assay mirror …`: repositories that get what they do not have from another registry. */
export function define(command: Command, session: Session): void {
  const gather = (value: string, before: string[]): string[] => [...before, value];
  command
    .command("list")
    .description("list the organisation's repositories that mirror others")
    .action(() => list(session));
  command
    .command("show")
    .description("show what a repository mirrors, which release tags the upstream moved, and how far it is filled")
    .argument("<repository>", "app or org/app")
    .action((repository: string) => show(session, repository));
  command
    .command("set")
    .description("let a repository mirror one on another registry; replaces what it mirrored")
    .argument("<repository>", "app or org/app: nobody may have pushed to it")
    .argument("<url>", "what is mirrored: https://registry-1.docker.io/library/alpine")
    .option("--username <name>", "whom the upstream is asked as; the password is asked for, and kept encrypted")
    .option("--password-stdin", "read the password from standard input")
    .option("--no-credential", "ask the upstream as nobody")
    .option("--token-host <host>", "a host besides the upstream's that gives its tokens (several)", gather, [])
    .option("--max-age <time>", "how long a tag is believed: 90s, 30m, 24h, 7d; 0: never", "5m")
    .addOption(
      new Option("--stale <rule>", "what a tag that is too old gets while the upstream gives no answer")
        .choices(STALE)
        .default("serve"),
    )
    .option("--no-evidence", "leave referrers and cosign's tags where they are")
    .action((repository: string, url: string, options: Settings) => set(session, repository, url, options));
  command
    .command("remove")
    .description("let a repository mirror nothing any more; what it has, it keeps")
    .argument("<repository>", "app or org/app")
    .action((repository: string) => remove(session, repository));
  command
    .command("sync")
    .description("bring tags now, whole and with their evidence, ahead of who pulls them")
    .argument("<repository>", "app or org/app")
    .argument("[tags...]", "all that the upstream lists, when none is named")
    .action((repository: string, tags: string[]) => sync(session, repository, tags));
}

function shown(mirror: AnswerObject): [string, string | undefined][] {
  const hosts = mirror.texts("tokenHosts");
  return [
    ["mirrors", mirror.text("url")],
    ["asked as", mirror.flag("credential") ? "whom the credential names" : "nobody"],
    ["tokens also from", hosts.length === 0 ? undefined : hosts.join(", ")],
    [
      "a tag is believed for",
      `${mirror.whole("maxAgeMs") / 1_000} s, then ${mirror.text("stale")}d if there is no answer`,
    ],
    ["evidence", mirror.flag("evidence") ? "comes along" : "stays there"],
  ];
}

function refused(mirror: AnswerObject): [string, string | undefined] {
  const tags = mirror.objects("refusedTags").map((one) => `${one.text("tag")} to ${one.text("refused")}`);
  return ["moved there, not here", tags.length === 0 ? undefined : tags.join("\n")];
}

async function list(session: Session): Promise<void> {
  const { client, path } = await organisationClient(session);
  const { items } = await askList(client, path("mirrors"));
  const rows = items.map((item) => [item.text("repository"), item.text("url"), item.text("stale")]);
  session.output.result(
    items.map((item) => item.json),
    rows.length === 0 ? "there are none yet" : table(["REPOSITORY", "MIRRORS", "STALE"], rows),
  );
}

async function show(session: Session, name: string): Promise<void> {
  const { client, org, path } = await organisationClient(session);
  const repository = repositoryPattern(org, name);
  const answer = await askObject(client, { method: "GET", path: path("mirror"), query: { repository } });
  session.output.result(
    answer.json,
    facts([["repository", repository], ...shown(answer), ["filled", runIn(answer, "fill")], refused(answer)]),
  );
}

async function set(session: Session, name: string, url: string, options: Settings): Promise<void> {
  const maxAgeMs = timeOf("--max-age", options.maxAge ?? "5m") * 1_000;
  const credential = await remoteCredential(session, options);
  const { client, org, path } = await organisationClient(session);
  const repository = repositoryPattern(org, name);
  const answer = withReceipt(
    await askObject(client, {
      method: "PUT",
      path: path("mirror"),
      json: {
        repository,
        url,
        tokenHosts: options.tokenHost,
        maxAgeMs,
        stale: options.stale ?? "serve",
        evidence: options.evidence,
        ...(credential === undefined ? {} : { credential }),
      },
    }),
  );
  session.output.result(answer.json, facts([["repository", repository], ...shown(answer)]));
}

async function remove(session: Session, name: string): Promise<void> {
  const { client, org, path } = await organisationClient(session);
  const repository = repositoryPattern(org, name);
  const answer = withReceipt(
    await askObject(client, { method: "DELETE", path: path("mirror"), query: { repository } }),
  );
  session.output.result({ ...answer.json, repository, removed: true }, `${repository} mirrors nothing any more.`);
}

async function sync(session: Session, name: string, tags: readonly string[]): Promise<void> {
  if (new Set(tags).size !== tags.length) throw usageError("usage", "a tag is named twice");
  const { client, org, path } = await organisationClient(session);
  const repository = repositoryPattern(org, name);
  const json = { repository, tags: tags.length === 0 ? null : [...tags] };
  const answer = await askObject(client, { method: "POST", path: path("mirror", "fill"), json });
  const what = tags.length === 0 ? "all tags" : tags.join(", ");
  session.output.result(
    answer.json,
    `${answer.text("repository")} is being filled: ${what}. \`assay mirror show ${name}\` says how far.`,
  );
}
