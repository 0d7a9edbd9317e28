import { type Command, Option } from "commander";
import { withReceipt } from "../account/receipt.ts";
import type { AnswerObject } from "../answer.ts";
import { usageError } from "../errors.ts";
import { showMoment } from "../moment.ts";
import { askObject, organisationClient } from "../organisation.ts";
import { type Rule, RULE_FORM, ruleOf } from "../retention/rule.ts";
import type { Session } from "../session.ts";
import { facts, quantity, table } from "../table.ts";

type Rules = { rule: Rule[] };

/** `assay retention …`: what goes from a repository by itself, what that would be, and a run now. */
export function define(command: Command, session: Session): void {
  const rules = (what: string) =>
    new Option("--rule <rule>", `${what} (several, the first that fits counts): ${RULE_FORM}`)
      .argParser((value: string, before: Rule[]) => [...before, ruleOf(value)])
      .default([], "none");
  command
    .command("set")
    .description("set a repository's rules; they are applied once a day, and with `assay retention run`")
    .argument("<repository>", "app, or whole: org/app")
    .addOption(rules("a rule"))
    .option("--none", "no rules: nothing goes by itself")
    .action((repository: string, options: Rules & { none?: true }) => set(session, repository, options));
  command
    .command("show")
    .description("show a repository's rules")
    .argument("<repository>", "app, or whole: org/app")
    .action((repository: string) => show(session, repository));
  command
    .command("preview")
    .description("show what would go and what stays, each with the reason; nothing is changed")
    .argument("<repository>", "app, or whole: org/app")
    .addOption(rules("a rule to try in the place of those that are set"))
    .option("--all", "show what stays, too")
    .action((repository: string, options: Rules & { all?: true }) => preview(session, repository, options));
  command
    .command("run")
    .description("apply a repository's rules now; what is deleted can be taken back for a while")
    .argument("<repository>", "app, or whole: org/app")
    .action((repository: string) => run(session, repository));
}

/** A repository's rules, a line each, as they are written. */
function shown(answer: AnswerObject): string {
  const rules = answer.objects("rules").map((rule) => {
    const keep = (member: string, word: string): string => {
      const value = rule.raw(member);
      return typeof value === "number" ? ` ${word}=${value}` : "";
    };
    const tags = rule.raw("tags");
    const about = Array.isArray(tags) ? `tags=${tags.join(",")}` : "untagged";
    const releases = rule.raw("releases") === true ? " releases" : "";
    const kept = `${keep("keepLast", "last")}${keep("keepPushedDays", "pushed")}${keep("keepPulledDays", "pulled")}`;
    return ["rule", `${rule.text("name")} ${about}${releases}${kept}`] as const;
  });
  const set = answer.wholeOrNull("set");
  return facts([
    ["repository", answer.text("repository")],
    ["version", String(answer.whole("version"))],
    ["set", set === null ? "never" : `${showMoment(set)} by ${answer.text("setBy")}`],
    ...(rules.length === 0 ? [["rules", "none: nothing goes by itself"] as const] : rules),
  ]);
}

async function set(session: Session, repository: string, options: Rules & { none?: true }): Promise<void> {
  if ((options.rule.length === 0) !== (options.none === true)) {
    throw usageError("rules-missing", "say what the rules are, or that there are none", "Use --rule, or --none.");
  }
  const { client, path } = await organisationClient(session);
  const json = { repository, rules: options.rule };
  const answer = await askObject(client, { method: "PUT", path: path("retention"), json });
  session.output.result(withReceipt(answer).json, shown(answer));
}

async function show(session: Session, repository: string): Promise<void> {
  const { client, path } = await organisationClient(session);
  const answer = await askObject(client, { method: "GET", path: path("retention"), query: { repository } });
  session.output.result(answer.json, shown(answer));
}

async function preview(session: Session, repository: string, options: Rules & { all?: true }): Promise<void> {
  const { client, path } = await organisationClient(session);
  const items: AnswerObject[] = [];
  for (let from: string | undefined; ; ) {
    const json = {
      repository,
      ...(options.rule.length === 0 ? {} : { rules: options.rule }),
      ...(from === undefined ? {} : { from }),
    };
    const page = await askObject(client, { method: "POST", path: path("retention", "preview"), json });
    items.push(...page.objects("items"));
    const next = page.textOrNull("next");
    if (next === null || next === from) break;
    from = next;
  }
  const going = items.filter((item) => item.raw("goes") === true);
  const rows = (options.all === true ? items : going).map((item) => [
    item.raw("goes") === true ? "goes" : "stays",
    item.textOrNull("tag") ?? item.text("digest"),
    item.textOrNull("rule") ?? "",
    item.text("why"),
  ]);
  const total = `${going.length} of ${quantity(items.length, "tag or manifest", "tags and manifests")} would go`;
  session.output.result(
    items.map((item) => item.json),
    rows.length === 0 ? total : `${table(["", "WHAT", "RULE", "WHY"], rows)}\n\n${total}`,
  );
}

async function run(session: Session, repository: string): Promise<void> {
  const { client, path } = await organisationClient(session);
  const current = await askObject(client, { method: "GET", path: path("retention"), query: { repository } });
  const version = current.whole("version");
  let tags = 0;
  let manifests = 0;
  for (let from: string | undefined; version > 0; ) {
    const json = { repository, version, ...(from === undefined ? {} : { from }) };
    const step = await askObject(client, { method: "POST", path: path("retention", "run"), json });
    tags += step.whole("tags");
    manifests += step.whole("manifests");
    const next = step.textOrNull("next");
    if (next === null || next === from) break;
    from = next;
  }
  session.output.result(
    { repository, version, tags, manifests },
    `deleted ${quantity(tags, "tag")} and ${quantity(manifests, "manifest")} of ${current.text("repository")}`,
  );
}
