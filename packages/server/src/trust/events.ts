import { z } from "zod";
import { defineEvent, type EventDefinition, type RecordedEvent } from "../record/command.ts";
import type { Transactor } from "../storage/database.ts";
import { type Entry, entrySchema } from "./entry.ts";
import type { TrustTables } from "./schema.ts";

const version = z.int().positive();
const wholeBody = z.strictObject({ version, entry: entrySchema });
const removedBody = z.strictObject({ version, id: z.string() });

/** Closes the version before and opens the one this event makes. */
async function openVersion(
  transactor: Transactor,
  event: RecordedEvent<{ version: number }>,
  change: TrustTables["trust_version"]["change"],
  entry: string,
): Promise<void> {
  const tables = transactor.tables<TrustTables>();
  await tables
    .updateTable("trust_version")
    .set({ to_seq: event.sequence })
    .where("org", "=", event.org)
    .where("version", "=", event.body.version - 1)
    .execute();
  await tables
    .insertInto("trust_version")
    .values({
      org: event.org,
      version: event.body.version,
      change,
      entry,
      actor: event.actor,
      time: event.time,
      from_seq: event.sequence,
      to_seq: null,
    })
    .execute();
}

/** Ends the current state of an entry with the version before this event's. */
async function closeEntry(
  transactor: Transactor,
  event: RecordedEvent<{ version: number }>,
  id: string,
): Promise<void> {
  await transactor
    .tables<TrustTables>()
    .updateTable("trust_entry")
    .set({ to_version: event.body.version, to_seq: event.sequence })
    .where("org", "=", event.org)
    .where("id", "=", id)
    .where("to_version", "is", null)
    .execute();
}

async function openEntry(
  transactor: Transactor,
  event: RecordedEvent<{ version: number; entry: Entry }>,
): Promise<void> {
  const { entry } = event.body;
  await transactor
    .tables<TrustTables>()
    .insertInto("trust_entry")
    .values({
      org: event.org,
      id: entry.id,
      name: entry.name,
      public_key: entry.publicKeyPem,
      key_id: entry.keyId,
      repositories: JSON.stringify(entry.scope.repositories),
      predicate_types: JSON.stringify(entry.scope.predicateTypes),
      valid_from: entry.validFrom,
      valid_until: entry.validUntil,
      is_primary: entry.primary ? 1 : 0,
      from_version: event.body.version,
      to_version: null,
      from_seq: event.sequence,
      to_seq: null,
    })
    .execute();
}

/** Every change of whom an organisation believes is one of these, and makes one version. */
export const trustEvents: readonly EventDefinition[] = [
  defineEvent({
    type: "trust.entry-added",
    version: 1,
    body: wholeBody,
    project: async (transactor, event) => {
      await openVersion(transactor, event, "added", event.body.entry.id);
      await openEntry(transactor, event);
    },
  }),
  defineEvent({
    type: "trust.entry-changed",
    version: 1,
    body: wholeBody,
    project: async (transactor, event) => {
      await openVersion(transactor, event, "changed", event.body.entry.id);
      await closeEntry(transactor, event, event.body.entry.id);
      await openEntry(transactor, event);
    },
  }),
  defineEvent({
    type: "trust.entry-removed",
    version: 1,
    body: removedBody,
    project: async (transactor, event) => {
      await openVersion(transactor, event, "removed", event.body.id);
      await closeEntry(transactor, event, event.body.id);
    },
  }),
];
