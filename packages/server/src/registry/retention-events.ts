import { z } from "zod";
import { isSiblingRepository } from "../access/names.ts";
import { defineEvent } from "../record/command.ts";
import { retentionRulesSchema } from "./retention-rules.ts";
import type { RegistryTables } from "./schema.ts";

/** A repository's retention rules, as they hold from here on; none: nothing goes by itself. */
export const retentionSetBody = z.strictObject({
  repository: z.string(),
  version: z.int().positive(),
  rules: retentionRulesSchema,
});

export const retentionEvents = [
  defineEvent({
    type: "registry.retention-set",
    version: 1,
    body: retentionSetBody,
    redactable: { "/repository": isSiblingRepository },
    project: async (transactor, event) => {
      const { repository, version, rules } = event.body;
      const tables = transactor.tables<RegistryTables>();
      await tables
        .updateTable("retention")
        .set({ to_seq: event.sequence })
        .where("repository", "=", repository)
        .where("to_seq", "is", null)
        .execute();
      await tables
        .insertInto("retention")
        .values({
          repository,
          org: event.org,
          version,
          rules: JSON.stringify(rules),
          set_by: event.actor,
          set_time: event.time,
          from_seq: event.sequence,
          to_seq: null,
        })
        .execute();
    },
  }),
];
