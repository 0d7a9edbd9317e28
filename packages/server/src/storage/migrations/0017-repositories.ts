import { sql } from "kysely";
import type { Migration } from "./migration.ts";

/**
 * Repositories as things people manage: settings, the end and the return of what is deleted, moves of immutable tags that were refused. The
 * columns are null for programs of before, which go on working beside this one.
 */
export const repositoriesMigration: Migration = {
  name: "0017-repositories",
  async up(database) {
    const { schema } = database;
    await schema.alterTable("repository").addColumn("ended_seq", "integer").execute();
    await schema.alterTable("repository").addColumn("ended_as", "text").execute();
    await schema.alterTable("repository").addColumn("heir", "text").execute();
    await sql`create index repository_created on repository (org, created_seq)`.execute(database);

    await schema
      .createTable("repository_setting")
      .addColumn("repository", "text", (column) => column.notNull())
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("description", "text", (column) => column.notNull())
      .addColumn("visibility", "text", (column) => column.notNull().check(sql`visibility in ('private', 'public')`))
      .addColumn("immutable", "text", (column) => column.notNull())
      .addColumn("immutable_tags", "text", (column) => column.notNull())
      .addColumn("promotion_policy", "text")
      .addColumn("set_by", "text", (column) => column.notNull())
      .addColumn("set_time", "integer", (column) => column.notNull())
      .addColumn("from_seq", "integer", (column) => column.notNull())
      .addColumn("to_seq", "integer")
      .addPrimaryKeyConstraint("repository_setting_key", ["repository", "from_seq"])
      .execute();
    // INVARIANT: at any time a repository has one settings row at most.
    await sql`create unique index repository_setting_current on repository_setting (repository) where to_seq is null`.execute(
      database,
    );
    await sql`create index repository_setting_public on repository_setting (org, repository) where to_seq is null and visibility = 'public'`.execute(
      database,
    );

    await schema
      .createTable("deletion")
      .addColumn("sequence", "integer", (column) => column.primaryKey())
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("repository", "text", (column) => column.notNull())
      .addColumn("rows_in", "text", (column) => column.notNull())
      .addColumn("kind", "text", (column) => column.notNull().check(sql`kind in ('tag', 'manifest', 'repository')`))
      .addColumn("tag", "text")
      .addColumn("digest", "text")
      .addColumn("reason", "text")
      .addColumn("actor", "text", (column) => column.notNull())
      .addColumn("time", "integer", (column) => column.notNull())
      .addColumn("restored_seq", "integer")
      .execute();
    await sql`create index deletion_org on deletion (org, sequence)`.execute(database);
    await sql`create index deletion_repository on deletion (repository, sequence)`.execute(database);

    await schema
      .createTable("refused_move")
      .addColumn("repository", "text", (column) => column.notNull())
      .addColumn("tag", "text", (column) => column.notNull())
      .addColumn("digest", "text", (column) => column.notNull())
      .addColumn("actor", "text", (column) => column.notNull())
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("names", "text", (column) => column.notNull())
      .addColumn("time", "integer", (column) => column.notNull())
      .addColumn("sequence", "integer", (column) => column.notNull())
      .addPrimaryKeyConstraint("refused_move_key", ["repository", "sequence"])
      .execute();
    await sql`create index refused_move_actor on refused_move (repository, actor, time)`.execute(database);
    await sql`create index refused_move_tag on refused_move (repository, tag, actor, sequence)`.execute(database);

    await schema
      .createTable("refused_move_count")
      .addColumn("repository", "text", (column) => column.notNull())
      .addColumn("tag", "text", (column) => column.notNull())
      .addColumn("actor", "text", (column) => column.notNull())
      .addColumn("day", "text", (column) => column.notNull())
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("count", "integer", (column) => column.notNull())
      .addPrimaryKeyConstraint("refused_move_count_key", ["repository", "tag", "actor", "day"])
      .execute();

    // What was given to a repository goes along when that gets another name.
    await sql`create index evidence_repository_name on evidence_repository (org, repository)`.execute(database);

    // What was deleted before this step stands in `deletion` too, and it can have been only where there is a repository.
    const { rows } = await sql`select 1 from repository where org > '' limit 1`.execute(database);
    return rows.length === 0 ? undefined : "refill";
  },
};
