import { sql } from "kysely";
import { z } from "zod";
import { isSiblingRepository } from "../access/names.ts";
import { defineEvent, type EventDefinition } from "../record/command.ts";
import { openRepository } from "./repository-events.ts";
import { endQuota, goOnCounting } from "./quota-events.ts";
import { currentQuota } from "./quota-queries.ts";
import { copyAliases, copyRows, endRepository } from "./rows.ts";
import type { RegistryTables } from "./schema.ts";

/** A repository goes on under another name; its former one stays taken. */
export const renameEvents: readonly EventDefinition[] = [
  defineEvent({
    type: "registry.repository-renamed",
    version: 1,
    body: z.strictObject({ from: z.string(), repository: z.string() }),
    redactable: { "/from": isSiblingRepository, "/repository": isSiblingRepository },
    project: async (transactor, event) => {
      const { from, repository } = event.body;
      const { org, sequence } = event;
      const tables = transactor.tables<RegistryTables>();
      // Rules set ahead of time for a name that no repository had: those that come with this one hold instead. So with a quota, where one comes.
      await tables
        .updateTable("retention")
        .set({ to_seq: sequence })
        .where("repository", "=", repository)
        .where("to_seq", "is", null)
        .execute();
      if ((await currentQuota(transactor, from)) !== undefined) await endQuota(transactor, repository, sequence);
      await endRepository(transactor, from, { sequence, as: "renamed", heir: repository });
      await endQuota(transactor, from, sequence);
      await openRepository(transactor, { repository, org, sequence });
      await copyRows(
        transactor,
        { repository: from, endedBy: sequence },
        { repository, org, sequence, tags: undefined },
      );
      // What the organisation holds is the same as before.
      await goOnCounting(transactor, org, repository);
      await copyAliases(transactor, from, { repository, org, sequence }, undefined);
      // INVARIANT: what a tag named that was deleted before is known under the new name too, so that one that never moves may return there
      // with its former digest only. Such a row holds for no sequence: it says what was, and nothing that is.
      await sql`insert into tag (repository, name, org, digest, named_as, from_seq, to_seq)
        select cast(${repository} as text), gone.name, gone.org, gone.digest, gone.named_as,
          cast(${sequence} as bigint), cast(${sequence} as bigint)
        from tag as gone
        where gone.repository = ${from} and gone.to_seq < ${sequence} and not exists (
          select 1 from tag as later
          where later.repository = gone.repository and later.name = gone.name and later.from_seq > gone.from_seq
        )`.execute(tables);
      for (const table of ["deletion", "refused_move"] as const) {
        await tables.updateTable(table).set({ repository }).where("repository", "=", from).execute();
      }
    },
  }),
];
