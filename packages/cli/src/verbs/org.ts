import type { Command } from "commander";
import { serverClient } from "../http.ts";
import { showMoment } from "../moment.ts";
import { API, askList, askObject, organisationClient } from "../organisation.ts";
import type { Session } from "../session.ts";
import { facts, table } from "../table.ts";

export function define(command: Command, session: Session): void {
  command
    .command("create")
    .description("make an organisation (for the bootstrap admin)")
    .argument("<name>", "lower-case letters, digits, and single . _ - between them")
    .action(async (name: string) => {
      const answer = await askObject(await serverClient(session), {
        method: "POST",
        path: `${API}/orgs`,
        json: { name },
      });
      session.output.result(
        answer.json,
        facts([
          ["organisation", answer.text("name")],
          ["made", showMoment(answer.whole("created"))],
        ]),
      );
    });

  command
    .command("list")
    .description("list the organisations you may see")
    .action(async () => {
      const { items } = await askList(await serverClient(session), `${API}/orgs`);
      const rows = items.map((item) => [
        item.text("name"),
        item.textOrNull("role") ?? "bootstrap admin",
        showMoment(item.whole("created")),
        item.flag("default") ? "yes" : "",
      ]);
      session.output.result(
        items.map((item) => item.json),
        rows.length === 0 ? "you see no organisation" : table(["NAME", "YOUR ROLE", "MADE", "DEFAULT"], rows),
      );
    });

  command
    .command("members")
    .description("list who has which role in the organisation, and in which of its repositories")
    .action(async () => {
      const { client, org, path } = await organisationClient(session);
      const { items } = await askList(client, path("members"));
      const { items: inRepositories } = await askList(client, path("repository-roles"));
      const rows = [
        ...items.map((item) => [item.text("principal"), item.text("role"), org]),
        ...inRepositories.map((item) => [item.text("principal"), item.text("role"), item.text("repository")]),
      ];
      session.output.result(
        [...items.map((item) => ({ ...item.json, repository: null })), ...inRepositories.map((item) => item.json)],
        rows.length === 0 ? "nobody has a role here yet" : table(["WHO", "ROLE", "IN"], rows),
      );
    });
}
