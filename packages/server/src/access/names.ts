import { z } from "zod";

/** An organisation's, a person's or a service account's name: one component, lower case. */
const COMPONENT = /^[a-z0-9]+(?:[._-][a-z0-9]+)*$/;

/** The longest name of an organisation, a person or a service account, in characters. */
export const MAX_NAME = 64;

/** The longest repository name, in characters: what clients and other registries take (OCI distribution, "Pulling manifests"). */
const MAX_REPOSITORY = 255;

/** First path segments of the service's doors: an organisation of such a name could never be told from the door. */
export const RESERVED_ORGANISATIONS: ReadonlySet<string> = new Set([
  "v2",
  "api",
  "logs",
  "tuf",
  "ui",
  "simple",
  "integrity",
  "releases",
  "orgs",
  "repos",
  "admission",
  "metrics",
  "healthz",
  "readyz",
  "ready",
  "openapi.json",
  "witness",
  "assets",
]);

/** A name in grammar, of a person or a service account. */
export const nameSchema = z
  .string()
  .max(MAX_NAME, `at most ${MAX_NAME} characters`)
  .regex(COMPONENT, "lower-case letters and digits, with single . _ - between them");

/** The name of an organisation that may be made. */
export const organisationNameSchema = nameSchema.refine(
  (name) => !RESERVED_ORGANISATIONS.has(name),
  "this name is reserved: it is the start of one of the service's own paths",
);

/** A person or a service account, as the record names it: `person:<name>` or `service:<org>/<name>`. */
export const principalIdSchema = z
  .string()
  .max("service:".length + 2 * MAX_NAME + 1)
  .refine((id) => parsePrincipal(id) !== undefined, "person:<name> or service:<organisation>/<name>");

/** Who writes into a repository what its upstream has: the mirror itself. No principal that anybody can make has this form. */
export function mirrorId(repository: string): string {
  return `mirror:${repository}`;
}

/** What a principal's id says. */
export type PrincipalName =
  | { readonly kind: "person"; readonly name: string }
  | { readonly kind: "service"; readonly org: string; readonly name: string };

/** The id of the bootstrap admin. No principal that anybody can make has this form. */
export const BOOTSTRAP_ADMIN = "admin";

export function personId(name: string): string {
  return `person:${name}`;
}

export function serviceAccountId(org: string, name: string): string {
  return `service:${org}/${name}`;
}

function isComponent(text: string): boolean {
  return text.length <= MAX_NAME && COMPONENT.test(text);
}

/** Reads a principal's id; undefined when it is none. The bootstrap admin is none: it has no name, no roles and no keys. */
export function parsePrincipal(id: string): PrincipalName | undefined {
  if (id.startsWith("person:")) {
    const name = id.slice("person:".length);
    return isComponent(name) ? { kind: "person", name } : undefined;
  }
  if (id.startsWith("service:")) {
    const [org, name, ...rest] = id.slice("service:".length).split("/");
    if (org === undefined || name === undefined || rest.length > 0) return undefined;
    return isComponent(org) && isComponent(name) ? { kind: "service", org, name } : undefined;
  }
  return undefined;
}

/** A path component of a repository name (OCI distribution 1.1, "Pulling manifests"). */
const REPOSITORY_COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;

/** A repository's one name. */
export interface CanonicalRepository {
  /** The organisation: the first component. */
  readonly org: string;
  /** The whole name, `org/path`. */
  readonly repository: string;
}

/**
 * The one name of a repository: one component (`app`) lies in the default organisation. Authorisation, token scopes and storage see
 * only this form, so there are never two names for one repository.
 *
 * @returns undefined when `name` is not a repository name (OCI distribution 1.1, "Pulling manifests").
 */
export function canonicalRepository(name: string, defaultOrg: string): CanonicalRepository | undefined {
  if (name.length > MAX_REPOSITORY) return undefined;
  const components = name.split("/");
  if (!components.every((component) => REPOSITORY_COMPONENT.test(component))) return undefined;
  const [first] = components;
  if (first === undefined) return undefined;
  if (components.length === 1) {
    const repository = `${defaultOrg}/${name}`;
    return repository.length > MAX_REPOSITORY ? undefined : { org: defaultOrg, repository };
  }
  return { org: first, repository: name };
}

/** Whether both are names of repositories of one organisation: what may stand in the place of a repository's name that is redacted. */
export function isSiblingRepository(name: string, other: string): boolean {
  const [left, right] = [canonicalRepository(name, ""), canonicalRepository(other, "")];
  return left !== undefined && left.org !== "" && left.org === right?.org;
}
