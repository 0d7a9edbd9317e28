import { matchesRepository } from "@assay/evidence";
import type { Actor, Refusal, TokenAccess } from "../record/command.ts";
import { SYSTEM_ORG } from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import { SettledReader } from "../storage/prepared.ts";
import { ANONYMOUS } from "./denials.ts";
import { type KeyScope, scopeAllows, scopeOfKey } from "./key-scope.ts";
import { BOOTSTRAP_ADMIN, mirrorId, parsePrincipal } from "./names.ts";
import { currentRole, findKey, findPrincipal, organisationExists } from "./queries.ts";
import { currentRepositoryRoles } from "./repository-role-queries.ts";
import {
  type Action,
  greaterRole,
  leastRole,
  MIRROR_ACTIONS,
  REGISTRY_ACTIONS,
  REGISTRY_TOKEN_ACTIONS,
  REPOSITORY_ACTIONS,
  type Role,
  ROLE_ACTIONS,
} from "./roles.ts";
import { currentWorkload, repositoriesOfRow, type WorkloadRow } from "./workload-queries.ts";

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
 * Their role is the one in the organisation or, where the target is a repository, the greater of that and those under patterns that name the
 * repository. Who has none of either sees nothing: an organisation where somebody has roles in some repositories only is, everywhere else,
 * not there for them.
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
  return revoked ?? (await authorizeKnown(reader, actor, action, target));
}

/**
 * {@link authorize} without its first step, for a door that found the credential to stand in this very request, when it authenticated it. For
 * early answers and reads only: what is decided in a transaction asks all of it there.
 */
export async function authorizeKnown(
  reader: Reader,
  actor: Actor,
  action: Action,
  target: Target,
): Promise<Refusal | undefined> {
  // No name holds a space.
  return await settled(reader, actor, `${action} ${target.org} ${target.repository ?? ""}`, async () => {
    const inRole = await roleRefusal(reader, actor, action, target);
    if (inRole !== undefined) return inRole;
    return tokenRefusal(actor, action, target) ?? (await scopeRefusal(reader, actor, action));
  });
}

/**
 * What the record says of an actor, which does not change while the record does not grow: concluded once of those who come again and again as
 * the same object (remembered-tokens.ts), as a registry's clients do.
 */
async function settled(
  reader: Reader,
  actor: Actor,
  question: string,
  ask: () => Promise<Refusal | undefined>,
): Promise<Refusal | undefined> {
  if (actor.credential.kind !== "registry-token" || !(reader instanceof SettledReader)) return await ask();
  return await reader.conclude(actor, question, ask);
}

/**
 * {@link authorize} for who they are rather than for the token they show: a registry token that was narrowed to less counts for what its bearer could
 * have asked for with the credential that bought it. Their role, then, and what that API key is bound to. For questions about whom something is
 * served to; nothing is done on the strength of it that the token was not given for.
 */
export async function authorizeBearer(
  reader: Reader,
  actor: Actor,
  action: Action,
  target: Target,
): Promise<Refusal | undefined> {
  const refusal = await authorize(reader, actor, action, target);
  if (refusal?.code !== "token-insufficient") return refusal;
  const { id } = actor.credential;
  if (id === undefined) return undefined;
  // As whoever shows the key itself: what it is bound to, where and for what.
  return await authorizeKnown(reader, { id: actor.id, credential: { kind: "api-key", id } }, action, target);
}

/**
 * What everybody may in a public repository, with a role there or without: the credential stands and, where it is a registry token, was
 * narrowed to it. Asked by the registry's door alone, for reading, after {@link authorize} and only of what is public: nothing is ever recorded for
 * somebody whom this alone lets in.
 */
export async function authorizePublic(
  reader: Reader,
  actor: Actor,
  action: "registry.pull" | "registry.list",
  target: Target,
): Promise<Refusal | undefined> {
  return (await credentialRefusal(reader, actor)) ?? tokenRefusal(actor, action, target);
}

/** In which repositories of an organisation an actor may do something. */
export type Sight =
  | { readonly refusal: Refusal }
  /** `whole`: everywhere, and with what lies in no repository. */
  | { readonly refusal: undefined; readonly whole: boolean; sees(repository: string): boolean };

/**
 * The same question for lists and searches, where no repository is named: everything for those with a role in the organisation, some
 * repositories for those with roles there only, and else the refusal that {@link authorize} gives. What `sees` denies is to be treated as not
 * there, and may not be counted either.
 */
export async function authorizeSight(reader: Reader, actor: Actor, action: Action, org: string): Promise<Sight> {
  const refusal = await authorize(reader, actor, action, { org });
  if (refusal === undefined) return { refusal, whole: true, sees: (repository) => repository.startsWith(`${org}/`) };
  if (refusal.code !== "org-unknown" || !REPOSITORY_ACTIONS.has(action)) return { refusal };
  const allowed = (given: Role | undefined): boolean => given !== undefined && ROLE_ACTIONS[given].has(action);
  const standing = await standingIn(reader, actor, org, allowed);
  // With a role in the organisation, and refused all the same: the token is bound to repositories.
  const somewhere = allowed(standing.role) || standing.repositories.some(({ role }) => allowed(role));
  if (!somewhere) return { refusal };
  const token = tokenRefusal(actor, action, { org }) ?? (await scopeRefusal(reader, actor, action));
  if (token !== undefined) return { refusal: token };
  return { refusal: undefined, whole: false, sees: (repository) => allowed(roleIn(standing, { org, repository })) };
}

/** Does the credential still stand, whatever it is used for? Everything here can change while a request waits for the writer. */
export async function credentialRefusal(reader: Reader, actor: Actor): Promise<Refusal | undefined> {
  return await settled(reader, actor, "", () => standingRefusal(reader, actor));
}

async function standingRefusal(reader: Reader, actor: Actor): Promise<Refusal | undefined> {
  const { credential } = actor;
  // The service acting on its own behalf: no request can make such an actor (authenticate.ts never does).
  if (credential.kind === "system") return actor.id === "system" ? undefined : REVOKED;
  // Nobody: a token of the registry given out without a credential. It has no role anywhere, and so may nothing but what is public.
  if (actor.id === ANONYMOUS) return credential.kind === "registry-token" ? undefined : REVOKED;
  if (credential.kind === "mirror") return actor.id.startsWith(mirrorId("")) ? undefined : REVOKED;
  const principal = await findPrincipal(reader, actor.id);
  if (principal === undefined || principal.ended_sequence !== null) return REVOKED;
  if (credential.workload !== undefined && (await workloadOf(reader, actor)) === undefined) return REVOKED;
  switch (credential.kind) {
    case "admin-token":
      return actor.id === BOOTSTRAP_ADMIN ? undefined : REVOKED;
    case "api-key": {
      const key = credential.id === undefined ? undefined : await findKey(reader, credential.id);
      return key !== undefined && key.principal === actor.id && key.revoked_sequence === null ? undefined : REVOKED;
    }
    case "registry-token":
      return credential.epoch === principal.epoch ? undefined : REVOKED;
    case "workload-token":
      return credential.workload !== undefined && credential.epoch === principal.epoch ? undefined : REVOKED;
  }
}

/**
 * The identity a token was exchanged under, as it was then; undefined when it was set anew, removed, or given to another service account
 * since: then the token is void.
 */
async function workloadOf(reader: Reader, actor: Actor): Promise<WorkloadRow | undefined> {
  const { workload } = actor.credential;
  const name = parsePrincipal(actor.id);
  if (workload === undefined || name?.kind !== "service") return undefined;
  const row = await currentWorkload(reader, name.org, workload.name);
  return row?.from_seq === workload.since && row.service_account === actor.id ? row : undefined;
}

/** What somebody holds in an organisation. */
interface Standing {
  /** In the organisation as a whole. */
  readonly role: Role | undefined;
  readonly repositories: readonly { readonly repository: string; readonly role: Role }[];
  /** Patterns their token is bound to; undefined: to none. */
  readonly bound: readonly string[] | undefined;
}

/** @param enough says of the role in the organisation that no other can add to it: then no other is read. */
async function standingIn(
  reader: Reader,
  actor: Actor,
  org: string,
  enough: (role: Role | undefined) => boolean,
): Promise<Standing> {
  const role = await currentRole(reader, org, actor.id);
  return {
    role,
    repositories: enough(role) ? [] : await currentRepositoryRoles(reader, org, actor.id),
    bound: await boundTo(reader, actor),
  };
}

/** Patterns of the repositories a credential is good in; undefined: in all its owner may. */
async function boundTo(reader: Reader, actor: Actor): Promise<readonly string[] | undefined> {
  if (actor.credential.workload === undefined) return (await keyScope(reader, actor))?.repositories;
  const workload = await workloadOf(reader, actor);
  return workload === undefined ? undefined : repositoriesOfRow(workload);
}

/** What the API key that somebody shows is bound to; undefined: to nothing, or they show another credential. */
export async function keyScope(reader: Reader, { credential }: Actor): Promise<KeyScope | undefined> {
  if (credential.kind !== "api-key" || credential.id === undefined) return undefined;
  const key = await findKey(reader, credential.id);
  return key === undefined ? undefined : scopeOfKey(key);
}

/** A bound key does what it is bound to and nothing else, whatever its owner's role. Where is asked with the role. */
async function scopeRefusal(reader: Reader, actor: Actor, action: Action): Promise<Refusal | undefined> {
  const scope = await keyScope(reader, actor);
  if (scope === undefined || scopeAllows(scope, action)) return undefined;
  return {
    code: "forbidden",
    status: 403,
    message: `this API key is bound to ${scope.actions.join(" and ")}: it does not cover ${action}`,
    hint: "use a key that is bound to more, or to nothing",
  };
}

/** The role that counts for a target; undefined when none does. */
function roleIn(standing: Standing, { repository }: Target): Role | undefined {
  const { bound } = standing;
  if (repository === undefined) return bound === undefined ? standing.role : undefined;
  if (bound !== undefined && !matchesRepository(bound, repository)) return undefined;
  return standing.repositories
    .filter((given) => matchesRepository([given.repository], repository))
    .reduce((held, given) => greaterRole(held, given.role), standing.role);
}

async function roleRefusal(reader: Reader, actor: Actor, action: Action, target: Target): Promise<Refusal | undefined> {
  const { org } = target;
  if (actor.credential.kind === "mirror") {
    const own = target.repository !== undefined && actor.id === mirrorId(target.repository);
    return own && MIRROR_ACTIONS.has(action) ? undefined : forbidden(actor, action);
  }
  // A role in a repository gives nothing that is the organisation's, whatever repository the question names.
  const place: Target = REPOSITORY_ACTIONS.has(action) ? target : { org };
  const role = leastRole(action);
  if (role === undefined) {
    // The server's own actions: their organisation, if any, need not exist yet.
    return actor.id === BOOTSTRAP_ADMIN || actor.credential.kind === "system" ? undefined : forbidden(actor, action);
  }
  if (actor.id === BOOTSTRAP_ADMIN || actor.credential.kind === "system") {
    const there = org === SYSTEM_ORG || (await organisationExists(reader, org));
    return there ? undefined : organisationUnknown(org);
  }
  const enough = (given: Role | undefined): boolean =>
    place.repository === undefined || (given !== undefined && ROLE_ACTIONS[given].has(action));
  const held = roleIn(await standingIn(reader, actor, org, enough), place);
  if (held === undefined) return organisationUnknown(org);
  if (!ROLE_ACTIONS[held].has(action)) return forbidden(actor, action, place, held);
  // What lasts longer than a token is not made with one: a token that leaked must not make itself last.
  return action === "org.administer" && actor.credential.workload !== undefined
    ? {
        code: "forbidden",
        status: 403,
        message: "a workload's token does not administer an organisation",
        hint: "use an API key of an admin",
      }
    : undefined;
}

function forbidden(actor: Actor, action: Action, target?: Target, held?: Role): Refusal {
  if (target === undefined || held === undefined) {
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
    message: `${actor.id} is ${held} in ${target.repository ?? target.org} and may not ${action}`,
    hint: `an admin of ${target.org} can give the role ${leastRole(action) ?? "admin"}`,
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
  // A bound key makes no keys: an unbound one would be a way out of what it is bound to.
  return (
    tokenRefusal(actor, "org.administer", { org: SYSTEM_ORG }) ?? (await scopeRefusal(reader, actor, "org.administer"))
  );
}
