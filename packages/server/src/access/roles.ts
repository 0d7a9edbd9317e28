/**
 * What may be asked for. Actions of a repository or of an organisation's data carry that organisation; `org.create`,
 * `people.administer` and `jobs.administer` are the server's own and belong to no organisation.
 */
export const ACTIONS = [
  "org.create",
  "people.administer",
  "jobs.administer",
  "org.read",
  "org.administer",
  "registry.list",
  "registry.pull",
  "registry.push",
  "registry.delete",
  "evidence.read",
  "evidence.write",
  "trust.read",
  "trust.write",
  "policy.read",
  "policy.write",
  "decision.make",
  "record.read",
] as const;

export type Action = (typeof ACTIONS)[number];

/** A principal's place in one organisation. Each role may everything the one before it may. */
export const ROLES = ["reader", "member", "admin"] as const;

export type Role = (typeof ROLES)[number];

const READER: readonly Action[] = [
  "org.read",
  "registry.list",
  "registry.pull",
  "evidence.read",
  "trust.read",
  "policy.read",
  "record.read",
];

const MEMBER: readonly Action[] = [...READER, "registry.push", "evidence.write", "decision.make"];

const ADMIN: readonly Action[] = [...MEMBER, "registry.delete", "trust.write", "policy.write", "org.administer"];

/**
 * THE table: role → what it may, inside its own organisation. What stands in no row (`org.create`, `people.administer`,
 * `jobs.administer`) is the bootstrap admin's alone, who may everything in every organisation.
 */
export const ROLE_ACTIONS: Readonly<Record<Role, ReadonlySet<Action>>> = {
  reader: new Set(READER),
  member: new Set(MEMBER),
  admin: new Set(ADMIN),
};

/** The least role that may `action`; undefined when no role may. */
export function leastRole(action: Action): Role | undefined {
  return ROLES.find((role) => ROLE_ACTIONS[role].has(action));
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
