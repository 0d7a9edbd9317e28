import { z } from "zod";
import { isSiblingRepository } from "../access/names.ts";
import { defineEvent, type EventDefinition } from "../record/command.ts";
import type { Transactor } from "../storage/database.ts";
import { type QuotaScope, quotaScope } from "./quota-scope.ts";
import { startCounting, stopCounting } from "./quota-usage.ts";
import type { RegistryTables } from "./schema.ts";

const bytes = z.int().nonnegative();

/** Ends a scope's quota, and what is known of how it is used. */
export async function endQuota(transactor: Transactor, scope: string, sequence: number): Promise<void> {
  await transactor
    .tables<RegistryTables>()
    .updateTable("quota")
    .set({ to_seq: sequence })
    .where("scope", "=", scope)
    .where("to_seq", "is", null)
    .execute();
  await stopCounting(transactor, scope);
}

async function setQuota(
  transactor: Transactor,
  place: QuotaScope,
  event: { readonly actor: string; readonly time: number; readonly sequence: number },
  limit: number | null,
): Promise<void> {
  const tables = transactor.tables<RegistryTables>();
  await tables
    .updateTable("quota")
    .set({ to_seq: event.sequence })
    .where("scope", "=", place.scope)
    .where("to_seq", "is", null)
    .execute();
  await tables
    .insertInto("quota")
    .values({
      scope: place.scope,
      org: place.org,
      repository: place.repository,
      bytes: limit,
      set_by: event.actor,
      set_time: event.time,
      from_seq: event.sequence,
      to_seq: null,
    })
    .execute();
  await startCounting(transactor, place);
}

/** How much may be held where, and what came of it. */
export const quotaEvents: readonly EventDefinition[] = [
  defineEvent({
    type: "registry.quota-set",
    version: 1,
    body: z.strictObject({
      /** Absent: of the organisation. */
      repository: z.string().optional(),
      /** Null: it is counted, and nothing is refused. */
      bytes: bytes.nullable(),
    }),
    redactable: { "/repository": isSiblingRepository },
    project: (transactor, event) =>
      setQuota(transactor, quotaScope(event.org, event.body.repository), event, event.body.bytes),
  }),
  defineEvent({
    type: "registry.quota-removed",
    version: 1,
    body: z.strictObject({ repository: z.string().optional() }),
    redactable: { "/repository": isSiblingRepository },
    project: (transactor, event) =>
      endQuota(transactor, quotaScope(event.org, event.body.repository).scope, event.sequence),
  }),
  // Beside the push that brought it there.
  defineEvent({
    type: "registry.quota-neared",
    version: 1,
    body: z.strictObject({ scope: z.string(), bytes, used: bytes }),
    redactable: { "/scope": isSiblingRepository },
    project: async (transactor, event) => {
      await transactor
        .tables<RegistryTables>()
        .updateTable("quota_usage")
        .set({ warned: 1 })
        .where("scope", "=", event.body.scope)
        .execute();
    },
  }),
  defineEvent({
    type: "registry.quota-exceeded",
    version: 1,
    body: z.strictObject({
      scope: z.string(),
      /** Where somebody wanted to put something. */
      repository: z.string(),
      bytes,
      used: bytes,
      /** What it would have needed. */
      needed: bytes,
    }),
    redactable: { "/scope": isSiblingRepository, "/repository": isSiblingRepository },
    project: async (transactor, event) => {
      await transactor
        .tables<RegistryTables>()
        .updateTable("quota_usage")
        .set({ refused_time: event.time })
        .where("scope", "=", event.body.scope)
        .execute();
    },
  }),
];

/** A repository's quota goes on under the repository's name of now, or came back with it: its rows were copied, and it is counted. */
export async function goOnCounting(transactor: Transactor, org: string, repository: string): Promise<void> {
  const tables = transactor.tables<RegistryTables>();
  const row = await tables
    .selectFrom("quota")
    .select("scope")
    .where("scope", "=", repository)
    .where("to_seq", "is", null)
    .executeTakeFirst();
  if (row !== undefined) await startCounting(transactor, quotaScope(org, repository));
}
