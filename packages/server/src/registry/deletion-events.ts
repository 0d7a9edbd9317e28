import { z } from "zod";
import { isSiblingRepository } from "../access/names.ts";
import { defineEvent, type EventDefinition, type RecordedEvent } from "../record/command.ts";
import type { Transactor } from "../storage/database.ts";
import type { DeletionKind, RegistryTables } from "./schema.ts";
import { endQuota, goOnCounting } from "./quota-events.ts";
import { countAnew, endedDigests } from "./quota-usage.ts";
import { copyRows, endRepository } from "./rows.ts";
import { words } from "./repository-events.ts";
import { isTag } from "./tag-rules.ts";

const KINDS = ["tag", "manifest", "repository"] as const satisfies readonly DeletionKind[];

/** Writes down what an event deleted, so that it can be listed and come back. */
export async function noteDeletion(
  transactor: Transactor,
  event: Pick<
    RecordedEvent<{ readonly repository: string; readonly reason?: string | undefined }>,
    "org" | "actor" | "time" | "sequence" | "body"
  >,
  gone: Pick<RegistryTables["deletion"], "kind" | "tag" | "digest">,
): Promise<void> {
  const { repository, reason } = event.body;
  await transactor
    .tables<RegistryTables>()
    .insertInto("deletion")
    .values({
      ...gone,
      sequence: event.sequence,
      org: event.org,
      repository,
      rows_in: repository,
      reason: reason ?? null,
      actor: event.actor,
      time: event.time,
      restored_seq: null,
    })
    .execute();
}

/** The end of whole repositories, and the return of what was deleted. */
export const deletionEvents: readonly EventDefinition[] = [
  defineEvent({
    type: "registry.repository-deleted",
    version: 1,
    body: z.strictObject({ repository: z.string(), reason: z.string() }),
    redactable: { "/repository": isSiblingRepository, "/reason": words },
    project: async (transactor, event) => {
      const { repository } = event.body;
      await noteDeletion(transactor, event, { kind: "repository", tag: null, digest: null });
      await endRepository(transactor, repository, { sequence: event.sequence, as: "deleted", heir: null });
      await endQuota(transactor, repository, event.sequence);
      await countAnew(transactor, { org: event.org, repository }, () =>
        endedDigests(transactor, repository, event.sequence),
      );
    },
  }),
  defineEvent({
    type: "registry.restored",
    version: 1,
    body: z.strictObject({
      repository: z.string(),
      /** The event that deleted it. */
      deletion: z.int().nonnegative(),
      /** What the repository was called then. */
      place: z.string(),
      kind: z.enum(KINDS),
      /** The manifest, or what the tag named; null for a whole repository. */
      digest: z.string().nullable(),
      /** The tags that came back; of a whole repository all of them, and none is listed. */
      tags: z.array(z.string()),
    }),
    redactable: { "/repository": isSiblingRepository, "/place": isSiblingRepository, "/tags/*": isTag },
    project: async (transactor, event) => {
      const { repository, deletion, place, kind, tags } = event.body;
      const tables = transactor.tables<RegistryTables>();
      if (kind === "repository") {
        await tables
          .updateTable("repository")
          .set({ ended_seq: null, ended_as: null, heir: null })
          .where("name", "=", repository)
          .execute();
      }
      const from = { repository: place, endedBy: deletion };
      await copyRows(transactor, from, {
        repository,
        org: event.org,
        sequence: event.sequence,
        tags: kind === "repository" ? undefined : tags,
      });
      if (kind === "repository") await goOnCounting(transactor, event.org, repository);
      await countAnew(transactor, { org: event.org, repository }, () => endedDigests(transactor, place, deletion));
      await tables
        .updateTable("deletion")
        .set({ restored_seq: event.sequence })
        .where("sequence", "=", deletion)
        .execute();
    },
  }),
];
