import { z } from "zod";
import { defineEvent, type EventDefinition } from "../record/command.ts";
import type { Transactor } from "../storage/database.ts";
import { samePrincipal } from "./redactable.ts";
import { ROLES } from "./roles.ts";
import type { AccessTables } from "./schema.ts";

async function endRepositoryRole(
  transactor: Transactor,
  held: { readonly org: string; readonly principal: string; readonly repository: string },
  sequence: number,
): Promise<void> {
  await transactor
    .tables<AccessTables>()
    .updateTable("repository_role")
    .set({ to_seq: sequence })
    .where("org", "=", held.org)
    .where("principal", "=", held.principal)
    .where("repository", "=", held.repository)
    .where("to_seq", "is", null)
    .execute();
}

/** Roles in repositories: facts of their organisation's chain. */
export const repositoryRoleEvents: readonly EventDefinition[] = [
  defineEvent({
    type: "access.repository-role-granted",
    version: 1,
    body: z.strictObject({ principal: z.string(), repository: z.string(), role: z.enum(ROLES) }),
    redactable: { "/principal": samePrincipal },
    project: async (transactor, event) => {
      const { principal, repository, role } = event.body;
      await endRepositoryRole(transactor, { org: event.org, principal, repository }, event.sequence);
      await transactor
        .tables<AccessTables>()
        .insertInto("repository_role")
        .values({ org: event.org, principal, repository, role, from_seq: event.sequence, to_seq: null })
        .execute();
    },
  }),
  defineEvent({
    type: "access.repository-role-revoked",
    version: 1,
    body: z.strictObject({ principal: z.string(), repository: z.string() }),
    redactable: { "/principal": samePrincipal },
    project: async (transactor, event) => {
      await endRepositoryRole(transactor, { org: event.org, ...event.body }, event.sequence);
    },
  }),
];
