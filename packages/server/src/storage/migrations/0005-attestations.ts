import type { Migration } from "./migration.ts";

/** Evidence: what is known of each piece, what it is about, who was proven to have signed it, where it was given, and what is primary. */
export const attestationsMigration: Migration = {
  name: "0005-attestations",
  async up(database) {
    await database.schema
      .createTable("evidence")
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("digest", "text", (column) => column.notNull())
      .addColumn("form", "text", (column) => column.notNull())
      .addColumn("size", "integer", (column) => column.notNull())
      .addColumn("predicate_type", "text")
      .addColumn("payload_digest", "text")
      .addColumn("signature", "text")
      .addColumn("hint", "text")
      .addColumn("unreadable", "text")
      .addColumn("actor", "text", (column) => column.notNull())
      .addColumn("sequence", "integer", (column) => column.notNull())
      .addColumn("time", "integer", (column) => column.notNull())
      .addColumn("first_sequence", "integer", (column) => column.notNull())
      .addColumn("first_time", "integer", (column) => column.notNull())
      .addPrimaryKeyConstraint("evidence_key", ["org", "digest", "form"])
      .execute();
    await database.schema
      .createIndex("evidence_sequence")
      .unique()
      .on("evidence")
      .columns(["org", "sequence"])
      .execute();
    await database.schema
      .createIndex("evidence_signature")
      .on("evidence")
      .columns(["org", "signature", "sequence"])
      .execute();

    await database.schema
      .createTable("evidence_subject")
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("subject", "text", (column) => column.notNull())
      .addColumn("digest", "text", (column) => column.notNull())
      .addColumn("form", "text", (column) => column.notNull())
      .addColumn("sequence", "integer", (column) => column.notNull())
      .addPrimaryKeyConstraint("evidence_subject_key", ["org", "subject", "digest", "form"])
      .execute();
    // One event puts at most one piece under a subject, so this order is total: what pages are cut from.
    await database.schema
      .createIndex("evidence_subject_sequence")
      .unique()
      .on("evidence_subject")
      .columns(["org", "subject", "sequence"])
      .execute();
    await database.schema
      .createIndex("evidence_subject_digest")
      .on("evidence_subject")
      .columns(["org", "digest"])
      .execute();

    await database.schema
      .createTable("evidence_step")
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("flow", "text", (column) => column.notNull())
      .addColumn("trail", "text", (column) => column.notNull())
      .addColumn("name", "text", (column) => column.notNull())
      .addColumn("digest", "text", (column) => column.notNull())
      .addColumn("form", "text", (column) => column.notNull())
      .addColumn("sequence", "integer", (column) => column.notNull())
      .addPrimaryKeyConstraint("evidence_step_key", ["org", "digest", "form"])
      .execute();
    await database.schema
      .createIndex("evidence_step_place")
      .on("evidence_step")
      .columns(["org", "flow", "trail", "name", "sequence"])
      .execute();
    await database.schema
      .createIndex("evidence_step_flow")
      .on("evidence_step")
      .columns(["org", "flow", "sequence"])
      .execute();

    await database.schema
      .createTable("evidence_signer")
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("key_id", "text", (column) => column.notNull())
      .addColumn("digest", "text", (column) => column.notNull())
      .addColumn("sequence", "integer", (column) => column.notNull())
      .addPrimaryKeyConstraint("evidence_signer_key", ["org", "key_id", "digest"])
      .execute();
    await database.schema
      .createIndex("evidence_signer_digest")
      .on("evidence_signer")
      .columns(["org", "digest"])
      .execute();

    await database.schema
      .createTable("evidence_repository")
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("digest", "text", (column) => column.notNull())
      .addColumn("repository", "text", (column) => column.notNull())
      .addColumn("manifest", "text")
      .addColumn("sequence", "integer", (column) => column.notNull())
      .addPrimaryKeyConstraint("evidence_repository_key", ["org", "digest", "repository"])
      .execute();

    // The primary key is the invariant itself: one primary build provenance per repository and artifact.
    await database.schema
      .createTable("primary_provenance")
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("repository", "text", (column) => column.notNull())
      .addColumn("subject", "text", (column) => column.notNull())
      .addColumn("evidence", "text", (column) => column.notNull())
      .addColumn("payload_digest", "text", (column) => column.notNull())
      .addColumn("key_id", "text", (column) => column.notNull())
      .addColumn("entry", "text", (column) => column.notNull())
      .addColumn("trust_version", "integer", (column) => column.notNull())
      .addColumn("sequence", "integer", (column) => column.notNull())
      .addPrimaryKeyConstraint("primary_provenance_key", ["org", "repository", "subject"])
      .execute();
    await database.schema
      .createIndex("primary_provenance_evidence")
      .on("primary_provenance")
      .columns(["org", "evidence"])
      .execute();
  },
};
