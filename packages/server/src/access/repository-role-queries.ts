import { matchesRepository } from "@assay/evidence";
import { newestSequence } from "../record/newest.ts";
import type { Reader } from "../storage/database.ts";
import { recorded } from "../storage/prepared.ts";
import { type ListPlace, listMembers } from "./queries.ts";
import type { Role } from "./roles.ts";
import type { AccessTables } from "./schema.ts";

/** A role in the repositories that a pattern names. */
export interface RepositoryRole {
  readonly repository: string;
  readonly role: Role;
}

const repositoryRolesNow = recorded((reader, at: { org: string; principal: string }) =>
  reader
    .tables<AccessTables>()
    .selectFrom("repository_role")
    .select(["repository", "role"])
    .where("org", "=", at.org)
    .where("principal", "=", at.principal)
    .where("to_seq", "is", null)
    .orderBy("repository"),
);

/** The roles a principal has in repositories of an organisation now. */
export function currentRepositoryRoles(
  reader: Reader,
  org: string,
  principal: string,
): Promise<readonly RepositoryRole[]> {
  return repositoryRolesNow(reader, { org, principal });
}

/** The roles a principal has in repositories now, of every organisation. */
export function repositoryRolesOf(
  reader: Reader,
  principal: string,
): Promise<(RepositoryRole & { readonly org: string })[]> {
  return reader
    .tables<AccessTables>()
    .selectFrom("repository_role")
    .select(["org", "repository", "role"])
    .where("principal", "=", principal)
    .where("to_seq", "is", null)
    .orderBy("org")
    .orderBy("repository")
    .execute();
}

/** Who has which role in which repositories of an organisation, in the order they got it. */
export function listRepositoryRoles(
  reader: Reader,
  org: string,
  place: ListPlace,
): Promise<(RepositoryRole & { readonly principal: string; readonly from_seq: number })[]> {
  return reader
    .tables<AccessTables>()
    .selectFrom("repository_role")
    .select(["principal", "repository", "role", "from_seq"])
    .where("org", "=", org)
    .where("from_seq", ">", place.position ?? -1)
    .where("from_seq", "<=", place.asOf)
    .where((where) => where.or([where("to_seq", "is", null), where("to_seq", ">", place.asOf)]))
    .orderBy("from_seq")
    .limit(place.limit)
    .execute();
}

/** A role that counts in a repository, and the pattern it was given for; null: in the whole organisation. */
export interface RoleIn {
  readonly principal: string;
  readonly role: Role;
  readonly through: string | null;
}

/** Roles read at once, of which those are picked that name a repository. */
const ROLES_STEP = 500;

/** Who has a role in a repository now, through its organisation first, then through patterns that name it; at most `limit`. */
export async function rolesIn(reader: Reader, org: string, repository: string, limit: number): Promise<RoleIn[]> {
  const asOf = await newestSequence(reader);
  const found: RoleIn[] = (await listMembers(reader, org, { asOf, position: null, limit })).map(
    ({ principal, role }) => ({ principal, role, through: null }),
  );
  let position: number | null = null;
  while (found.length < limit) {
    const rows: Awaited<ReturnType<typeof listRepositoryRoles>> = await listRepositoryRoles(reader, org, {
      asOf,
      position,
      limit: ROLES_STEP,
    });
    for (const { principal, role, repository: pattern } of rows) {
      if (matchesRepository([pattern], repository)) found.push({ principal, role, through: pattern });
    }
    position = rows.at(-1)?.from_seq ?? null;
    if (rows.length < ROLES_STEP) break;
  }
  return found.slice(0, limit);
}
