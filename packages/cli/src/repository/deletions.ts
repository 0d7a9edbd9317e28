import { isDigest } from "@assay/evidence";
import { type Command, InvalidArgumentError } from "commander";
import { withReceipt } from "../account/receipt.ts";
import type { AnswerObject } from "../answer.ts";
import { usageError } from "../errors.ts";
import { showMoment } from "../moment.ts";
import { askList, askObject, organisationClient } from "../organisation.ts";
import type { Session } from "../session.ts";
import { facts, table } from "../table.ts";
import { below } from "./name.ts";

type Deleting = { reason?: string; whole?: true };

/** `assay repository delete`, `deleted`, `restore`: what goes, what can come back, and its return. */
export function defineDeletions(command: Command, session: Session): void {
  command
    .command("delete")
    .description("delete a tag, a manifest with its tags, or a whole repository; it can come back for a while")
    .argument("<what>", "app:tag, app@sha256:…, or app with --whole")
    .option("--reason <text>", "why; needed for what has evidence or runs somewhere, and for a whole repository")
    .option("--whole", "the repository with everything in it")
    .action((what: string, options: Deleting) => remove(session, what, options));
  command
    .command("deleted")
    .description("list what was deleted and can come back, the newest first")
    .argument("[name]", "only of this repository")
    .action((name: string | undefined) => deleted(session, name));
  command
    .command("restore")
    .description("bring back what an event deleted, as it was")
    .argument("<event>", "the event that deleted it, as `assay repository deleted` shows it", sequenceOf)
    .action((sequence: number) => restore(session, sequence));
}

function sequenceOf(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError("an event is named by its sequence in the record.");
  return Number(text);
}

/** What is to go, as the server is asked. */
function target(what: string, { whole, reason }: Deleting): { name: string; json: { [name: string]: string | true } } {
  const why = reason === undefined ? {} : { reason };
  const at = what.indexOf("@");
  const colon = what.lastIndexOf(":");
  if (whole === true) {
    if (at !== -1 || colon > what.lastIndexOf("/"))
      throw usageError("usage", "--whole is about a repository, not a tag or digest");
    if (reason === undefined) throw usageError("usage", "a whole repository is deleted with a --reason");
    return { name: what, json: { whole: true, ...why } };
  }
  if (at !== -1) {
    const digest = what.slice(at + 1);
    if (!isDigest(digest)) throw usageError("usage", `${digest} is not a SHA-256 digest`);
    const named = what.slice(0, at);
    // A tag beside a digest says nothing more.
    const tag = named.lastIndexOf(":");
    return { name: tag > named.lastIndexOf("/") ? named.slice(0, tag) : named, json: { digest, ...why } };
  }
  if (colon > what.lastIndexOf("/"))
    return { name: what.slice(0, colon), json: { tag: what.slice(colon + 1), ...why } };
  throw usageError("usage", "say what is deleted: app:tag, app@sha256:…, or app --whole");
}

function named(item: AnswerObject): string {
  const [repository, tag, digest] = [item.text("repository"), item.textOrNull("tag"), item.textOrNull("digest")];
  if (tag !== null) return `${repository}:${tag}`;
  return digest === null ? repository : `${repository}@${digest}`;
}

async function remove(session: Session, what: string, options: Deleting): Promise<void> {
  const { name, json } = target(what, options);
  const { client, org, path } = await organisationClient(session);
  const answer = withReceipt(
    await askObject(client, { method: "POST", path: path("repositories", below(org, name), "deletions"), json }),
  );
  session.output.result(
    answer.json,
    facts([
      ["deleted", named(answer)],
      ["comes back by", `assay repository restore ${answer.whole("sequence")}`],
      ["until", showMoment(answer.whole("until"))],
    ]),
  );
}

async function deleted(session: Session, name: string | undefined): Promise<void> {
  const { client, org, path } = await organisationClient(session);
  const query = { repository: name === undefined ? undefined : below(org, name) };
  const { items } = await askList(client, path("deletions"), query);
  const rows = items.map((item) => [
    String(item.whole("sequence")),
    named(item),
    showMoment(item.whole("at")),
    item.text("actor"),
    showMoment(item.whole("until")),
    item.textOrNull("reason") ?? "",
  ]);
  session.output.result(
    items.map((item) => item.json),
    rows.length === 0 ? "nothing" : table(["EVENT", "WHAT", "DELETED", "BY", "UNTIL", "REASON"], rows),
  );
}

async function restore(session: Session, sequence: number): Promise<void> {
  const { client, path } = await organisationClient(session);
  const answer = withReceipt(
    await askObject(client, { method: "POST", path: path("deletions", String(sequence), "restore") }),
  );
  session.output.result(answer.json, `restored: what event ${sequence} deleted in ${answer.text("repository")}`);
}
