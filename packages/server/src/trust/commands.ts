import { z } from "zod";
import { authorize } from "../access/authorize.ts";
import {
  accept,
  type CommandDefinition,
  type Decided,
  type DecideContext,
  defineCommand,
  refuse,
} from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import { type Entry, entryChange, entryInput, MAX_ENTRIES, readPublicKey, windowIsEmpty } from "./entry.ts";
import { countEntries, currentEntriesOfKeys, currentEntry, currentTrustNumber } from "./queries.ts";

async function mayWrite(reader: Reader, context: DecideContext): Promise<Decided | undefined> {
  const refusal = await authorize(reader, context.actor, "trust.write", { org: context.org });
  return refusal && { accepted: false, refusal };
}

function unknownEntry(id: string): Decided {
  return refuse("trust-entry-unknown", `there is no trust entry ${id}`, { status: 404 });
}

function emptyWindow(): Decided {
  return refuse("trust-window-empty", "validFrom lies after validUntil: the entry would never hold", { status: 400 });
}

/** Whether another current entry says the same of the same key: a second one could only confuse. */
async function clashes(reader: Reader, org: string, entry: Entry): Promise<boolean> {
  const others = await currentEntriesOfKeys(reader, org, [entry.keyId]);
  return others.some(
    (other) =>
      other.id !== entry.id && other.name === entry.name && JSON.stringify(other.scope) === JSON.stringify(entry.scope),
  );
}

function clash(entry: Entry): Decided {
  return refuse("trust-entry-exists", `${entry.name} already has an entry for this key and scope`, {
    hint: "change that entry instead",
  });
}

/** Changes of trust. Each accepted one raises the organisation's trust version by one; asking for what is so changes nothing. */
export const trustCommands: readonly CommandDefinition[] = [
  defineCommand({
    type: "trust.add-entry",
    body: entryInput,
    decide: async (reader, body, context) => {
      const denied = await mayWrite(reader, context);
      if (denied !== undefined) return denied;
      const reading = readPublicKey(body.publicKeyPem);
      if (!reading.ok) return refuse(reading.code, reading.message, { status: 400, hint: reading.hint });
      if (windowIsEmpty(body)) return emptyWindow();
      const entry: Entry = {
        ...body,
        id: `entry-${context.sequence}`,
        publicKeyPem: reading.pem,
        keyId: reading.key.keyId,
      };
      if (await clashes(reader, context.org, entry)) return clash(entry);
      if ((await countEntries(reader, context.org)) >= MAX_ENTRIES) {
        return refuse("trust-full", `an organisation has at most ${MAX_ENTRIES} trust entries`, {
          hint: "remove entries that are no longer believed",
        });
      }
      const version = (await currentTrustNumber(reader, context.org)) + 1;
      return accept([{ type: "trust.entry-added", body: { version, entry } }], { version, entry });
    },
  }),
  defineCommand({
    type: "trust.change-entry",
    body: z.strictObject({ id: z.string().max(64), change: entryChange }),
    decide: async (reader, body, context) => {
      const denied = await mayWrite(reader, context);
      if (denied !== undefined) return denied;
      const current = await currentEntry(reader, context.org, body.id);
      if (current === undefined) return unknownEntry(body.id);
      const { name, scope, validFrom, validUntil, primary } = body.change;
      const entry: Entry = {
        id: current.id,
        publicKeyPem: current.publicKeyPem,
        keyId: current.keyId,
        name: name ?? current.name,
        scope: scope ?? {
          repositories: [...current.scope.repositories],
          predicateTypes: [...current.scope.predicateTypes],
        },
        validFrom: validFrom === undefined ? current.validFrom : validFrom,
        validUntil: validUntil === undefined ? current.validUntil : validUntil,
        primary: primary ?? current.primary,
      };
      if (windowIsEmpty(entry)) return emptyWindow();
      const version = await currentTrustNumber(reader, context.org);
      if (sameEntry(entry, current)) return accept([], { version, entry });
      if (await clashes(reader, context.org, entry)) return clash(entry);
      return accept([{ type: "trust.entry-changed", body: { version: version + 1, entry } }], {
        version: version + 1,
        entry,
      });
    },
  }),
  defineCommand({
    type: "trust.remove-entry",
    body: z.strictObject({ id: z.string().max(64) }),
    decide: async (reader, body, context) => {
      const denied = await mayWrite(reader, context);
      if (denied !== undefined) return denied;
      if ((await currentEntry(reader, context.org, body.id)) === undefined) return unknownEntry(body.id);
      const version = (await currentTrustNumber(reader, context.org)) + 1;
      return accept([{ type: "trust.entry-removed", body: { version, id: body.id } }], { version });
    },
  }),
];

function sameEntry(a: Entry, b: Awaited<ReturnType<typeof currentEntry>>): boolean {
  return (
    b !== undefined &&
    a.name === b.name &&
    a.validFrom === b.validFrom &&
    a.validUntil === b.validUntil &&
    a.primary === b.primary &&
    JSON.stringify(a.scope) === JSON.stringify(b.scope)
  );
}
