import { z } from "zod";
import { isSiblingRepository } from "../access/names.ts";
import { defineEvent, type EventDefinition, type RecordedEvent } from "../record/command.ts";
import type { Transactor } from "../storage/database.ts";
import { digestSchema, EVIDENCE_FORMS, type Given, givenSchema, sourceSchema } from "./piece.ts";
import type { AttestationTables } from "./schema.ts";

/** Rows one statement inserts at most: databases bound the parameters of a statement. */
const CHUNK = 500;

const addedBody = givenSchema.extend({
  /** The first piece that came with the same signature, in another wrapping; null when this is the first. */
  earlier: z.strictObject({ sequence: z.int().nonnegative(), time: z.int().nonnegative() }).nullable(),
});

const linkedBody = z.strictObject({
  evidence: digestSchema,
  form: z.enum(EVIDENCE_FORMS),
  /** A repository it was not in before; null when only the subject is new. */
  repository: z.string().nullable(),
  /** An artifact it was attached to and was not listed under before. */
  subject: digestSchema.nullable(),
  source: sourceSchema,
});

const primaryBody = z.strictObject({
  repository: z.string(),
  subjects: z.array(digestSchema).min(1),
  evidence: digestSchema,
  payloadDigest: digestSchema,
  keyId: z.string(),
  entry: z.string(),
  /** The version of trust under which the key was primary. */
  trustVersion: z.int().positive(),
});

/** What may stand in the place of words that are redacted. Types, digests and keys are never: verdicts rest on them. */
const isWords = (replacement: string): boolean => replacement.length <= 255;

type SubjectRow = AttestationTables["evidence_subject"];

async function insertSubjects(transactor: Transactor, rows: readonly SubjectRow[]): Promise<void> {
  for (let start = 0; start < rows.length; start += CHUNK) {
    await transactor
      .tables<AttestationTables>()
      .insertInto("evidence_subject")
      .values(rows.slice(start, start + CHUNK))
      .execute();
  }
}

/** Writes down what a piece can be found by. Redaction can make two fields the same: then it is found by one. */
async function insertFields(
  transactor: Transactor,
  { org, sequence, body }: RecordedEvent<Pick<Given, "evidence" | "fields">>,
): Promise<void> {
  const fields = new Map(body.fields.map((field) => [JSON.stringify([field.name, field.value]), field]));
  if (fields.size === 0) return;
  await transactor
    .tables<AttestationTables>()
    .insertInto("evidence_field")
    .values([...fields.values()].map(({ name, value }) => ({ org, name, value, digest: body.evidence, sequence })))
    .execute();
}

/** Writes down where a piece was given, if it was given to a repository. */
async function insertRepository(
  transactor: Transactor,
  { org, sequence, body }: RecordedEvent<Pick<Given, "evidence" | "repository" | "source">>,
): Promise<void> {
  if (body.repository === null) return;
  await transactor
    .tables<AttestationTables>()
    .insertInto("evidence_repository")
    .values({
      org,
      digest: body.evidence,
      repository: body.repository,
      manifest: body.source.kind === "api" ? null : body.source.manifest,
      sequence,
    })
    // The same bytes can come to a repository in two forms; where they are is one fact.
    .onConflict((conflict) => conflict.columns(["org", "digest", "repository"]).doNothing())
    .execute();
}

/** The facts about evidence: that it came, where else it came, and that it became an artifact's primary provenance. */
export const attestationEvents: readonly EventDefinition[] = [
  defineEvent({
    type: "attestations.evidence-added",
    version: 3,
    body: addedBody,
    upcast: {
      // The first events of version 1 say nothing of the signature and of earlier pieces with it: such a piece counts as new when it came.
      1: (body) => ({ signature: null, earlier: null, step: null, ...body }),
      // Until version 2 all signed evidence came in Sigstore bundles, and nothing but type, subjects and steps was indexed.
      2: (body) => ({ wrapping: null, fields: [], ...body }),
    },
    redactable: {
      "/repository": isSiblingRepository,
      "/hint": isWords,
      "/unreadable": isWords,
      "/step/flow": isWords,
      "/step/trail": isWords,
      "/step/name": isWords,
      "/fields/*/value": isWords,
    },
    project: async (transactor, event) => {
      const { org, sequence, body } = event;
      const tables = transactor.tables<AttestationTables>();
      await tables
        .insertInto("evidence")
        .values({
          org,
          digest: body.evidence,
          form: body.form,
          size: body.size,
          predicate_type: body.predicateType,
          payload_digest: body.payloadDigest,
          signature: body.signature,
          hint: body.hint,
          unreadable: body.unreadable,
          wrapping: body.wrapping,
          actor: event.actor,
          sequence,
          time: event.time,
          first_sequence: body.earlier?.sequence ?? sequence,
          first_time: body.earlier?.time ?? event.time,
        })
        .execute();
      await insertSubjects(
        transactor,
        [...new Set(body.subjects)].map((subject) => ({
          org,
          subject,
          digest: body.evidence,
          form: body.form,
          sequence,
        })),
      );
      if (body.step !== null) {
        await tables
          .insertInto("evidence_step")
          .values({
            org,
            flow: body.step.flow ?? "",
            trail: body.step.trail ?? "",
            name: body.step.name ?? "",
            digest: body.evidence,
            form: body.form,
            sequence,
          })
          .execute();
      }
      await insertFields(transactor, event);
      for (const key_id of new Set(body.signers)) {
        await tables.insertInto("evidence_signer").values({ org, key_id, digest: body.evidence, sequence }).execute();
      }
      await insertRepository(transactor, event);
    },
  }),
  defineEvent({
    type: "attestations.evidence-linked",
    version: 1,
    body: linkedBody,
    redactable: { "/repository": isSiblingRepository },
    project: async (transactor, event) => {
      const { org, sequence, body } = event;
      if (body.subject !== null) {
        await insertSubjects(transactor, [
          { org, subject: body.subject, digest: body.evidence, form: body.form, sequence },
        ]);
      }
      await insertRepository(transactor, event);
    },
  }),
  defineEvent({
    type: "attestations.primary-set",
    version: 1,
    body: primaryBody,
    redactable: { "/repository": isSiblingRepository },
    project: async (transactor, event) => {
      const { org, sequence, body } = event;
      const rows = body.subjects.map((subject) => ({
        org,
        repository: body.repository,
        subject,
        evidence: body.evidence,
        payload_digest: body.payloadDigest,
        key_id: body.keyId,
        entry: body.entry,
        trust_version: body.trustVersion,
        sequence,
      }));
      // INVARIANT: one row per (organisation, repository, subject), and none is ever changed. Were the decision ever wrong about it,
      // the table's key fails the whole transaction.
      for (let start = 0; start < rows.length; start += CHUNK) {
        await transactor
          .tables<AttestationTables>()
          .insertInto("primary_provenance")
          .values(rows.slice(start, start + CHUNK))
          .execute();
      }
    },
  }),
];
