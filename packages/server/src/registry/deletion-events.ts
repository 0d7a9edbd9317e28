import type { RecordedEvent } from "../record/command.ts";
import type { Transactor } from "../storage/database.ts";
import type { RegistryTables } from "./schema.ts";

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
      place: repository,
      reason: reason ?? null,
      actor: event.actor,
      time: event.time,
      restored_seq: null,
    })
    .execute();
}
