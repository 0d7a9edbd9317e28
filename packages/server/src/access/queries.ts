import { type Selectable, sql } from "kysely";
import type { Reader } from "../storage/database.ts";
import { recorded } from "../storage/prepared.ts";
import { BOOTSTRAP_ADMIN } from "./names.ts";
import type { Role } from "./roles.ts";
import type { AccessTables } from "./schema.ts";
import { ONE_ROW } from "../storage/one-row.ts";

export type OrganisationRow = Selectable<AccessTables["organisation"]>;
export type PrincipalRow = Selectable<AccessTables["principal"]>;
export type KeyRow = Selectable<AccessTables["api_key"]>;

/** A place in a list: `limit` rows after `position`, of the list as it stood once event `asOf` had been recorded. */
export interface ListPlace {
  /** A sequence; null: from the start. */
  readonly position: number | null;
  readonly limit: number;
  readonly asOf: number;
}

/** Is there an organisation of this name? For authorisation ask `authorize`, which gives the answer that may be shown. */
export async function organisationExists(reader: Reader, org: string): Promise<boolean> {
  return (await findOrganisation(reader, org)) !== undefined;
}

const organisationByName = recorded((reader, at: { org: string }) =>
  reader.tables<AccessTables>().selectFrom("organisation").selectAll().where("name", "=", at.org),
);

export async function findOrganisation(reader: Reader, org: string): Promise<OrganisationRow | undefined> {
  return (await organisationByName(reader, { org }))[0];
}

/** The organisation of one-component repository names; undefined before the first start is over. */
export async function defaultOrganisation(reader: Reader): Promise<string | undefined> {
  const row = await reader
    .tables<AccessTables>()
    .selectFrom("organisation")
    .select("name")
    // A literal: a partial index serves no query whose value comes as a parameter.
    .where("is_default", "=", sql.lit(1))
    .executeTakeFirst();
  return row?.name;
}

const principalById = recorded((reader, at: { id: string }) =>
  reader.tables<AccessTables>().selectFrom("principal").selectAll().where("id", "=", at.id),
);

/** A principal, removed ones included. */
export async function findPrincipal(reader: Reader, id: string): Promise<PrincipalRow | undefined> {
  return (await principalById(reader, { id }))[0];
}

const keyById = recorded((reader, at: { id: string }) =>
  reader.tables<AccessTables>().selectFrom("api_key").selectAll().where("id", "=", at.id),
);

export async function findKey(reader: Reader, id: string): Promise<KeyRow | undefined> {
  return (await keyById(reader, { id }))[0];
}

const roleNow = recorded((reader, at: { org: string; principal: string }) =>
  reader
    .tables<AccessTables>()
    .selectFrom("role_membership")
    .select("role")
    .where("org", "=", at.org)
    .where("principal", "=", at.principal)
    .where("to_seq", "is", null),
);

/** The role a principal has in an organisation now. */
export async function currentRole(reader: Reader, org: string, principal: string): Promise<Role | undefined> {
  return (await roleNow(reader, { org, principal }))[0]?.role;
}

/** The role a principal had in an organisation once event `sequence` had been recorded. */
export async function roleAsOf(
  reader: Reader,
  org: string,
  principal: string,
  sequence: number,
): Promise<Role | undefined> {
  const row = await reader
    .tables<AccessTables>()
    .selectFrom("role_membership")
    .select("role")
    .where("org", "=", org)
    .where("principal", "=", principal)
    .where("from_seq", "<=", sequence)
    .where((where) => where.or([where("to_seq", "is", null), where("to_seq", ">", sequence)]))
    .executeTakeFirst();
  return row?.role;
}

/** The admins an organisation has now. */
export async function currentAdmins(reader: Reader, org: string): Promise<string[]> {
  const rows = await reader
    .tables<AccessTables>()
    .selectFrom("role_membership")
    .select("principal")
    .where("org", "=", org)
    .where("role", "=", "admin")
    .where("to_seq", "is", null)
    .execute();
  return rows.map((row) => row.principal);
}

/** Where a principal has a role now. */
export function currentRoles(reader: Reader, principal: string): Promise<{ org: string; role: Role }[]> {
  return reader
    .tables<AccessTables>()
    .selectFrom("role_membership")
    .select(["org", "role"])
    .where("principal", "=", principal)
    .where("to_seq", "is", null)
    .orderBy("org")
    .execute();
}

/** Has this principal a key that opens the door at `time` (ms)? */
export async function hasLiveKey(reader: Reader, principal: string, time: number): Promise<boolean> {
  const row = await reader
    .tables<AccessTables>()
    .selectFrom("api_key")
    .select("id")
    .where("principal", "=", principal)
    .where("revoked_sequence", "is", null)
    .where((where) => where.or([where("expires_time", "is", null), where("expires_time", ">", time)]))
    .limit(ONE_ROW)
    .executeTakeFirst();
  return row !== undefined;
}

/** How many keys of a principal are neither revoked nor expired at `time` (ms). */
export async function countLiveKeys(reader: Reader, principal: string, time: number): Promise<number> {
  const rows = await reader
    .tables<AccessTables>()
    .selectFrom("api_key")
    .select("id")
    .where("principal", "=", principal)
    .where("revoked_sequence", "is", null)
    .where((where) => where.or([where("expires_time", "is", null), where("expires_time", ">", time)]))
    .execute();
  return rows.length;
}

/** Organisations a principal may see, oldest first: where they have a role now; all of them for the bootstrap admin. */
export function listOrganisations(
  reader: Reader,
  principal: string,
  place: ListPlace,
): Promise<(OrganisationRow & { role: Role | null })[]> {
  let query = reader
    .tables<AccessTables>()
    .selectFrom("organisation")
    .leftJoin("role_membership", (join) =>
      join
        .onRef("role_membership.org", "=", "organisation.name")
        .on("role_membership.principal", "=", principal)
        .on("role_membership.to_seq", "is", null),
    )
    .selectAll("organisation")
    .select("role_membership.role")
    .where("organisation.created_sequence", ">", place.position ?? -1)
    .where("organisation.created_sequence", "<=", place.asOf)
    .orderBy("organisation.created_sequence")
    .limit(place.limit);
  // What is shown is decided by the roles of now, not of the list's beginning.
  if (principal !== BOOTSTRAP_ADMIN) query = query.where("role_membership.role", "is not", null);
  return query.execute();
}

/** Who has a role in an organisation, in the order they got it. */
export function listMembers(
  reader: Reader,
  org: string,
  place: ListPlace,
): Promise<{ principal: string; role: Role; from_seq: number }[]> {
  return reader
    .tables<AccessTables>()
    .selectFrom("role_membership")
    .select(["principal", "role", "from_seq"])
    .where("org", "=", org)
    .where("from_seq", ">", place.position ?? -1)
    .where("from_seq", "<=", place.asOf)
    .where((where) => where.or([where("to_seq", "is", null), where("to_seq", ">", place.asOf)]))
    .orderBy("from_seq")
    .limit(place.limit)
    .execute();
}

/** People (`org` null) or an organisation's service accounts, oldest first; those removed are not shown. */
export function listPrincipals(reader: Reader, org: string | null, place: ListPlace): Promise<PrincipalRow[]> {
  const query = reader
    .tables<AccessTables>()
    .selectFrom("principal")
    .selectAll()
    .where("created_sequence", ">", place.position ?? -1)
    .where("created_sequence", "<=", place.asOf)
    .where((where) => where.or([where("ended_sequence", "is", null), where("ended_sequence", ">", place.asOf)]))
    .orderBy("created_sequence")
    .limit(place.limit);
  return (
    org === null
      ? query.where("kind", "=", "person").where("org", "is", null)
      : query.where("kind", "=", "service").where("org", "=", org)
  ).execute();
}

/** A principal's keys in the order they were made, revoked and expired ones included. */
export function listKeys(reader: Reader, principal: string, place: ListPlace): Promise<KeyRow[]> {
  return reader
    .tables<AccessTables>()
    .selectFrom("api_key")
    .selectAll()
    .where("principal", "=", principal)
    .where("created_sequence", ">", place.position ?? -1)
    .where("created_sequence", "<=", place.asOf)
    .orderBy("created_sequence")
    .limit(place.limit)
    .execute();
}
