import { sql } from "kysely";
import { z } from "zod";
import { defineOperation } from "../record/command.ts";
import { leaseOperations } from "./lease-operations.ts";
import { findRepository } from "./repository-queries.ts";
import type { RegistryTables } from "./schema.ts";
import { uploadOperations } from "./upload-operations.ts";

/** Pulls counted at once in one operation. */
export const PULLS_PER_OPERATION = 1000;

const countPulls = defineOperation({
  type: "registry.count-pulls",
  body: z.strictObject({
    pulls: z
      .array(
        z.strictObject({
          org: z.string(),
          repository: z.string(),
          digest: z.string(),
          actor: z.string(),
          day: z.string().regex(/^\d{4}-\d{2}-\d{2}$/),
          count: z.int().positive(),
        }),
      )
      .max(PULLS_PER_OPERATION),
  }),
  run: async (transactor, body) => {
    for (const pull of body.pulls) {
      await transactor
        .tables<RegistryTables>()
        .insertInto("pull_count")
        .values(pull)
        .onConflict((conflict) =>
          conflict
            .columns(["repository", "digest", "actor", "day"])
            .doUpdateSet((is) => ({ count: is("pull_count.count", "+", pull.count) })),
        )
        .execute();
    }
    return null;
  },
});

const countRefusedMove = defineOperation({
  type: "registry.count-refused-move",
  body: z.strictObject({ org: z.string(), repository: z.string(), tag: z.string(), actor: z.string() }),
  run: async (transactor, body, { time }) => {
    const day = new Date(time).toISOString().slice(0, 10);
    await transactor
      .tables<RegistryTables>()
      .insertInto("refused_move_count")
      .values({ ...body, day, count: 1 })
      .onConflict((conflict) =>
        conflict
          .columns(["repository", "tag", "actor", "day"])
          .doUpdateSet((is) => ({ count: is("refused_move_count.count", "+", 1) })),
      )
      .execute();
    return null;
  },
});

/** After a repository was renamed: what was counted there counts under its new name. */
const carryCounts = defineOperation({
  type: "registry.carry-counts",
  body: z.strictObject({ from: z.string(), to: z.string() }),
  run: async (transactor, { from, to }) => {
    if ((await findRepository(transactor, from))?.ended?.heir !== to) return null;
    const tables = transactor.tables<RegistryTables>();
    await sql`insert into pull_count (repository, digest, actor, day, org, count)
      select cast(${to} as text), digest, actor, day, org, count from pull_count where repository = ${from}
      on conflict (repository, digest, actor, day) do update set count = pull_count.count + excluded.count`.execute(
      tables,
    );
    await tables.deleteFrom("pull_count").where("repository", "=", from).execute();
    await sql`insert into refused_move_count (repository, tag, actor, day, org, count)
      select cast(${to} as text), tag, actor, day, org, count from refused_move_count where repository = ${from}
      on conflict (repository, tag, actor, day) do update set count = refused_move_count.count + excluded.count`.execute(
      tables,
    );
    await tables.deleteFrom("refused_move_count").where("repository", "=", from).execute();
    return null;
  },
});

export const registryOperations = [...uploadOperations, ...leaseOperations, countPulls, countRefusedMove, carryCounts];
