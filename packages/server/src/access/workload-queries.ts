import { type JsonValue, parseJson } from "@assay/evidence";
import type { Selectable } from "kysely";
import { z } from "zod";
import type { Reader } from "../storage/database.ts";
import { countStanding, currentNamed, listStanding } from "../storage/named-rows.ts";
import { parsePrincipal } from "./names.ts";
import type { ListPlace } from "./queries.ts";
import type { AccessTables } from "./schema.ts";
import type { WorkloadIdentity } from "./workload-identity.ts";

export type WorkloadRow = Selectable<AccessTables["workload_identity"]>;

/** What a row's JSON columns hold: written by our own projection, read for ever. */
const conditionsColumn = z.array(z.strictObject({ claim: z.string(), value: z.string() }));
const repositoriesColumn = z.array(z.string());

function columnJson(text: string): JsonValue {
  return parseJson(Buffer.from(text, "utf8"), { maxBytes: 256 * 1024, maxDepth: 4 });
}

/** The patterns an identity's tokens are good in; undefined: wherever its service account may. */
export function repositoriesOfRow(row: Pick<WorkloadRow, "repositories">): string[] | undefined {
  return row.repositories === null ? undefined : repositoriesColumn.parse(columnJson(row.repositories));
}

/** An identity as it was set. */
export function identityOfRow(row: WorkloadRow): WorkloadIdentity {
  const account = parsePrincipal(row.service_account);
  return {
    issuer: row.issuer,
    audience: row.audience,
    conditions: conditionsColumn.parse(columnJson(row.conditions)),
    serviceAccount: account?.name ?? row.service_account,
    repositories: repositoriesOfRow(row) ?? null,
    singleUse: row.single_use === 1,
    expires: row.expires_time,
  };
}

/** The identity of this name as it stands now. */
export function currentWorkload(reader: Reader, org: string, name: string): Promise<WorkloadRow | undefined> {
  return currentNamed(reader, "workload_identity", org, name);
}

/** How many identities an organisation has now. */
export function countWorkloads(reader: Reader, org: string): Promise<number> {
  return countStanding(reader, "workload_identity", org);
}

/** The names of the identities that act as a service account now. */
export async function workloadsOf(reader: Reader, serviceAccount: string): Promise<string[]> {
  const rows = await reader
    .tables<AccessTables>()
    .selectFrom("workload_identity")
    .select("name")
    .where("service_account", "=", serviceAccount)
    .where("to_seq", "is", null)
    .orderBy("name")
    .execute();
  return rows.map((row) => row.name);
}

/** An organisation's identities, in the order they were last set. */
export function listWorkloads(reader: Reader, org: string, place: ListPlace): Promise<WorkloadRow[]> {
  return listStanding(reader, "workload_identity", org, place);
}

/** The exchange an outside token was used in already. */
export function findExchange(
  reader: Reader,
  exchange: { readonly org: string; readonly identity: string; readonly token: string },
): Promise<Selectable<AccessTables["token_exchange"]> | undefined> {
  return reader
    .tables<AccessTables>()
    .selectFrom("token_exchange")
    .selectAll()
    .where("org", "=", exchange.org)
    .where("identity", "=", exchange.identity)
    .where("token", "=", exchange.token)
    .executeTakeFirst();
}
