import { z } from "zod";
import { defineEvent, type EventDefinition } from "../record/command.ts";
import type { Transactor } from "../storage/database.ts";
import { BOOTSTRAP_ADMIN, parsePrincipal, personId, serviceAccountId } from "./names.ts";
import { sameName, samePrincipal } from "./redactable.ts";
import { TOKEN_LIFETIME } from "./registry-token.ts";
import { keyScopeSchema } from "./key-scope.ts";
import { repositoryRoleEvents } from "./repository-role-events.ts";
import { ROLES } from "./roles.ts";
import type { AccessTables } from "./schema.ts";
import { workloadEvents } from "./workload-events.ts";
import { bootstrapUseEvents } from "./bootstrap-use.ts";

// Bodies are read for ever: they hold what was true then, so names are plain strings here and the grammar stands in commands.
const nameBody = z.strictObject({ name: z.string() });
const principalBody = z.strictObject({ principal: z.string() });
const emptyBody = z.strictObject({});

/**
 * Voids the registry tokens a principal holds: the credential they rest on may be gone. A change of role does not: whoever acts is
 * asked for the role of now each time, and one organisation's admins must not void what somebody holds for another.
 */
async function nextEpoch(transactor: Transactor, principal: string): Promise<void> {
  await transactor
    .tables<AccessTables>()
    .updateTable("principal")
    .set((where) => ({ epoch: where("epoch", "+", 1) }))
    .where("id", "=", principal)
    .execute();
}

async function insertPrincipal(
  transactor: Transactor,
  id: string,
  event: { readonly sequence: number; readonly time: number; readonly actor: string },
): Promise<void> {
  const parsed = parsePrincipal(id);
  await transactor
    .tables<AccessTables>()
    .insertInto("principal")
    .values({
      id,
      kind: parsed?.kind ?? "bootstrap",
      name: parsed?.name ?? id,
      org: parsed?.kind === "service" ? parsed.org : null,
      epoch: 0,
      created_sequence: event.sequence,
      created_time: event.time,
      created_by: event.actor,
      ended_sequence: null,
    })
    .execute();
}

/** Ends the role a principal has in an organisation, if any. */
async function endRole(transactor: Transactor, org: string, principal: string, sequence: number): Promise<void> {
  await transactor
    .tables<AccessTables>()
    .updateTable("role_membership")
    .set({ to_seq: sequence })
    .where("org", "=", org)
    .where("principal", "=", principal)
    .where("to_seq", "is", null)
    .execute();
}

/** The facts of this room. Events of an organisation (its birth, roles, service accounts, their keys) stand in its own chain. */
export const accessEvents: readonly EventDefinition[] = [
  defineEvent({
    type: "access.organisation-created",
    version: 1,
    body: nameBody,
    project: async (transactor, event) => {
      await transactor
        .tables<AccessTables>()
        .insertInto("organisation")
        .values({
          name: event.body.name,
          is_default: 0,
          created_sequence: event.sequence,
          created_time: event.time,
          created_by: event.actor,
        })
        .execute();
    },
  }),
  defineEvent({
    type: "access.bootstrapped",
    version: 1,
    body: z.strictObject({ defaultOrg: z.string() }),
    project: async (transactor, event) => {
      await transactor
        .tables<AccessTables>()
        .updateTable("organisation")
        .set({ is_default: 1 })
        .where("name", "=", event.body.defaultOrg)
        .execute();
      await insertPrincipal(transactor, BOOTSTRAP_ADMIN, event);
    },
  }),
  defineEvent({
    type: "access.bootstrap-admin-disabled",
    version: 1,
    body: emptyBody,
    project: async (transactor, event) => {
      await transactor
        .tables<AccessTables>()
        .updateTable("principal")
        .set({ ended_sequence: event.sequence })
        .where("id", "=", BOOTSTRAP_ADMIN)
        .execute();
      await nextEpoch(transactor, BOOTSTRAP_ADMIN);
    },
  }),
  defineEvent({
    type: "access.bootstrap-admin-enabled",
    version: 1,
    body: emptyBody,
    project: async (transactor) => {
      await transactor
        .tables<AccessTables>()
        .updateTable("principal")
        .set({ ended_sequence: null })
        .where("id", "=", BOOTSTRAP_ADMIN)
        .execute();
    },
  }),
  defineEvent({
    type: "access.person-created",
    version: 1,
    body: nameBody,
    redactable: { "/name": sameName },
    project: (transactor, event) => insertPrincipal(transactor, personId(event.body.name), event),
  }),
  defineEvent({
    type: "access.service-account-created",
    version: 1,
    body: nameBody,
    redactable: { "/name": sameName },
    project: (transactor, event) => insertPrincipal(transactor, serviceAccountId(event.org, event.body.name), event),
  }),
  defineEvent({
    type: "access.principal-removed",
    version: 1,
    body: principalBody,
    redactable: { "/principal": samePrincipal },
    project: async (transactor, event) => {
      const tables = transactor.tables<AccessTables>();
      await tables
        .updateTable("principal")
        .set({ ended_sequence: event.sequence })
        .where("id", "=", event.body.principal)
        .execute();
      await tables
        .updateTable("api_key")
        .set({ revoked_sequence: event.sequence, revoked_time: event.time })
        .where("principal", "=", event.body.principal)
        .where("revoked_sequence", "is", null)
        .execute();
      await nextEpoch(transactor, event.body.principal);
    },
  }),
  defineEvent({
    type: "access.role-granted",
    // Version 2 knows the role snapshotter; its bodies of before read the same.
    version: 2,
    upcast: { 1: (body) => body },
    body: z.strictObject({ principal: z.string(), role: z.enum(ROLES) }),
    redactable: { "/principal": samePrincipal },
    project: async (transactor, event) => {
      const { principal, role } = event.body;
      await endRole(transactor, event.org, principal, event.sequence);
      await transactor
        .tables<AccessTables>()
        .insertInto("role_membership")
        .values({ org: event.org, principal, role, from_seq: event.sequence, to_seq: null })
        .execute();
    },
  }),
  defineEvent({
    type: "access.role-revoked",
    version: 1,
    body: principalBody,
    redactable: { "/principal": samePrincipal },
    project: async (transactor, event) => {
      await endRole(transactor, event.org, event.body.principal, event.sequence);
    },
  }),
  defineEvent({
    type: "access.api-key-created",
    // Version 2 says which key it follows; version 3 what it is bound to.
    version: 3,
    upcast: { 1: (body) => ({ ...body, replaces: null }), 2: (body) => ({ ...body, scope: null }) },
    body: z.strictObject({
      id: z.string(),
      principal: z.string(),
      label: z.string(),
      secretHash: z.string(),
      expires: z.int().nullable(),
      replaces: z.string().nullable(),
      scope: keyScopeSchema.nullable(),
    }),
    redactable: { "/principal": samePrincipal, "/label": () => true },
    project: async (transactor, event) => {
      const tables = transactor.tables<AccessTables>();
      if (event.body.replaces !== null) {
        await tables
          .updateTable("api_key")
          .set({ replaced_by: event.body.id })
          .where("id", "=", event.body.replaces)
          .execute();
      }
      await tables
        .insertInto("api_key")
        .values({
          id: event.body.id,
          principal: event.body.principal,
          label: event.body.label,
          secret_hash: event.body.secretHash,
          created_sequence: event.sequence,
          created_time: event.time,
          created_by: event.actor,
          expires_time: event.body.expires,
          revoked_sequence: null,
          revoked_time: null,
          replaced_by: null,
          scope: event.body.scope === null ? null : JSON.stringify(event.body.scope),
        })
        .execute();
    },
  }),
  defineEvent({
    type: "access.api-key-shortened",
    version: 1,
    body: z.strictObject({ id: z.string(), principal: z.string(), expires: z.int() }),
    redactable: { "/principal": samePrincipal },
    project: async (transactor, event) => {
      await transactor
        .tables<AccessTables>()
        .updateTable("api_key")
        .set({ expires_time: event.body.expires })
        .where("id", "=", event.body.id)
        .execute();
      // Registry tokens made with it do not outlive it.
      if (event.body.expires - event.time < TOKEN_LIFETIME * 1000) await nextEpoch(transactor, event.body.principal);
    },
  }),
  defineEvent({
    type: "access.api-key-revoked",
    version: 1,
    body: z.strictObject({ id: z.string(), principal: z.string() }),
    redactable: { "/principal": samePrincipal },
    project: async (transactor, event) => {
      await transactor
        .tables<AccessTables>()
        .updateTable("api_key")
        .set({ revoked_sequence: event.sequence, revoked_time: event.time })
        .where("id", "=", event.body.id)
        .execute();
      await nextEpoch(transactor, event.body.principal);
    },
  }),
  ...repositoryRoleEvents,
  ...workloadEvents,
  ...bootstrapUseEvents,
];
