import { sql } from "kysely";
import type { Migration } from "./migration.ts";

/**
 * Whose a job is, so that nobody's jobs keep another's waiting; and since when a webhook is paused. Both are null for programs of before,
 * which go on working beside this one.
 */
export const lanesMigration: Migration = {
  name: "0021-lanes",
  async up(database) {
    const { schema } = database;
    await schema.alterTable("job").addColumn("lane", "text").execute();
    await sql`create index job_lane on job (kind, lane, state) where lane is not null`.execute(database);
    await schema.alterTable("webhook").addColumn("paused_time", "integer").execute();
  },
};
