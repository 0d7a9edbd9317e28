import { type Command, Option } from "commander";
import type { AnswerObject } from "../answer.ts";
import { usageError } from "../errors.ts";
import { showMoment } from "../moment.ts";
import { askList, askObject, organisationClient } from "../organisation.ts";
import { defineDeletions } from "../repository/deletions.ts";
import { below } from "../repository/name.ts";
import type { Session } from "../session.ts";
import { facts, table } from "../table.ts";

const VISIBILITIES = ["private", "public"] as const;
const MUTABILITIES = ["release-tags", "all-tags"] as const;

type Said = {
  description?: string;
  visibility?: string;
  immutable?: string;
  immutableTag: string[];
  onlyReleaseTags?: true;
  promotionPolicy?: string;
  freePromotion?: true;
};

/** `assay repository …`: repositories as things people manage. */
export function define(command: Command, session: Session): void {
  const gather = (value: string, before: string[]): string[] => [...before, value];
  const visibility = () => new Option("--visibility <who>", "who may pull: public is everybody").choices(VISIBILITIES);
  const immutable = () =>
    new Option("--immutable <which>", "which tags never move; release tags never do").choices(MUTABILITIES);
  const pattern = "a tag that never moves, * for any characters: stable, 'v*' (several)";
  const policy = "a policy that must allow an artifact before it comes here, by `assay promote` only";
  command
    .command("list")
    .description("list the repositories you may pull from, the newest first")
    .action(() => list(session));
  command
    .command("show")
    .description("show what is said of a repository, and who may what there")
    .argument("<name>", "the repository: app, team/app")
    .action((name: string) => show(session, name));
  command
    .command("create")
    .description("make a repository ahead of its first push")
    .argument("<name>", "the repository: app, team/app")
    .option("--description <text>", "what it is for")
    .addOption(visibility())
    .addOption(immutable())
    .option("--immutable-tag <pattern>", pattern, gather, [])
    .option("--promotion-policy <policy>", policy)
    .action((name: string, options: Said) => create(session, name, options));
  command
    .command("set")
    .description("change what is said of a repository; what is not named stays")
    .argument("<name>", "the repository: app, team/app")
    .option("--description <text>", "what it is for")
    .addOption(visibility())
    .addOption(immutable())
    .option("--immutable-tag <pattern>", `${pattern}; these, and no others`, gather, [])
    .option("--only-release-tags", "no other tag is immutable any more")
    .option("--promotion-policy <policy>", policy)
    .option("--free-promotion", "no policy is asked any more")
    .action((name: string, options: Said) => set(session, name, options));
  command
    .command("rename")
    .description("give a repository another name; its former one stays taken")
    .argument("<name>", "the repository: app, team/app")
    .argument("<new-name>", "what it is called from now on")
    .action((name: string, to: string) => rename(session, name, to));
  command
    .command("history")
    .description("show how a repository's settings came to be what they are, the newest first")
    .argument("<name>", "the repository: app, team/app")
    .action((name: string) => history(session, name));
  command
    .command("refused")
    .description("show who tried to move a tag that never moves, the newest first")
    .argument("<name>", "the repository: app, team/app")
    .action((name: string) => refused(session, name));
  defineDeletions(command, session);
}

function shown(about: AnswerObject): [string, string | undefined][] {
  const patterns = about.texts("immutableTags");
  const which = about.text("immutable") === "all-tags" ? "all tags" : ["release tags", ...patterns].join(", ");
  return [
    ["description", about.text("description") || undefined],
    ["visibility", about.text("visibility")],
    ["immutable", which],
    ["promotion policy", about.textOrNull("promotionPolicy") ?? undefined],
  ];
}

async function list(session: Session): Promise<void> {
  const { client, path } = await organisationClient(session);
  const { items } = await askList(client, path("repositories"));
  const rows = items.map((item) => {
    const about = new Map(shown(item));
    return [item.text("name"), ...["visibility", "immutable", "description"].map((fact) => about.get(fact) ?? "")];
  });
  session.output.result(
    items.map((item) => item.json),
    rows.length === 0 ? "you see no repository" : table(["NAME", "VISIBILITY", "IMMUTABLE", "DESCRIPTION"], rows),
  );
}

async function show(session: Session, name: string): Promise<void> {
  const { client, org, path } = await organisationClient(session);
  const answer = await askObject(client, { method: "GET", path: path("repositories", below(org, name)) });
  const setAt = answer.wholeOrNull("setAt");
  const rows = (answer.raw("who") === null ? [] : answer.objects("who")).map((one) => [
    one.text("principal"),
    one.text("role"),
    one.textOrNull("through") ?? org,
  ]);
  const more = answer.flag("whoMore") ? "\nand others" : "";
  session.output.result(
    answer.json,
    `${facts([
      ["repository", answer.text("name")],
      ...shown(answer),
      ["set by", answer.textOrNull("setBy") ?? undefined],
      ["set", setAt === null ? undefined : showMoment(setAt)],
    ])}${rows.length === 0 ? "" : `\n\n${table(["WHO", "ROLE", "IN"], rows)}${more}`}`,
  );
}

async function create(session: Session, name: string, options: Said): Promise<void> {
  const { client, org, path } = await organisationClient(session);
  const json = { name: below(org, name), ...said(options) };
  const answer = await askObject(client, { method: "POST", path: path("repositories"), json });
  session.output.result(answer.json, facts([["repository", answer.text("name")], ...shown(answer)]));
}

function said(options: Said): { [name: string]: string | string[] | null } {
  const { description, visibility, immutable, immutableTag, promotionPolicy } = options;
  if (options.onlyReleaseTags === true && (immutableTag.length > 0 || immutable === "all-tags")) {
    throw usageError("usage", "--only-release-tags and other immutable tags say two things");
  }
  if (options.freePromotion === true && promotionPolicy !== undefined) {
    throw usageError("usage", "--free-promotion and --promotion-policy say two things");
  }
  return {
    ...(description === undefined ? {} : { description }),
    ...(visibility === undefined ? {} : { visibility }),
    ...(immutable === undefined ? {} : { immutable }),
    ...(immutableTag.length === 0 ? {} : { immutableTags: immutableTag }),
    ...(options.onlyReleaseTags === true ? { immutable: "release-tags", immutableTags: [] } : {}),
    ...(promotionPolicy === undefined ? {} : { promotionPolicy }),
    ...(options.freePromotion === true ? { promotionPolicy: null } : {}),
  };
}

async function set(session: Session, name: string, options: Said): Promise<void> {
  const json = said(options);
  if (Object.keys(json).length === 0) {
    throw usageError("usage", "nothing is named that should change", "See `assay repository set --help`.");
  }
  const { client, org, path } = await organisationClient(session);
  const answer = await askObject(client, { method: "PATCH", path: path("repositories", below(org, name)), json });
  session.output.result(answer.json, facts([["repository", answer.text("name")], ...shown(answer)]));
}

async function rename(session: Session, name: string, to: string): Promise<void> {
  const { client, org, path } = await organisationClient(session);
  const answer = await askObject(client, {
    method: "POST",
    path: path("repositories", below(org, name), "rename"),
    json: { to: below(org, to) },
  });
  session.output.result(
    answer.json,
    `renamed: ${org}/${below(org, name)} is ${answer.text("name")}. Roles, trust and webhooks that name it stay with the former name.`,
  );
}

async function history(session: Session, name: string): Promise<void> {
  const { client, org, path } = await organisationClient(session);
  const { items } = await askList(client, path("repositories", below(org, name), "history"));
  const rows = items.map((item) => {
    const about = new Map(shown(item));
    const facts = ["visibility", "immutable", "promotion policy", "description"].map((fact) => about.get(fact) ?? "");
    return [showMoment(item.whole("setAt")), item.text("setBy"), ...facts];
  });
  session.output.result(
    items.map((item) => item.json),
    rows.length === 0
      ? "nobody has said anything of it yet"
      : table(["SET", "BY", "VISIBILITY", "IMMUTABLE", "PROMOTION POLICY", "DESCRIPTION"], rows),
  );
}

async function refused(session: Session, name: string): Promise<void> {
  const { client, org, path } = await organisationClient(session);
  const { items } = await askList(client, path("repositories", below(org, name), "refused-moves"));
  const rows = items.map((item) => [
    showMoment(item.whole("at")),
    item.text("actor"),
    item.text("tag"),
    item.text("names"),
    item.text("refused"),
    String(item.whole("attempts")),
  ]);
  session.output.result(
    items.map((item) => item.json),
    rows.length === 0 ? "nobody has" : table(["FIRST", "WHO", "TAG", "NAMES", "REFUSED", "TRIES"], rows),
  );
}
