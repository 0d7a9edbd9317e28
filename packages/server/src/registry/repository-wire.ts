import { z } from "zod";
import type { Action } from "../access/authorize.ts";
import { type Authenticator, requireActor } from "../access/authenticate.ts";
import { authorize } from "../access/authorize.ts";
import { canonicalRepository } from "../access/names.ts";
import { orgParams, timeSchema } from "../access/wire.ts";
import { decodeCursor } from "../http/cursor.ts";
import { Problem } from "../http/problem.ts";
import type { RecordClient } from "../record/client.ts";
import type { Actor } from "../record/command.ts";
import { newestSequence } from "../record/newest.ts";
import type { Reader } from "../storage/database.ts";
import type { KnownRepository, NewestFirst } from "./repository-queries.ts";
import { repositorySettingsSchema } from "./repository-settings.ts";

/** What the routes about repositories stand on. */
export interface RepositoryRoutesContext {
  readonly reader: Reader;
  readonly record: RecordClient;
  readonly authenticator: Authenticator;
}

export const tags = ["repositories"];

export const nameField = z
  .string()
  .min(1)
  .max(255)
  .describe('The repository\'s name below its organisation: "app", or "team/app" (in a path with its slashes as %2F).');
export const repositoryParams = orgParams.extend({ name: nameField });

const { description, visibility, immutable, immutableTags, promotionPolicy } = repositorySettingsSchema.shape;

/** What is said of a repository, with what each says. */
export const settingsFields = {
  description: description.describe("For people."),
  visibility: visibility.describe('"public": everybody may pull, also without a credential.'),
  immutable: immutable.describe(
    '"release-tags": versions and hashes never move, as everywhere. "all-tags": no tag does, but those that signing clients keep evidence under.',
  ),
  immutableTags: immutableTags.describe('Further tags that never move: "stable", "v*", "*-final".'),
  promotionPolicy: promotionPolicy.describe(
    "A stored policy that must allow an artifact before it comes here, which it then does by promotion only; null: none.",
  ),
};

export const settingsSchema = z.strictObject(settingsFields);

export const repositorySchema = z.strictObject({
  name: z.string().describe("The whole name: org/path."),
  ...settingsFields,
  since: z.int().describe("The sequence of the event it began with."),
  setBy: z.string().nullable().describe("Who last said something of it; null when nobody did."),
  setAt: timeSchema.nullable(),
});

export function showRepository(known: KnownRepository): z.output<typeof repositorySchema> {
  return {
    name: known.name,
    ...known.settings,
    since: known.createdSequence,
    setBy: known.set?.by ?? null,
    setAt: known.set?.time ?? null,
  };
}

/** The whole name of a repository below an organisation; undefined when it is none. */
export function wholeName(org: string, name: string): string | undefined {
  const canonical = canonicalRepository(`${org}/${name}`, "-");
  return canonical?.org === org ? canonical.repository : undefined;
}

/** A repository that somebody asks for, and who. */
export interface Asked {
  readonly actor: Actor;
  readonly org: string;
  /** The whole name. */
  readonly repository: string;
}

/**
 * Who asks for which repository, when they may do there what they ask for.
 *
 * @throws Problem: the refusal first, so that whose it is not learns nothing, not even about grammar.
 */
export async function admit(
  { reader, authenticator }: Pick<RepositoryRoutesContext, "reader" | "authenticator">,
  request: { readonly headers: { readonly authorization?: string | undefined } },
  action: Action,
  { org, name }: { readonly org: string; readonly name: string },
): Promise<Asked> {
  const actor = await requireActor(authenticator, request);
  const repository = wholeName(org, name);
  const refusal = await authorize(reader, actor, action, { org, repository });
  if (refusal !== undefined) throw Problem.fromRefusal(refusal);
  if (repository === undefined) {
    throw new Problem(400, "repository-invalid", `${JSON.stringify(name)} is not the name of a repository`, {
      hint: "lower-case letters and digits with single . _ - between them; several parts with / between",
    });
  }
  return { actor, org, repository };
}

/** Reads a page newest first: the list as of one sequence, which its cursor carries. */
export async function newestPage<Row>(
  reader: Reader,
  query: { readonly limit: number; readonly cursor?: string | undefined },
  read: (page: NewestFirst) => Promise<Row[]>,
): Promise<{ readonly rows: Row[]; readonly asOf: number }> {
  const from = query.cursor === undefined ? undefined : decodeCursor(query.cursor);
  const asOf = from?.asOf ?? (await newestSequence(reader));
  return { rows: await read({ asOf, before: from?.position, limit: query.limit + 1 }), asOf };
}
