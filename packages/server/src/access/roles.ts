/**
 * What may be asked for. Actions of a repository or of an organisation's data carry that organisation; `org.create`,
 * `people.administer`, `jobs.administer` and `quotas.administer` are the server's own.
 */
export const ACTIONS = [
  "org.create",
  "people.administer",
  "jobs.administer",
  "quotas.administer",
  "org.read",
  "org.administer",
  "registry.list",
  "registry.pull",
  "registry.push",
  "registry.delete",
  "registry.manage",
  "evidence.read",
  "evidence.write",
  "trust.read",
  "trust.write",
  "policy.read",
  "policy.write",
  "decision.make",
  "record.read",
  "environment.read",
  "environment.write",
] as const;

export type Action = (typeof ACTIONS)[number];

/** A principal's place in an organisation or in a repository. Each role may everything the one before it may. */
export const ROLES = ["reader", "snapshotter", "member", "admin"] as const;

export type Role = (typeof ROLES)[number];

const READER: readonly Action[] = [
  "org.read",
  "registry.list",
  "registry.pull",
  "evidence.read",
  "trust.read",
  "policy.read",
  "record.read",
  "environment.read",
];

/** What reports from a running place: it reads everything, and writes what runs there. */
const SNAPSHOTTER: readonly Action[] = [...READER, "environment.write"];

const MEMBER: readonly Action[] = [...SNAPSHOTTER, "registry.push", "evidence.write", "decision.make"];

const ADMIN: readonly Action[] = [
  ...MEMBER,
  "registry.delete",
  "registry.manage",
  "trust.write",
  "policy.write",
  "org.administer",
];

/**
 * THE table: role → what it may, inside its own organisation, or inside the repositories it was given for: there only what is aimed at one
 * of them (authorize.ts). What stands in no row (`org.create`, `people.administer`,
 * `jobs.administer`, `quotas.administer`) is the bootstrap admin's alone, who may everything in every organisation.
 */
export const ROLE_ACTIONS: Readonly<Record<Role, ReadonlySet<Action>>> = {
  reader: new Set(READER),
  snapshotter: new Set(SNAPSHOTTER),
  member: new Set(MEMBER),
  admin: new Set(ADMIN),
};

/** What can be done in one repository: what a role there gives, and what a token bound to repositories may do. All else is the organisation's. */
export const REPOSITORY_ACTIONS: ReadonlySet<Action> = new Set<Action>([
  "registry.list",
  "registry.pull",
  "registry.push",
  "registry.delete",
  "registry.manage",
  "evidence.read",
  "evidence.write",
  "decision.make",
]);

/** What a mirror may do in its own repository, and nowhere else: bring what its upstream has, and evidence about it. */
export const MIRROR_ACTIONS: ReadonlySet<Action> = new Set<Action>(["registry.push", "evidence.write"]);

/** The least role that may `action`; undefined when no role may. */
export function leastRole(action: Action): Role | undefined {
  return ROLES.find((role) => ROLE_ACTIONS[role].has(action));
}

/** The role that may more; undefined is none at all. */
export function greaterRole(left: Role | undefined, right: Role | undefined): Role | undefined {
  if (left === undefined || right === undefined) return left ?? right;
  return ROLES.indexOf(left) >= ROLES.indexOf(right) ? left : right;
}

/** The actions of a registry token (Docker token authentication, `access[].actions`). */
export const REGISTRY_ACTIONS = ["pull", "push", "delete"] as const;

export type RegistryAction = (typeof REGISTRY_ACTIONS)[number];

/** What a registry token's action lets its bearer ask for. Evidence comes in through a push and no other way. */
export const REGISTRY_TOKEN_ACTIONS: Readonly<Record<RegistryAction, ReadonlySet<Action>>> = {
  pull: new Set<Action>(["registry.pull"]),
  push: new Set<Action>(["registry.push", "evidence.write"]),
  delete: new Set<Action>(["registry.delete"]),
};
