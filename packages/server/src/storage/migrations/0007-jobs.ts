import type { Migration } from "./migration.ts";

/** The job queue and its schedules. Unrecorded: work to be done is no fact. */
export const jobsMigration: Migration = {
  name: "0007-jobs",
  async up(database) {
    await database.schema
      .createTable("job")
      .addColumn("id", "integer", (column) => column.primaryKey())
      .addColumn("kind", "text", (column) => column.notNull())
      .addColumn("key", "text")
      .addColumn("held_key", "text")
      .addColumn("body", "text", (column) => column.notNull())
      .addColumn("state", "text", (column) => column.notNull())
      .addColumn("attempt", "integer", (column) => column.notNull())
      .addColumn("max_attempts", "integer", (column) => column.notNull())
      .addColumn("due", "integer", (column) => column.notNull())
      .addColumn("owner", "text")
      .addColumn("lease", "text")
      .addColumn("error", "text")
      .addColumn("created", "integer", (column) => column.notNull())
      .addColumn("started", "integer")
      .addColumn("finished", "integer")
      .execute();
    // In both databases nulls are never equal, so the index holds for jobs that wait or run and have a key, and for no others.
    await database.schema.createIndex("job_held_key").unique().on("job").columns(["kind", "held_key"]).execute();
    await database.schema.createIndex("job_due").on("job").columns(["state", "kind", "due"]).execute();
    await database.schema.createIndex("job_state").on("job").columns(["state", "id"]).execute();
    await database.schema.createIndex("job_kind").on("job").columns(["kind", "id"]).execute();

    await database.schema
      .createTable("job_schedule")
      .addColumn("key", "text", (column) => column.primaryKey())
      .addColumn("kind", "text", (column) => column.notNull())
      .addColumn("body", "text", (column) => column.notNull())
      .addColumn("every_ms", "integer")
      .addColumn("cron", "text")
      .addColumn("max_attempts", "integer", (column) => column.notNull())
      .addColumn("next", "integer", (column) => column.notNull())
      .addColumn("last", "integer")
      .addColumn("last_job", "integer")
      .execute();
  },
};
