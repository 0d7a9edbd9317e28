import type { Command } from "commander";
import { configPath, readConfig, writeConfig } from "../config.ts";
import { usageError } from "../errors.ts";
import { ServerClient } from "../http.ts";
import { API, askList, askObject } from "../organisation.ts";
import { askSecret } from "../prompt.ts";
import type { Session } from "../session.ts";
import { checkToken, givenOrg, givenToken, normalizeServer, requireServer } from "../settings.ts";
import { facts } from "../table.ts";
import { Transport } from "../transport.ts";

const MAX_TOKEN = 4096;

export function define(command: Command, session: Session): void {
  command
    .description("check a token against the server and keep both, readable by this user only")
    .argument("[server]", "the server's address, e.g. https://assay.example (else --server, ASSAY_URL)")
    .option("--token-stdin", "read the token from standard input")
    .addHelpText(
      "after",
      "\nThe token is the admin token or an API key. Without --token, ASSAY_TOKEN or --token-stdin it is asked for.",
    )
    .action((server: string | undefined, options: { tokenStdin?: boolean }) =>
      login(session, server, options.tokenStdin === true),
    );
}

async function login(session: Session, named: string | undefined, fromStdin: boolean): Promise<void> {
  // With a server named, what is kept of others does not matter: not even that it is damaged.
  const server = named === undefined ? requireServer(await session.settings()) : normalizeServer(named);
  const namedOrg = givenOrg(session.flags, session.env);
  // Read even where it will not count: a token that is set but empty is a mistake to hear of. What is stored already does
  // not count, a login is for a new one.
  const given = givenToken(session.flags, session.env);
  const token = fromStdin ? await tokenFromStdin(session) : (given ?? (await askSecret(session, "Token: ")).trim());
  if (token === "") throw usageError("token-missing", "the token is empty");
  checkToken(token, "the token");
  const transport = new Transport();
  session.onClose(() => transport.close());
  const client = new ServerClient(server, token, transport);
  // Asked before anything is kept: a wrong token never replaces a good one.
  const me = await askObject(client, { method: "GET", path: `${API}/whoami` });
  const { items } = await askList(client, `${API}/orgs`);
  const org = namedOrg ?? (items.find((item) => item.flag("default")) ?? items[0])?.text("name");
  const config = await readConfig(session.env);
  const servers = new Map(config.servers).set(server, { token, org });
  await writeConfig(session.env, { current: server, servers });
  const path = configPath(session.env);
  session.output.result(
    { server, identity: me.text("id"), org: org ?? null, config: path },
    facts([
      ["server", server],
      ["you are", me.text("id")],
      ["organisation", org ?? "none yet"],
      ["kept in", path],
    ]),
  );
}

async function tokenFromStdin(session: Session): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of session.io.stdin) {
    const bytes = Buffer.from(chunk as Uint8Array);
    size += bytes.length;
    if (size > MAX_TOKEN) throw usageError("token-too-long", `a token has at most ${MAX_TOKEN} bytes`);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString("utf8").trim();
}
