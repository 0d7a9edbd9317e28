import { type Command, Option } from "commander";
import { usageError } from "../errors.ts";
import { serverClient } from "../http.ts";
import { showMoment } from "../moment.ts";
import { API, askList, askObject } from "../organisation.ts";
import type { Session } from "../session.ts";
import { requireOrg } from "../settings.ts";
import { facts, table } from "../table.ts";

/** People are the whole service's; service accounts are one organisation's. */
const KINDS = ["person", "service"] as const;
type Kind = (typeof KINDS)[number];
type Role = "admin" | "member" | "reader";

export function define(command: Command, session: Session): void {
  command
    .command("create")
    .description("make a person or a service account, and give it a role in the organisation")
    .argument("<kind>", KINDS.join(" or "), kindOf)
    .argument("<name>", "its name")
    .addOption(new Option("--role <role>", "its role in the organisation").choices(["admin", "member", "reader"]))
    .action((kind: Kind, name: string, options: { role?: Role }) => create(session, kind, name, options.role));

  command
    .command("list")
    .description("list the people, or the organisation's service accounts")
    .argument("<kind>", KINDS.join(" or "), kindOf)
    .action((kind: Kind) => list(session, kind));

  const key = command.command("key").description("API keys of people and service accounts");
  key
    .command("create")
    .description("make an API key; it is shown this once and kept nowhere")
    .argument("<kind>", KINDS.join(" or "), kindOf)
    .argument("<name>", "whose")
    .option("--label <text>", "what the key is for", "made by assay account key create")
    .option("--expires-in-days <days>", 'how long it works: a number, or "never"', "90")
    .action((kind: Kind, name: string, options: { label: string; expiresInDays: string }) =>
      createKey(session, kind, name, options),
    );
  key
    .command("list")
    .description("list the keys, without their secrets")
    .argument("<kind>", KINDS.join(" or "), kindOf)
    .argument("<name>", "whose")
    .action((kind: Kind, name: string) => listKeys(session, kind, name));
}

function kindOf(text: string): Kind {
  const kind = KINDS.find((candidate) => candidate === text);
  if (kind === undefined) throw usageError("usage", `${JSON.stringify(text)} is neither person nor service`);
  return kind;
}

async function accountsPath(session: Session, kind: Kind, ...parts: string[]): Promise<string> {
  const base = kind === "person" ? ["people"] : ["orgs", requireOrg(await session.settings()), "service-accounts"];
  return `${API}/${[...base, ...parts].map(encodeURIComponent).join("/")}`;
}

async function create(session: Session, kind: Kind, name: string, role: Role | undefined): Promise<void> {
  // What would be missing for the second step is asked for before the first is taken.
  const org = role === undefined ? undefined : requireOrg(await session.settings());
  const client = await serverClient(session);
  const made = await askObject(client, { method: "POST", path: await accountsPath(session, kind), json: { name } });
  if (org !== undefined && role !== undefined) {
    const member = [org, "members", kind, name].map(encodeURIComponent).join("/");
    await askObject(client, { method: "PUT", path: `${API}/orgs/${member}`, json: { role } });
  }
  session.output.result(
    { id: made.text("id"), name, created: made.whole("created"), role: role === undefined ? null : { org, role } },
    facts([
      ["account", made.text("id")],
      ["role", role === undefined ? "none yet" : `${role} in ${org}`],
      ["next", `assay account key create ${kind} ${name}`],
    ]),
  );
}

async function list(session: Session, kind: Kind): Promise<void> {
  const { items } = await askList(await serverClient(session), await accountsPath(session, kind));
  const rows = items.map((item) => [item.text("id"), showMoment(item.whole("created")), item.text("createdBy")]);
  session.output.result(
    items.map((item) => item.json),
    rows.length === 0 ? "there are none yet" : table(["ACCOUNT", "MADE", "BY"], rows),
  );
}

async function createKey(
  session: Session,
  kind: Kind,
  name: string,
  options: { label: string; expiresInDays: string },
): Promise<void> {
  const days = options.expiresInDays;
  if (days !== "never" && !/^[1-9]\d{0,3}$/.test(days)) {
    throw usageError("usage", `--expires-in-days ${JSON.stringify(days)} is neither a number of days nor "never"`);
  }
  const answer = await askObject(await serverClient(session), {
    method: "POST",
    path: await accountsPath(session, kind, name, "keys"),
    json: { label: options.label, expiresInDays: days === "never" ? null : Number(days) },
  });
  const expires = answer.wholeOrNull("expires");
  session.output.result(
    answer.json,
    `${facts([
      ["key", answer.text("key")],
      ["of", answer.text("principal")],
      ["id", answer.text("id")],
      ["works until", expires === null ? "it is revoked" : showMoment(expires)],
    ])}\n\nThe key is shown this once. Keep it now: nobody can show it again.`,
  );
}

async function listKeys(session: Session, kind: Kind, name: string): Promise<void> {
  const { items } = await askList(await serverClient(session), await accountsPath(session, kind, name, "keys"));
  const rows = items.map((item) => {
    const expires = item.wholeOrNull("expires");
    const revoked = item.wholeOrNull("revoked");
    const until = expires === null ? "until revoked" : `until ${showMoment(expires)}`;
    return [
      item.text("id"),
      item.text("label"),
      showMoment(item.whole("created")),
      revoked === null ? until : `revoked ${showMoment(revoked)}`,
    ];
  });
  session.output.result(
    items.map((item) => item.json),
    rows.length === 0 ? "it has no keys" : table(["ID", "LABEL", "MADE", "WORKS"], rows),
  );
}
