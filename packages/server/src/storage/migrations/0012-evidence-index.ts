import type { Migration } from "./migration.ts";

/** What evidence can be searched by: fields of its predicate, its type, its signers and the time it came; and in what it came wrapped. */
export const evidenceIndexMigration: Migration = {
  name: "0012-evidence-index",
  async up(database) {
    const { schema } = database;
    await schema
      .createTable("evidence_field")
      .addColumn("org", "text", (column) => column.notNull())
      .addColumn("name", "text", (column) => column.notNull())
      .addColumn("value", "text", (column) => column.notNull())
      .addColumn("digest", "text", (column) => column.notNull())
      .addColumn("sequence", "integer", (column) => column.notNull())
      // The key is what a search walks along and what it looks up: which pieces have this field, in order, and whether one has that.
      .addPrimaryKeyConstraint("evidence_field_key", ["org", "name", "value", "sequence"])
      .execute();
    await schema.createIndex("evidence_field_piece").on("evidence_field").columns(["org", "sequence"]).execute();

    await schema.alterTable("evidence").addColumn("wrapping", "text").execute();
    await schema.createIndex("evidence_type").on("evidence").columns(["org", "predicate_type", "sequence"]).execute();
    await schema.createIndex("evidence_time").on("evidence").columns(["org", "time", "sequence"]).execute();
    await schema
      .createIndex("evidence_signer_sequence")
      .on("evidence_signer")
      .columns(["org", "key_id", "sequence"])
      .execute();

    // What a piece is about, and who signed it, in order. With less in the index, SQLite rather walks along the table's key, whose order
    // it is, through all that the organisation has.
    await schema.dropIndex("evidence_subject_digest").execute();
    await schema
      .createIndex("evidence_subject_piece")
      .on("evidence_subject")
      .columns(["org", "digest", "subject"])
      .execute();
    await schema.dropIndex("evidence_signer_digest").execute();
    await schema
      .createIndex("evidence_signer_piece")
      .on("evidence_signer")
      .columns(["org", "digest", "key_id"])
      .execute();

    // Whether an organisation holds an artifact at all: what a signature over its bytes is judged with.
    await schema.createIndex("manifest_reference_held").on("manifest_reference").columns(["org", "digest"]).execute();
    await schema.createIndex("manifest_held").on("manifest").columns(["org", "digest"]).execute();
  },
};
