import { z } from "zod";
import { accept, type CommandDefinition, defineCommand, refuse } from "../record/command.ts";
import { authorize, principalUnknown } from "./authorize.ts";
import { parsePrincipal, principalIdSchema } from "./names.ts";
import { findPrincipal } from "./queries.ts";
import { isPatternOf, repositoryPatternSchema } from "./repository-pattern.ts";
import { currentRepositoryRoles } from "./repository-role-queries.ts";
import { ROLES } from "./roles.ts";

/** Patterns under which one principal may hold a role in one organisation: each of their requests may have to try all. */
const MAX_PATTERNS = 100;

/** Roles in repositories, for the admins of the organisation they lie in. */
export const repositoryRoleCommands: readonly CommandDefinition[] = [
  defineCommand({
    type: "access.grant-repository-role",
    body: z.strictObject({ principal: principalIdSchema, repository: repositoryPatternSchema, role: z.enum(ROLES) }),
    decide: async (reader, body, context) => {
      const { org } = context;
      const refusal = await authorize(reader, context.actor, "org.administer", { org });
      if (refusal !== undefined) return { accepted: false, refusal };
      if (!isPatternOf(org, body.repository)) {
        return refuse("repository-elsewhere", `${body.repository} names no repositories of ${org}`, {
          status: 400,
          hint: `write it as ${org}/<name>`,
        });
      }
      const name = parsePrincipal(body.principal);
      const principal = await findPrincipal(reader, body.principal);
      // A service account works in its own organisation only; another organisation's does not exist, seen from here.
      const foreign = name?.kind === "service" && name.org !== org;
      if (principal === undefined || principal.ended_sequence !== null || foreign) {
        return { accepted: false, refusal: principalUnknown(body.principal) };
      }
      const held = await currentRepositoryRoles(reader, org, body.principal);
      const here = held.find(({ repository }) => repository === body.repository);
      if (here?.role === body.role) return accept([]);
      if (here === undefined && held.length >= MAX_PATTERNS) {
        return refuse("repository-roles-full", `${body.principal} has roles under ${MAX_PATTERNS} patterns in ${org}`, {
          hint: "name several repositories by one pattern, or take away those not in use",
        });
      }
      return accept([{ type: "access.repository-role-granted", body }]);
    },
  }),
  defineCommand({
    type: "access.revoke-repository-role",
    body: z.strictObject({ principal: principalIdSchema, repository: repositoryPatternSchema }),
    decide: async (reader, body, context) => {
      const { org } = context;
      const refusal = await authorize(reader, context.actor, "org.administer", { org });
      if (refusal !== undefined) return { accepted: false, refusal };
      const held = await currentRepositoryRoles(reader, org, body.principal);
      if (!held.some(({ repository }) => repository === body.repository)) {
        return refuse("member-unknown", `${body.principal} has no role in ${body.repository}`, { status: 404 });
      }
      return accept([{ type: "access.repository-role-revoked", body }]);
    },
  }),
];
