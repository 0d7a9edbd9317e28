import type { Actor, Refusal, TokenAccess } from "../record/command.ts";
import { SYSTEM_ORG } from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import { BOOTSTRAP_ADMIN, parsePrincipal } from "./names.ts";
import { currentRole, findKey, findPrincipal, organisationExists } from "./queries.ts";
import { type Action, leastRole, REGISTRY_ACTIONS, REGISTRY_TOKEN_ACTIONS, ROLE_ACTIONS } from "./roles.ts";

export { organisationExists } from "./queries.ts";
export type { Action } from "./roles.ts";

/** What an action is aimed at. */
export interface Target {
  readonly org: string;
  /** The whole canonical name, `org/path`, where the action concerns one repository. */
  readonly repository?: string | undefined;
}

/** The one answer for an organisation that is not there and for one that is not yours. */
export function organisationUnknown(org: string): Refusal {
  return {
    code: "org-unknown",
    status: 404,
    message: `there is no organisation ${JSON.stringify(org)} that you may see`,
  };
}

/** The one answer for a person or service account that is not there and for one that is not yours. */
export function principalUnknown(id: string): Refusal {
  return {
    code: "principal-unknown",
    status: 404,
    message: `there is no ${JSON.stringify(id)} that you may administer`,
  };
}

const REVOKED: Refusal = {
  code: "credential-revoked",
  status: 401,
  message: "this credential is not valid any more",
  hint: "log in again; if that fails, ask an administrator for a new API key",
};

/**
 * May this actor do this, here, now? THE one place that says so. Routes ask it for an early answer; every `decide` asks it again
 * inside the appending transaction, so that a role or a key taken away before the commit is taken away.
 *
 * The order of its steps is part of the contract: the credential stands; the organisation is there and theirs (one refusal,
 * `org-unknown`, for both); their role allows it (`forbidden`, 403); a registry token was narrowed to it (`token-insufficient`,
 * 401: a new token helps).
 *
 * @returns why not; undefined when they may.
 */
export async function authorize(
  reader: Reader,
  actor: Actor,
  action: Action,
  target: Target,
): Promise<Refusal | undefined> {
  const revoked = await credentialRefusal(reader, actor);
  if (revoked !== undefined) return revoked;
  const inRole = await roleRefusal(reader, actor, action, target.org);
  if (inRole !== undefined) return inRole;
  return tokenRefusal(actor, action, target);
}

/** Does the credential still stand, whatever it is used for? Everything here can change while a request waits for the writer. */
export async function credentialRefusal(reader: Reader, actor: Actor): Promise<Refusal | undefined> {
  const { credential } = actor;
  // The service acting on its own behalf: no request can make such an actor (authenticate.ts never does).
  if (credential.kind === "system") return actor.id === "system" ? undefined : REVOKED;
  const principal = await findPrincipal(reader, actor.id);
  if (principal === undefined || principal.ended_sequence !== null) return REVOKED;
  switch (credential.kind) {
    case "admin-token":
      return actor.id === BOOTSTRAP_ADMIN ? undefined : REVOKED;
    case "api-key": {
      const key = credential.id === undefined ? undefined : await findKey(reader, credential.id);
      return key !== undefined && key.principal === actor.id && key.revoked_sequence === null ? undefined : REVOKED;
    }
    case "registry-token":
      return credential.epoch === principal.epoch ? undefined : REVOKED;
  }
}

async function roleRefusal(reader: Reader, actor: Actor, action: Action, org: string): Promise<Refusal | undefined> {
  const role = leastRole(action);
  if (role === undefined) {
    // The server's own actions: their organisation, if any, need not exist yet.
    return actor.id === BOOTSTRAP_ADMIN || actor.credential.kind === "system" ? undefined : forbidden(actor, action);
  }
  if (actor.id === BOOTSTRAP_ADMIN || actor.credential.kind === "system") {
    const there = org === SYSTEM_ORG || (await organisationExists(reader, org));
    return there ? undefined : organisationUnknown(org);
  }
  const held = await currentRole(reader, org, actor.id);
  if (held === undefined) return organisationUnknown(org);
  return ROLE_ACTIONS[held].has(action) ? undefined : forbidden(actor, action, org, held);
}

function forbidden(actor: Actor, action: Action, org?: string, held?: string): Refusal {
  if (org === undefined || held === undefined) {
    return {
      code: "forbidden",
      status: 403,
      message: `${actor.id} may not ${action}`,
      hint: "only the bootstrap admin may",
    };
  }
  return {
    code: "forbidden",
    status: 403,
    message: `${actor.id} is ${held} in ${org} and may not ${action}`,
    hint: `an admin of ${org} can give the role ${leastRole(action) ?? "admin"}`,
  };
}

/** A registry token does what its access list says and nothing else, whatever its bearer's role. */
function tokenRefusal(actor: Actor, action: Action, target: Target): Refusal | undefined {
  if (actor.credential.kind !== "registry-token") return undefined;
  if (action === "registry.list" && listsCatalog(actor.credential.access ?? [])) return undefined;
  if (target.repository !== undefined && tokenCovers(actor.credential.access ?? [], action, target.repository)) {
    return undefined;
  }
  return {
    code: "token-insufficient",
    status: 401,
    message: `this registry token does not cover ${action}${target.repository === undefined ? "" : ` in ${target.repository}`}`,
    hint: "registry tokens are for the registry (/v2/) and what they were asked for; use an API key elsewhere",
  };
}

/** Listing is one right over all the bearer's organisations; each one's role was asked for before. */
function listsCatalog(access: readonly TokenAccess[]): boolean {
  return access.some(({ type, name, actions }) => type === "registry" && name === "catalog" && actions.includes("*"));
}

function tokenCovers(access: readonly TokenAccess[], action: Action, repository: string): boolean {
  return access.some(
    (entry) =>
      entry.type === "repository" &&
      entry.name === repository &&
      REGISTRY_ACTIONS.some(
        (granted) => entry.actions.includes(granted) && REGISTRY_TOKEN_ACTIONS[granted].has(action),
      ),
  );
}

/**
 * May this actor make, list and revoke the API keys of a principal? The bootstrap admin everybody's, an organisation's admins those
 * of its service accounts, a person their own.
 *
 * @returns why not; not there and not yours are one answer.
 */
export async function authorizeKeys(reader: Reader, actor: Actor, principal: string): Promise<Refusal | undefined> {
  const revoked = await credentialRefusal(reader, actor);
  if (revoked !== undefined) return revoked;
  const name = parsePrincipal(principal);
  if (name === undefined) return principalUnknown(principal);
  if (name.kind === "service") return authorize(reader, actor, "org.administer", { org: name.org });
  if (actor.id !== BOOTSTRAP_ADMIN && actor.id !== principal) return principalUnknown(principal);
  return tokenRefusal(actor, "org.administer", { org: SYSTEM_ORG });
}
