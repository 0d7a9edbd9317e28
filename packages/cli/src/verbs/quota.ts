import { type Command, InvalidArgumentError } from "commander";
import { withReceipt } from "../account/receipt.ts";
import type { AnswerObject } from "../answer.ts";
import { showMoment } from "../moment.ts";
import { askList, askObject, type OrganisationClient, organisationClient } from "../organisation.ts";
import { formatBytes } from "../progress.ts";
import { below } from "../repository/name.ts";
import type { Session } from "../session.ts";
import { facts, table } from "../table.ts";

type About = { repository?: string };

const FACTORS: Readonly<Record<string, number>> = { "": 0, K: 1, M: 2, G: 3, T: 4 };

/** "10G", "10GiB", "1048576"; `unlimited` is null: counted, and nothing refused. */
function readSize(text: string): number | null {
  if (text === "unlimited") return null;
  const found = /^(\d{1,12})([KMGT]?)(?:iB)?$/.exec(text);
  const bytes = Number(found?.[1]) * 1024 ** (FACTORS[found?.[2] ?? ""] ?? 0);
  if (found !== null && Number.isSafeInteger(bytes)) return bytes;
  throw new InvalidArgumentError('write bytes, or a number with K, M, G or T: 10G, 500M; or "unlimited".');
}

/** `assay quota …`: how much organisations and repositories may hold, and how much they do. */
export function define(command: Command, session: Session): void {
  const about = ["--repository <name>", "of this repository: app, team/app; else of the organisation"] as const;
  command
    .command("list")
    .description("list the organisation's quotas, its own and its repositories'")
    .action(() => list(session));
  command
    .command("show")
    .description("show a quota, and how much of it is used")
    .option(...about)
    .action((options: About) => show(session, options));
  command
    .command("set")
    .description("set how much may be held; the organisation's own is set by whoever runs the server")
    .argument("<size>", '10G, 500M, bytes; "unlimited": count it, and refuse nothing', readSize)
    .option(...about)
    .action((size: number | null, options: About) => set(session, size, options));
  command
    .command("remove")
    .description("remove a quota: nothing is refused or counted by it any more")
    .option(...about)
    .action((options: About) => remove(session, options));
}

function pathOf({ org, path }: OrganisationClient, { repository }: About): string {
  return repository === undefined ? path("quota") : path("repositories", below(org, repository), "quota");
}

function limitText(quota: AnswerObject): string {
  const bytes = quota.wholeOrNull("bytes");
  return bytes === null ? "unlimited" : formatBytes(bytes);
}

function share(quota: AnswerObject): string {
  const bytes = quota.wholeOrNull("bytes");
  const used = quota.whole("used");
  return bytes === null || bytes === 0 ? "" : `${Math.floor((used / bytes) * 100)}%`;
}

function shown(answer: AnswerObject, none: string): string {
  if (answer.raw("quota") === null) return none;
  const quota = answer.object("quota");
  const [refused, leased] = [quota.wholeOrNull("refusedAt"), quota.whole("leased")];
  const used = [formatBytes(quota.whole("used")), share(quota)].filter((part) => part !== "").join(", ");
  return facts([
    ["repository", quota.textOrNull("repository") ?? "all of the organisation's"],
    ["quota", limitText(quota)],
    ["used", used],
    ["pushed, in no manifest yet", leased === 0 ? undefined : formatBytes(leased)],
    ["set", `${showMoment(quota.whole("setAt"))} by ${quota.text("setBy")}`],
    ["last refused", refused === null ? undefined : showMoment(refused)],
  ]);
}

const NONE = "there is no quota, and nothing is counted";

async function list(session: Session): Promise<void> {
  const { client, org, path } = await organisationClient(session);
  const { items } = await askList(client, path("quotas"));
  const rows = items.map((quota) => [
    quota.textOrNull("repository") ?? org,
    limitText(quota),
    formatBytes(quota.whole("used")),
    share(quota),
  ]);
  session.output.result(
    items.map((item) => item.json),
    rows.length === 0 ? NONE : table(["OF", "QUOTA", "USED", ""], rows),
  );
}

async function show(session: Session, about: About): Promise<void> {
  const asked = await organisationClient(session);
  const answer = await askObject(asked.client, { method: "GET", path: pathOf(asked, about) });
  session.output.result(answer.json, shown(answer, NONE));
}

async function set(session: Session, bytes: number | null, about: About): Promise<void> {
  const asked = await organisationClient(session);
  const answer = await askObject(asked.client, { method: "PUT", path: pathOf(asked, about), json: { bytes } });
  session.output.result(withReceipt(answer).json, shown(answer, NONE));
}

async function remove(session: Session, about: About): Promise<void> {
  const asked = await organisationClient(session);
  const answer = await askObject(asked.client, { method: "DELETE", path: pathOf(asked, about) });
  session.output.result(withReceipt(answer).json, NONE);
}
