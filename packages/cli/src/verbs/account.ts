import { Argument, type Command, Option } from "commander";
import { boundTo, type ScopeOptions, scopeOf, withScope } from "../account/key-scope.ts";
import { withReceipt } from "../account/receipt.ts";
import { repositoryPattern } from "../account/repository.ts";
import { rotateKey } from "../account/rotate.ts";
import { defineWorkload } from "../account/workload.ts";
import type { AnswerObject } from "../answer.ts";
import { CliError, Exit, usageError } from "../errors.ts";
import { type ServerClient, serverClient } from "../http.ts";
import { showMoment } from "../moment.ts";
import { API, askList, askObject } from "../organisation.ts";
import type { Session } from "../session.ts";
import { requireOrg } from "../settings.ts";
import { facts, table } from "../table.ts";

/** People are the whole service's; service accounts are one organisation's. */
const KINDS = ["person", "service"] as const;
type Kind = (typeof KINDS)[number];
const ROLES = ["admin", "member", "snapshotter", "reader"] as const;
type Role = (typeof ROLES)[number];

const REPOSITORY = "in these repositories only: app, 'team/*' (one component), 'team/**' (any number)";

type KeyOptions = ScopeOptions & { readonly label: string; readonly expiresInDays: string };

export function define(command: Command, session: Session): void {
  command
    .command("create")
    .description("make a person or a service account, and give it a role in the organisation")
    .argument("<kind>", KINDS.join(" or "), kindOf)
    .argument("<name>", "its name")
    .addOption(new Option("--role <role>", "its role in the organisation").choices(ROLES))
    .action((kind: Kind, name: string, options: { role?: Role }) => create(session, kind, name, options.role));

  command
    .command("list")
    .description("list the people, or the organisation's service accounts")
    .argument("<kind>", KINDS.join(" or "), kindOf)
    .action((kind: Kind) => list(session, kind));

  command
    .command("remove")
    .description("remove an account for good: its roles end, its keys stop working, its name never comes back")
    .argument("<kind>", KINDS.join(" or "), kindOf)
    .argument("<name>", "its name")
    .action((kind: Kind, name: string) => remove(session, kind, name));

  const role = command.command("role").description("what an account may do in the organisation");
  role
    .command("set")
    .description("give an account its role, in place of the one it has")
    .argument("<kind>", KINDS.join(" or "), kindOf)
    .argument("<name>", "whose")
    .addArgument(new Argument("<role>", "what it may do").choices(ROLES))
    .option("--repository <pattern>", REPOSITORY)
    .action((kind: Kind, name: string, given: Role, { repository }: { repository?: string }) =>
      repository === undefined
        ? setRole(session, kind, name, given)
        : setRepositoryRole(session, kind, name, given, repository),
    );
  role
    .command("take")
    .description("take an account's role away: it may do nothing in the organisation any more")
    .argument("<kind>", KINDS.join(" or "), kindOf)
    .argument("<name>", "whose")
    .option("--repository <pattern>", REPOSITORY)
    .action((kind: Kind, name: string, { repository }: { repository?: string }) =>
      repository === undefined ? takeRole(session, kind, name) : takeRepositoryRole(session, kind, name, repository),
    );

  const key = command.command("key").description("API keys of people and service accounts");
  withScope(
    key
      .command("create")
      .description("make an API key; it is shown this once and kept nowhere")
      .argument("<kind>", KINDS.join(" or "), kindOf)
      .argument("<name>", "whose")
      .option("--label <text>", "what the key is for", "made by assay account key create")
      .option("--expires-in-days <days>", 'how long it works: a number, or "never"', "90"),
  ).action((kind: Kind, name: string, options: KeyOptions) => createKey(session, kind, name, options));
  key
    .command("list")
    .description("list the keys, without their secrets")
    .argument("<kind>", KINDS.join(" or "), kindOf)
    .argument("<name>", "whose")
    .action((kind: Kind, name: string) => listKeys(session, kind, name));
  key
    .command("rotate")
    .description("put a new key in the place of one; both work until the grace ends. It is shown this once")
    .argument("<kind>", KINDS.join(" or "), kindOf)
    .argument("<name>", "whose")
    .argument("<id>", "the old key's id", keyIdOf)
    .option("--grace <time>", "how long the old key still works: 90s, 30m, 24h, 7d, or 0", "24h")
    .option("--expires-in-days <days>", 'how long the new one works: a number, or "never" (default: as the old one)')
    .action(async (kind: Kind, name: string, id: string, options: { grace: string; expiresInDays?: string }) =>
      rotateKey(session, await accountsPath(session, kind, name, "keys", id), options),
    );
  key
    .command("revoke")
    .description("make a key stop working, at once and for good")
    .argument("<kind>", KINDS.join(" or "), kindOf)
    .argument("<name>", "whose")
    .argument("<id>", "the key's id: see `assay account key list`, or the part between the _ of assay_ID_…", keyIdOf)
    .action((kind: Kind, name: string, id: string) => revokeKey(session, kind, name, id));

  defineWorkload(
    command.command("workload").description("CI jobs that act as a service account by their own identity tokens"),
    session,
  );

  command
    .command("disable-admin-token")
    .description("make the bootstrap admin's token stop working; only who starts the server can undo it")
    .action(() => disableAdminToken(session));
}

function kindOf(text: string): Kind {
  const kind = KINDS.find((candidate) => candidate === text);
  if (kind === undefined) throw usageError("usage", `${JSON.stringify(text)} is neither person nor service`);
  return kind;
}

/** A key's id. A whole key is refused, without repeating it: it is a secret, and arguments are seen by others. */
function keyIdOf(text: string): string {
  if (/^[0-9a-z]{1,64}$/.test(text)) return text;
  throw usageError(
    "key-id-invalid",
    "that is not the id of a key",
    "Give the id alone: of assay_ID_SECRET the part between the two _.",
  );
}

async function accountsPath(session: Session, kind: Kind, ...parts: string[]): Promise<string> {
  const base = kind === "person" ? ["people"] : ["orgs", requireOrg(await session.settings()), "service-accounts"];
  return `${API}/${[...base, ...parts].map(encodeURIComponent).join("/")}`;
}

async function memberPath(session: Session, kind: Kind, name: string): Promise<{ org: string; path: string }> {
  const org = requireOrg(await session.settings());
  return { org, path: `${API}/orgs/${[org, "members", kind, name].map(encodeURIComponent).join("/")}` };
}

async function create(session: Session, kind: Kind, name: string, role: Role | undefined): Promise<void> {
  // What would be missing for the second step is asked for before the first is taken.
  const member = role === undefined ? undefined : await memberPath(session, kind, name);
  const client = await serverClient(session);
  const made = await askObject(client, {
    method: "POST",
    path: await accountsPath(session, kind),
    json: { name },
  }).catch((error: unknown) => {
    throw role === undefined ? error : thereAlready(kind, name, role, error);
  });
  if (member !== undefined && role !== undefined) {
    await askObject(client, { method: "PUT", path: member.path, json: { role } });
  }
  session.output.result(
    {
      id: made.text("id"),
      name,
      created: made.whole("created"),
      role: member === undefined || role === undefined ? null : { org: member.org, role },
    },
    facts([
      ["account", made.text("id")],
      [
        "role",
        member === undefined ? `none yet: assay account role set ${kind} ${name} ROLE` : `${role} in ${member.org}`,
      ],
      ["next", `assay account key create ${kind} ${name}`],
    ]),
  );
}

/** The account is there: what is left to do is its role, which is another verb. Other errors stay as they are. */
function thereAlready(kind: Kind, name: string, role: Role, error: unknown): unknown {
  if (!(error instanceof CliError) || error.code !== "principal-exists") return error;
  return new CliError(error.code, error.message, {
    exit: error.exit,
    hint: `To give it the role: assay account role set ${kind} ${name} ${role}`,
    cause: error,
  });
}

async function takeBack(session: Session, path: string): Promise<AnswerObject> {
  return withReceipt(await askObject(await serverClient(session), { method: "DELETE", path }));
}

async function remove(session: Session, kind: Kind, name: string): Promise<void> {
  const path = await accountsPath(session, kind, name);
  const answer = await takeBack(session, path);
  session.output.result(
    { ...answer.json, kind, name, removed: true },
    `removed: ${kind} ${name}. Its roles have ended and its keys work no more.`,
  );
}

async function setRole(session: Session, kind: Kind, name: string, role: Role): Promise<void> {
  const { org, path } = await memberPath(session, kind, name);
  const answer = await askObject(await serverClient(session), { method: "PUT", path, json: { role } });
  session.output.result(
    { ...answer.json, org },
    facts([
      ["account", answer.text("principal")],
      ["role", `${answer.text("role")} in ${org}`],
    ]),
  );
}

async function takeRole(session: Session, kind: Kind, name: string): Promise<void> {
  const { org, path } = await memberPath(session, kind, name);
  const answer = await takeBack(session, path);
  session.output.result(
    { ...answer.json, kind, name, org, role: null },
    `${kind} ${name} has no role in ${org} any more. Its keys still name it: \`assay account key list ${kind} ${name}\`.`,
  );
}

async function repositoryRolePath(session: Session, kind: Kind, name: string): Promise<{ org: string; path: string }> {
  const org = requireOrg(await session.settings());
  return { org, path: `${API}/orgs/${[org, "repository-roles", kind, name].map(encodeURIComponent).join("/")}` };
}

async function setRepositoryRole(
  session: Session,
  kind: Kind,
  name: string,
  role: Role,
  repository: string,
): Promise<void> {
  const { org, path } = await repositoryRolePath(session, kind, name);
  const json = { repository: repositoryPattern(org, repository), role };
  const answer = await askObject(await serverClient(session), { method: "PUT", path, json });
  session.output.result(
    { ...answer.json, org },
    facts([
      ["account", answer.text("principal")],
      ["role", `${answer.text("role")} in ${answer.text("repository")}`],
    ]),
  );
}

async function takeRepositoryRole(session: Session, kind: Kind, name: string, repository: string): Promise<void> {
  const { org, path } = await repositoryRolePath(session, kind, name);
  const pattern = repositoryPattern(org, repository);
  const answer = await takeBack(session, `${path}?${new URLSearchParams({ repository: pattern }).toString()}`);
  session.output.result(
    { ...answer.json, kind, name, org, repository: pattern, role: null },
    `${kind} ${name} has no role of its own in ${pattern} any more.`,
  );
}

async function disableAdminToken(session: Session): Promise<void> {
  const client = await serverClient(session);
  const path = `${API}/bootstrap-admin/disable`;
  const answer = withReceipt(await askObject(client, { method: "POST", path, json: {} }));
  session.output.result(
    { ...answer.json, disabled: true },
    "The admin token works no more. To undo it, start the server once with ASSAY_ENABLE_ADMIN=1.",
  );
}

async function revokeKey(session: Session, kind: Kind, name: string, id: string): Promise<void> {
  const path = await accountsPath(session, kind, name, "keys", id);
  const answer = await takeBack(session, path);
  session.output.result(
    { ...answer.json, id, revoked: true },
    `revoked: key ${id} of ${kind} ${name}. Neither it nor any registry token made with it works any more.`,
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

async function createKey(session: Session, kind: Kind, name: string, options: KeyOptions): Promise<void> {
  const days = options.expiresInDays;
  if (days !== "never" && !/^[1-9]\d{0,3}$/.test(days)) {
    throw usageError("usage", `--expires-in-days ${JSON.stringify(days)} is neither a number of days nor "never"`);
  }
  const scope = await scopeOf(async () => requireOrg(await session.settings()), options);
  const answer = await askObject(await serverClient(session), {
    method: "POST",
    path: await accountsPath(session, kind, name, "keys"),
    json: {
      label: options.label,
      expiresInDays: days === "never" ? null : Number(days),
      ...(scope === undefined ? {} : { scope }),
    },
  });
  const expires = answer.wholeOrNull("expires");
  session.output.result(
    answer.json,
    `${facts([
      ["key", answer.text("key")],
      ["of", answer.text("principal")],
      ["id", answer.text("id")],
      ["bound to", boundTo(answer)],
      ["works until", expires === null ? "it is revoked" : showMoment(expires)],
    ])}\n\nThe key is shown this once. Keep it now: nobody can show it again.`,
  );
}

async function listKeys(session: Session, kind: Kind, name: string): Promise<void> {
  const client = await serverClient(session);
  const { items } = await askList(client, await accountsPath(session, kind, name, "keys"));
  // The server answers an empty list for an account that is not there as for one without keys.
  if (items.length === 0) await requireAccount(client, await accountsPath(session, kind), kind, name);
  const rows = items.map((item) => {
    const expires = item.wholeOrNull("expires");
    const revoked = item.wholeOrNull("revoked");
    const next = item.raw("replacedBy");
    const follows = typeof next === "string" ? `, then ${next}` : "";
    const until = expires === null ? "until revoked" : `until ${showMoment(expires)}${follows}`;
    return [
      item.text("id"),
      item.text("label"),
      showMoment(item.whole("created")),
      revoked === null ? until : `revoked ${showMoment(revoked)}`,
      boundTo(item) ?? "",
    ];
  });
  session.output.result(
    items.map((item) => item.json),
    rows.length === 0 ? "it has no keys" : table(["ID", "LABEL", "MADE", "WORKS", "BOUND TO"], rows),
  );
}

async function requireAccount(client: ServerClient, path: string, kind: Kind, name: string): Promise<void> {
  const { items } = await askList(client, path);
  if (items.some((item) => item.text("name") === name)) return;
  throw new CliError("account-unknown", `there is no ${kind} ${JSON.stringify(name)}`, {
    exit: Exit.no,
    hint: `\`assay account list ${kind}\` shows those that are there.`,
  });
}
