import { sql } from "kysely";
import type { Migration } from "./migration.ts";

/**
 * Whose a job is, so that nobody's jobs keep another's waiting; since when a webhook is paused; and what a robot's key is bound
 * to. Programs of before go on working beside this one, and know of none of it: to them a bound key is an unbound one, so none should be made
 * before all are of this version (docs/access.md says so).
 */
export const boundsMigration: Migration = {
  name: "0021-bounds",
  async up(database) {
    const { schema } = database;
    await schema.alterTable("job").addColumn("lane", "text").execute();
    await sql`create index job_lane on job (kind, lane, state) where lane is not null`.execute(database);
    await schema.alterTable("webhook").addColumn("paused_time", "integer").execute();
    await schema.alterTable("api_key").addColumn("scope", "text").execute();
  },
};
