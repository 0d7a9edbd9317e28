import type { Migration } from "./migration.ts";

/** The gate: policies in their versions, decisions, and how often a decision was asked for again. */
export const gateMigration: Migration = {
  name: "0006-gate",
  async up(database) {
    await database.schema
      .createTable("gate_policy")
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("name", "text", (column) => column.notNull())
      .addColumn("version", "integer", (column) => column.notNull())
      .addColumn("digest", "text", (column) => column.notNull())
      .addColumn("yaml", "text", (column) => column.notNull())
      .addColumn("actor", "text", (column) => column.notNull())
      .addColumn("time", "integer", (column) => column.notNull())
      .addColumn("from_seq", "integer", (column) => column.notNull())
      .addColumn("to_seq", "integer")
      .addPrimaryKeyConstraint("gate_policy_key", ["org", "name", "version"])
      .execute();
    await database.schema.createIndex("gate_policy_digest").on("gate_policy").columns(["org", "digest"]).execute();
    await database.schema
      .createIndex("gate_policy_sequence")
      .unique()
      .on("gate_policy")
      .columns(["org", "from_seq"])
      .execute();

    await database.schema
      .createTable("gate_decision")
      .addColumn("id", "text", (column) => column.primaryKey())
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("subject", "text", (column) => column.notNull())
      .addColumn("repository", "text")
      .addColumn("policy_digest", "text", (column) => column.notNull())
      .addColumn("policy_name", "text")
      .addColumn("policy_version", "integer")
      .addColumn("result", "text", (column) => column.notNull())
      .addColumn("question", "text", (column) => column.notNull())
      .addColumn("answer", "text", (column) => column.notNull())
      .addColumn("decision", "text", (column) => column.notNull())
      .addColumn("vsa", "text", (column) => column.notNull())
      .addColumn("as_of", "integer", (column) => column.notNull())
      .addColumn("actor", "text", (column) => column.notNull())
      .addColumn("time", "integer", (column) => column.notNull())
      .addColumn("from_seq", "integer", (column) => column.notNull())
      .addColumn("to_seq", "integer")
      .execute();
    await database.schema
      .createIndex("gate_decision_question")
      .on("gate_decision")
      .columns(["org", "question", "to_seq"])
      .execute();
    await database.schema
      .createIndex("gate_decision_sequence")
      .unique()
      .on("gate_decision")
      .columns(["org", "from_seq"])
      .execute();
    await database.schema
      .createIndex("gate_decision_subject")
      .on("gate_decision")
      .columns(["org", "subject", "from_seq"])
      .execute();
    await database.schema.createIndex("gate_decision_vsa").on("gate_decision").columns(["org", "vsa"]).execute();
    await database.schema
      .createIndex("gate_decision_policy")
      .on("gate_decision")
      .columns(["org", "policy_digest"])
      .execute();

    // A counter, not a fact: the same question with the same answer is no news.
    await database.schema
      .createTable("gate_repeat")
      .addColumn("id", "text", (column) => column.primaryKey())
      .addColumn("count", "integer", (column) => column.notNull())
      .addColumn("last_time", "integer", (column) => column.notNull())
      .execute();
  },
};
