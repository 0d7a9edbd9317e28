import { z } from "zod";
import {
  accept,
  type CommandDefinition,
  type Decided,
  defineCommand,
  type NewEvent,
  refuse,
  SYSTEM_ORG,
} from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import { authorize, principalUnknown } from "./authorize.ts";
import { parsePrincipal, principalIdSchema } from "./names.ts";
import { currentAdmins, currentRole, currentRoles, findPrincipal } from "./queries.ts";
import { repositoryRolesOf } from "./repository-role-queries.ts";
import { ROLES } from "./roles.ts";
import { workloadsOf } from "./workload-queries.ts";

/**
 * INVARIANT: an organisation that has an admin keeps one. Decided inside the appending transaction, where commands run strictly
 * one after another, so of two removals at once the second sees the first.
 */
async function isLastAdmin(reader: Reader, org: string, principal: string): Promise<boolean> {
  const admins = await currentAdmins(reader, org);
  return admins.length === 1 && admins[0] === principal;
}

function lastAdmin(org: string, principal: string): Decided {
  return refuse("last-admin", `${principal} is the only admin of ${org}`, {
    hint: "make somebody else admin first",
    detail: { org },
  });
}

/** Roles, and the end of people and service accounts. */
export const principalCommands: readonly CommandDefinition[] = [
  defineCommand({
    type: "access.grant-role",
    body: z.strictObject({ principal: principalIdSchema, role: z.enum(ROLES) }),
    decide: async (reader, body, context) => {
      const { org } = context;
      const refusal = await authorize(reader, context.actor, "org.administer", { org });
      if (refusal !== undefined) return { accepted: false, refusal };
      const name = parsePrincipal(body.principal);
      const principal = await findPrincipal(reader, body.principal);
      // A service account works in its own organisation only; another organisation's does not exist, seen from here.
      const foreign = name?.kind === "service" && name.org !== org;
      if (principal === undefined || principal.ended_sequence !== null || foreign) {
        return { accepted: false, refusal: principalUnknown(body.principal) };
      }
      const held = await currentRole(reader, org, body.principal);
      if (held === body.role) return accept([]);
      if (held === "admin" && (await isLastAdmin(reader, org, body.principal))) return lastAdmin(org, body.principal);
      return accept([{ type: "access.role-granted", body }]);
    },
  }),
  defineCommand({
    type: "access.revoke-role",
    body: z.strictObject({ principal: principalIdSchema }),
    decide: async (reader, body, context) => {
      const { org } = context;
      const refusal = await authorize(reader, context.actor, "org.administer", { org });
      if (refusal !== undefined) return { accepted: false, refusal };
      const held = await currentRole(reader, org, body.principal);
      if (held === undefined) {
        return refuse("member-unknown", `${body.principal} has no role in ${org}`, { status: 404 });
      }
      if (held === "admin" && (await isLastAdmin(reader, org, body.principal))) return lastAdmin(org, body.principal);
      return accept([{ type: "access.role-revoked", body }]);
    },
  }),
  defineCommand({
    type: "access.remove-principal",
    body: z.strictObject({ principal: principalIdSchema }),
    decide: async (reader, body, context) => {
      const name = parsePrincipal(body.principal);
      const home = name?.kind === "service" ? name.org : SYSTEM_ORG;
      const action = name?.kind === "service" ? "org.administer" : "people.administer";
      const refusal = await authorize(reader, context.actor, action, { org: home });
      if (refusal !== undefined) return { accepted: false, refusal };
      const principal = await findPrincipal(reader, body.principal);
      if (principal === undefined || principal.ended_sequence !== null) {
        return { accepted: false, refusal: principalUnknown(body.principal) };
      }
      const events: NewEvent[] = [];
      // Each organisation's own chain says that its member is gone.
      for (const { org, role } of await currentRoles(reader, body.principal)) {
        if (role === "admin" && (await isLastAdmin(reader, org, body.principal))) return lastAdmin(org, body.principal);
        events.push({ type: "access.role-revoked", org, body });
      }
      for (const { org, repository } of await repositoryRolesOf(reader, body.principal)) {
        events.push({
          type: "access.repository-role-revoked",
          org,
          body: { principal: body.principal, repository },
        });
      }
      for (const workload of await workloadsOf(reader, body.principal)) {
        events.push({ type: "access.workload-identity-removed", org: home, body: { name: workload } });
      }
      events.push({ type: "access.principal-removed", org: home, body });
      return accept(events);
    },
  }),
];
