import { canonicalJson, isJsonObject } from "@assay/evidence";
import { z } from "zod";
import { defineEvent, type EventDefinition, type JsonObject, type RecordedEvent } from "../record/command.ts";
import type { Transactor } from "../storage/database.ts";
import { identityText } from "./identity-text.ts";
import { type Entry, entrySchema } from "./entry.ts";
import { type RootJson, rootSchema } from "./root.ts";
import type { TrustTables } from "./schema.ts";

const version = z.int().positive();
const wholeBody = z.strictObject({ version, entry: entrySchema });
const removedBody = z.strictObject({ version, id: z.string() });
const rootBody = z.strictObject({ version, name: z.string(), root: rootSchema });
const rootRemovedBody = z.strictObject({ version, name: z.string() });

const replacedBody = z.strictObject({
  version,
  cause: z.enum(["imported", "rolled-back"]),
  /** The version it was made like, of this organisation; null for an imported file. */
  of: z.int().nonnegative().nullable(),
  entries: z.strictObject({ set: z.array(entrySchema), removed: z.array(z.string()) }),
  roots: z.strictObject({
    set: z.array(z.strictObject({ name: z.string(), root: rootSchema })),
    removed: z.array(z.string()),
  }),
});

type Versioned = RecordedEvent<{ version: number }>;

/** Closes the version before and opens the one this event makes. */
async function openVersion(
  transactor: Transactor,
  event: Versioned,
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
async function closeEntry(transactor: Transactor, event: Versioned, id: string): Promise<void> {
  await transactor
    .tables<TrustTables>()
    .updateTable("trust_entry")
    .set({ to_version: event.body.version, to_seq: event.sequence })
    .where("org", "=", event.org)
    .where("id", "=", id)
    .where("to_version", "is", null)
    .execute();
}

async function openEntry(transactor: Transactor, event: Versioned, entry: Entry): Promise<void> {
  await transactor
    .tables<TrustTables>()
    .insertInto("trust_entry")
    .values({
      org: event.org,
      id: entry.id,
      name: entry.name,
      kind: entry.kind,
      public_key: identityText(entry),
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

/** Ends the current state of a root with the version before this event's; nothing where there is none. */
async function closeRoot(transactor: Transactor, event: Versioned, name: string): Promise<void> {
  await transactor
    .tables<TrustTables>()
    .updateTable("trust_root")
    .set({ to_version: event.body.version, to_seq: event.sequence })
    .where("org", "=", event.org)
    .where("name", "=", name)
    .where("to_version", "is", null)
    .execute();
}

async function openRoot(transactor: Transactor, event: Versioned, name: string, root: RootJson): Promise<void> {
  await transactor
    .tables<TrustTables>()
    .insertInto("trust_root")
    .values({
      org: event.org,
      name,
      // In the one form that a replay of the event gives too.
      root: canonicalJson(root),
      from_version: event.body.version,
      to_version: null,
      from_seq: event.sequence,
      to_seq: null,
    })
    .execute();
}

/** Events of version 1 knew keys only, and said nothing of kinds. */
function keyOf(body: JsonObject): JsonObject {
  const { entry, ...rest } = body;
  return isJsonObject(entry) ? { ...rest, entry: { kind: "key", ...entry } } : body;
}

/** Every change of whom an organisation believes is one of these, and makes one version. */
export const trustEvents: readonly EventDefinition[] = [
  defineEvent({
    type: "trust.entry-added",
    version: 2,
    body: wholeBody,
    upcast: { 1: keyOf },
    project: async (transactor, event) => {
      await openVersion(transactor, event, "added", event.body.entry.id);
      await openEntry(transactor, event, event.body.entry);
    },
  }),
  defineEvent({
    type: "trust.entry-changed",
    version: 2,
    body: wholeBody,
    upcast: { 1: keyOf },
    project: async (transactor, event) => {
      await openVersion(transactor, event, "changed", event.body.entry.id);
      await closeEntry(transactor, event, event.body.entry.id);
      await openEntry(transactor, event, event.body.entry);
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
  defineEvent({
    type: "trust.root-set",
    version: 1,
    body: rootBody,
    project: async (transactor, event) => {
      const { name, root } = event.body;
      await openVersion(transactor, event, "root-set", name);
      await closeRoot(transactor, event, name);
      await openRoot(transactor, event, name, root);
    },
  }),
  defineEvent({
    type: "trust.root-removed",
    version: 1,
    body: rootRemovedBody,
    project: async (transactor, event) => {
      await openVersion(transactor, event, "root-removed", event.body.name);
      await closeRoot(transactor, event, event.body.name);
    },
  }),
  defineEvent({
    type: "trust.replaced",
    version: 1,
    body: replacedBody,
    project: async (transactor, event) => {
      const { cause, entries, roots } = event.body;
      await openVersion(transactor, event, cause, "");
      for (const id of [...entries.removed, ...entries.set.map((entry) => entry.id)])
        await closeEntry(transactor, event, id);
      for (const entry of entries.set) await openEntry(transactor, event, entry);
      for (const name of [...roots.removed, ...roots.set.map((root) => root.name)])
        await closeRoot(transactor, event, name);
      for (const { name, root } of roots.set) await openRoot(transactor, event, name, root);
    },
  }),
];
