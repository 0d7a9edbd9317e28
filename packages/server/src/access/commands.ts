import { z } from "zod";
import { accept, type CommandDefinition, type Decided, defineCommand, refuse, SYSTEM_ORG } from "../record/command.ts";
import { authorize } from "./authorize.ts";
import { bootstrapUseCommands } from "./bootstrap-use.ts";
import { keyCommands } from "./key-commands.ts";
import { BOOTSTRAP_ADMIN, nameSchema, organisationNameSchema } from "./names.ts";
import { principalCommands } from "./principal-commands.ts";
import { currentAdmins, defaultOrganisation, findPrincipal, hasLiveKey, organisationExists } from "./queries.ts";
import { repositoryRoleCommands } from "./repository-role-commands.ts";
import { workloadCommands } from "./workload-commands.ts";

/** Who, of the service itself, may change how it was founded. */
function onlySystem(actor: {
  readonly id: string;
  readonly credential: { readonly kind: string };
}): Decided | undefined {
  if (actor.id === "system" && actor.credential.kind === "system") return undefined;
  return refuse("forbidden", "only the service itself does this", { status: 403 });
}

/** Organisations and the bootstrap admin. */
const foundingCommands: readonly CommandDefinition[] = [
  defineCommand({
    type: "access.bootstrap",
    body: z.strictObject({ defaultOrg: organisationNameSchema }),
    decide: async (reader, body, context) => {
      const denied = onlySystem(context.actor);
      if (denied !== undefined) return denied;
      const known = await defaultOrganisation(reader);
      if (known === body.defaultOrg) return accept([]);
      if (known !== undefined) {
        return refuse("default-organisation-fixed", `the default organisation is ${known} and can not become another`, {
          hint: `leave ASSAY_ORG out, or set it to ${known}`,
        });
      }
      return accept([
        { type: "access.organisation-created", org: body.defaultOrg, body: { name: body.defaultOrg } },
        { type: "access.bootstrapped", org: SYSTEM_ORG, body },
      ]);
    },
  }),
  defineCommand({
    type: "access.create-organisation",
    body: z.strictObject({ name: organisationNameSchema }),
    decide: async (reader, body, context) => {
      const refusal = await authorize(reader, context.actor, "org.create", { org: body.name });
      if (refusal !== undefined) return { accepted: false, refusal };
      if (await organisationExists(reader, body.name)) {
        return refuse("organisation-exists", `there is an organisation ${body.name} already`);
      }
      return accept([{ type: "access.organisation-created", org: body.name, body }], { created: context.time });
    },
  }),
  defineCommand({
    type: "access.disable-bootstrap",
    body: z.strictObject({}),
    decide: async (reader, _body, context) => {
      const refusal = await authorize(reader, context.actor, "people.administer", { org: SYSTEM_ORG });
      if (refusal !== undefined) return { accepted: false, refusal };
      const org = await defaultOrganisation(reader);
      const admins = org === undefined ? [] : await currentAdmins(reader, org);
      for (const admin of admins) {
        if (await hasLiveKey(reader, admin, context.time)) {
          return accept([{ type: "access.bootstrap-admin-disabled", org: SYSTEM_ORG, body: {} }]);
        }
      }
      return refuse("last-admin", "nobody else could administer the default organisation", {
        hint: "first give a person the role admin in it, and an API key",
      });
    },
  }),
  defineCommand({
    type: "access.enable-bootstrap",
    body: z.strictObject({}),
    decide: async (reader, _body, context) => {
      const denied = onlySystem(context.actor);
      if (denied !== undefined) return denied;
      const admin = await findPrincipal(reader, BOOTSTRAP_ADMIN);
      if (admin === undefined || admin.ended_sequence === null) return accept([]);
      return accept([{ type: "access.bootstrap-admin-enabled", org: SYSTEM_ORG, body: {} }]);
    },
  }),
  defineCommand({
    type: "access.create-person",
    body: z.strictObject({ name: nameSchema }),
    decide: async (reader, body, context) => {
      const refusal = await authorize(reader, context.actor, "people.administer", { org: SYSTEM_ORG });
      if (refusal !== undefined) return { accepted: false, refusal };
      const taken = await findPrincipal(reader, `person:${body.name}`);
      if (taken !== undefined) return nameTaken(`person:${body.name}`, taken.ended_sequence !== null);
      return accept([{ type: "access.person-created", org: SYSTEM_ORG, body }], { created: context.time });
    },
  }),
  defineCommand({
    type: "access.create-service-account",
    body: z.strictObject({ name: nameSchema }),
    decide: async (reader, body, context) => {
      const refusal = await authorize(reader, context.actor, "org.administer", { org: context.org });
      if (refusal !== undefined) return { accepted: false, refusal };
      const id = `service:${context.org}/${body.name}`;
      const taken = await findPrincipal(reader, id);
      if (taken !== undefined) return nameTaken(id, taken.ended_sequence !== null);
      return accept([{ type: "access.service-account-created", body }], { created: context.time });
    },
  }),
];

function nameTaken(id: string, removed: boolean): Decided {
  return removed
    ? refuse("principal-removed", `${id} was removed, and a name never comes back`, { hint: "choose another name" })
    : refuse("principal-exists", `there is ${id} already`);
}

/** Everything that can be asked of this room. */
export const accessCommands: readonly CommandDefinition[] = [
  ...foundingCommands,
  ...principalCommands,
  ...repositoryRoleCommands,
  ...keyCommands,
  ...workloadCommands,
  ...bootstrapUseCommands,
];
