import { z } from "zod";
import { isSiblingRepository } from "../access/names.ts";
import { defineEvent, type EventDefinition, type RecordedEvent } from "../record/command.ts";
import type { Transactor } from "../storage/database.ts";
import { type RepositorySettings, repositorySettingsSchema } from "./repository-settings.ts";
import type { RegistryTables } from "./schema.ts";
import { isTag } from "./tag-rules.ts";

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const said = z.strictObject({ repository: z.string(), settings: repositorySettingsSchema });

/** Words that people wrote may be redacted, by other words. */
export const words = (): boolean => true;

/** Ends the settings of a repository. */
export async function endSettings(transactor: Transactor, repository: string, sequence: number): Promise<void> {
  await transactor
    .tables<RegistryTables>()
    .updateTable("repository_setting")
    .set({ to_seq: sequence })
    .where("repository", "=", repository)
    .where("to_seq", "is", null)
    .execute();
}

async function say(
  transactor: Transactor,
  event: Pick<RecordedEvent, "org" | "actor" | "time" | "sequence">,
  { repository, settings }: { readonly repository: string; readonly settings: RepositorySettings },
): Promise<void> {
  await endSettings(transactor, repository, event.sequence);
  await transactor
    .tables<RegistryTables>()
    .insertInto("repository_setting")
    .values({
      repository,
      org: event.org,
      description: settings.description,
      visibility: settings.visibility,
      immutable: settings.immutable,
      immutable_tags: JSON.stringify(settings.immutableTags),
      promotion_policy: settings.promotionPolicy,
      set_by: event.actor,
      set_time: event.time,
      from_seq: event.sequence,
      to_seq: null,
    })
    .execute();
}

/** A repository's row, or its life anew where its name was held. */
export async function openRepository(
  transactor: Transactor,
  { repository, org, sequence }: { repository: string; org: string; sequence: number },
): Promise<void> {
  const alive = { created_seq: sequence, ended_seq: null, ended_as: null, heir: null };
  await transactor
    .tables<RegistryTables>()
    .insertInto("repository")
    .values({ name: repository, org, ...alive })
    .onConflict((conflict) => conflict.column("name").doUpdateSet(alive))
    .execute();
}

/** What people say of repositories, and what was refused there. */
export const repositoryEvents: readonly EventDefinition[] = [
  defineEvent({
    type: "registry.repository-created",
    version: 1,
    body: said,
    redactable: { "/repository": isSiblingRepository, "/settings/description": words },
    project: async (transactor, event) => {
      const { repository } = event.body;
      await openRepository(transactor, { repository, org: event.org, sequence: event.sequence });
      await say(transactor, event, event.body);
    },
  }),
  defineEvent({
    type: "registry.repository-changed",
    version: 1,
    body: said,
    redactable: { "/repository": isSiblingRepository, "/settings/description": words },
    project: (transactor, event) => say(transactor, event, event.body),
  }),
  defineEvent({
    type: "registry.tag-move-refused",
    version: 1,
    body: z.strictObject({
      repository: z.string(),
      tag: z.string(),
      /** What the tag names, or was deleted as. */
      names: digest,
      /** What it was to name. */
      refused: digest,
    }),
    redactable: { "/repository": isSiblingRepository, "/tag": isTag },
    project: async (transactor, event) => {
      const { repository, tag, names, refused } = event.body;
      await transactor
        .tables<RegistryTables>()
        .insertInto("refused_move")
        .values({
          repository,
          tag,
          digest: refused,
          actor: event.actor,
          org: event.org,
          names,
          time: event.time,
          sequence: event.sequence,
        })
        .execute();
    },
  }),
];
