import {
  certificateKeyId,
  diffTrust,
  EvidenceError,
  formatTrustFile,
  isSameTrust,
  type TrustEntry,
  type TrustRoot,
  type TrustVersion,
} from "@assay/evidence";
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
import { ServerError } from "../errors.ts";
import {
  type Entry,
  entryChange,
  entryFault,
  type EntryInput,
  entryInput,
  entrySchema,
  MAX_ENTRIES,
  readPublicKey,
  rootName,
  windowIsEmpty,
} from "./entry.ts";
import {
  countEntries,
  currentEntriesOfKeys,
  currentEntry,
  currentRoot,
  currentTrustNumber,
  parsedRoot,
  trustVersion,
} from "./queries.ts";
import { MAX_ROOTS, readStoredRoot, rootSchema } from "./root.ts";

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
    body: z.strictObject({
      entry: entryInput,
      /** The fingerprint of an OpenPGP entry's certificate, which the route has read. */
      fingerprint: z.string().optional(),
    }),
    decide: async (reader, body, context) => {
      const denied = await mayWrite(reader, context);
      if (denied !== undefined) return denied;
      if (windowIsEmpty(body.entry)) return emptyWindow();
      const made = await makeEntry(reader, body.entry, body.fingerprint, context);
      if ("accepted" in made) return made;
      const entry = made;
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
      const entry = entrySchema.parse({
        ...current,
        name: name ?? current.name,
        scope: scope ?? current.scope,
        validFrom: validFrom === undefined ? current.validFrom : validFrom,
        validUntil: validUntil === undefined ? current.validUntil : validUntil,
        primary: primary ?? current.primary,
      });
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
  defineCommand({
    type: "trust.set-root",
    body: z.strictObject({ name: rootName, root: rootSchema }),
    decide: async (reader, { name, root }, context) => {
      const denied = await mayWrite(reader, context);
      if (denied !== undefined) return denied;
      const trust = await currentTrust(reader, context.org);
      const read = readStoredRoot(root);
      if (read.name !== name) return refuse("trust-root-invalid", "the root has another name", { status: 400 });
      const former = trust.roots.find((one) => one.name === name);
      if (former !== undefined && isSameRoot(former, read)) return accept([], { version: trust.version, root });
      if (former === undefined && trust.roots.length >= MAX_ROOTS) {
        return refuse("trust-full", `an organisation has at most ${MAX_ROOTS} trust roots`, {
          hint: "remove roots that no entry names",
        });
      }
      const refusal = inconsistency({
        entries: trust.entries,
        roots: [...trust.roots.filter((one) => one.name !== name), read],
      });
      if (refusal !== undefined) return refusal;
      const version = trust.version + 1;
      return accept([{ type: "trust.root-set", body: { version, name, root } }], { version, root });
    },
  }),
  defineCommand({
    type: "trust.remove-root",
    body: z.strictObject({ name: rootName }),
    decide: async (reader, { name }, context) => {
      const denied = await mayWrite(reader, context);
      if (denied !== undefined) return denied;
      const trust = await currentTrust(reader, context.org);
      if (!trust.roots.some((root) => root.name === name)) {
        return refuse("trust-root-unknown", `there is no trust root ${name}`, { status: 404 });
      }
      const users = trust.entries.filter((entry) => entry.kind === "certificate" && entry.root === name);
      if (users.length > 0) {
        return refuse("trust-root-used", `${users.length} entries are judged under the root ${name}`, {
          hint: `remove them first: ${users
            .slice(0, 5)
            .map(({ id }) => id)
            .join(", ")}`,
        });
      }
      const version = trust.version + 1;
      return accept([{ type: "trust.root-removed", body: { version, name } }], { version });
    },
  }),
  defineCommand({
    type: "trust.replace",
    body: z.strictObject({
      /** The version that is to be replaced: whoever previewed a change previewed it against one version. */
      base: z.int().nonnegative(),
      cause: z.enum(["imported", "rolled-back"]),
      of: z.int().nonnegative().nullable(),
      entries: z.array(entrySchema).max(MAX_ENTRIES),
      roots: z.array(z.strictObject({ name: rootName, root: rootSchema })).max(MAX_ROOTS),
    }),
    decide: async (reader, body, context) => {
      const denied = await mayWrite(reader, context);
      if (denied !== undefined) return denied;
      const current = await currentTrust(reader, context.org);
      if (current.version !== body.base) {
        return refuse("trust-changed", `trust is at version ${current.version}, not ${body.base}`, {
          hint: "look at the difference again, and apply it to the version that is there",
          status: 412,
        });
      }
      const entries = body.entries.map((entry, index) =>
        ownId(entry, current.entries) ? entry : { ...entry, id: `entry-${context.sequence}-${index + 1}` },
      );
      // INVARIANT: every entry that is stored is one that could be added: rows are read back strictly, and one that cannot be read would make
      // the organisation's whole trust unreadable, the way back included.
      const fault = entries.map(entryFault).find((found) => found !== undefined);
      if (fault !== undefined) return refuse("trust-invalid", fault, { status: 400 });
      const roots = body.roots.map(({ root }) => readStoredRoot(root));
      const refusal = inconsistency({ entries, roots });
      if (refusal !== undefined) return refusal;
      const diff = diffTrust(current, { entries, roots });
      if (isSameTrust(current, { entries, roots })) return accept([], { version: current.version });
      const named = new Map(body.roots.map((one) => [one.name, one]));
      const setRoots = [...diff.roots.added, ...diff.roots.changed.map(({ after }) => after)];
      const version = current.version + 1;
      return accept(
        [
          {
            type: "trust.replaced",
            body: {
              version,
              cause: body.cause,
              of: body.of,
              entries: {
                set: [...diff.entries.added, ...diff.entries.changed.map(({ after }) => after)].map((entry) =>
                  entrySchema.parse(entry),
                ),
                removed: diff.entries.removed.map(({ id }) => id),
              },
              roots: {
                set: setRoots.flatMap(({ name }) => named.get(name) ?? []),
                removed: diff.roots.removed.map(({ name }) => name),
              },
            },
          },
        ],
        { version },
      );
    },
  }),
];

/** The current version, whole. */
async function currentTrust(reader: Reader, org: string): Promise<TrustVersion> {
  const trust = await trustVersion(reader, org, {}, []);
  if (trust === undefined) throw new ServerError("internal", `${org} has no current trust version`);
  return trust;
}

/** A new entry of any kind, or why it cannot be one. */
async function makeEntry(
  reader: Reader,
  input: EntryInput,
  fingerprint: string | undefined,
  { org, sequence }: DecideContext,
): Promise<Entry | Decided> {
  const id = `entry-${sequence}`;
  switch (input.kind) {
    case "key": {
      const reading = readPublicKey(input.publicKeyPem);
      if (!reading.ok) return refuse(reading.code, reading.message, { status: 400, hint: reading.hint });
      return { ...input, id, publicKeyPem: reading.pem, keyId: reading.key.keyId };
    }
    case "certificate": {
      const text = await currentRoot(reader, org, input.root);
      if (text === undefined) {
        return refuse("trust-root-unknown", `there is no trust root ${input.root}`, {
          status: 400,
          hint: "`assay trust root set NAME` sets one",
        });
      }
      if (input.issuer === null && parsedRoot(text).profile === "sigstore") {
        return refuse(
          "trust-issuer-missing",
          `certificates under ${input.root} name an issuer, and the entry names none`,
          {
            status: 400,
            hint: "name the OIDC issuer whose word you believe, such as https://token.actions.githubusercontent.com",
          },
        );
      }
      return { ...input, id, keyId: certificateKeyId(input) };
    }
    case "openpgp":
      if (fingerprint === undefined) throw new ServerError("internal", "an OpenPGP entry came without its fingerprint");
      return { ...input, id, keyId: fingerprint };
  }
}

/** Whether an entry may keep its id: an entry here has it and is about the same identity. Others get a new one. */
function ownId(entry: Entry, current: readonly TrustEntry[]): boolean {
  return current.some(({ id, kind, keyId }) => id === entry.id && kind === entry.kind && keyId === entry.keyId);
}

/** Why entries and roots make no trust version: what a trust file could not hold, nobody could verify offline with. */
function inconsistency(trust: Pick<TrustVersion, "entries" | "roots">): Decided | undefined {
  try {
    formatTrustFile({ ...trust, org: "any", version: 0, logs: [] });
    return undefined;
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    return refuse(error.code, error.message, { status: 400, hint: error.hint });
  }
}

function isSameRoot(a: TrustRoot, b: TrustRoot): boolean {
  return isSameTrust({ entries: [], roots: [a] }, { entries: [], roots: [b] });
}

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
