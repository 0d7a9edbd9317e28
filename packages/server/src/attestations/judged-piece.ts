import { z } from "zod";
import type { JudgingContext } from "./artifact-bytes.ts";
import { EVIDENCE_FORMS } from "./piece.ts";
import type { EvidenceRow, PrimaryRow } from "./queries.ts";
import { type Question, type Status, statusOf } from "./status.ts";

const timeSchema = z.strictObject({
  source: z.enum(["received-here", "receipt", "rfc3161", "log"]),
  time: z.int().describe("ms since 1970"),
  evidence: z.string().describe("What proves it."),
});

const steps = z
  .array(z.record(z.string(), z.unknown()))
  .optional()
  .describe(
    "With explain=true: what was checked, in order, each with its outcome (passed, failed, not-evaluated), a sentence, and the steps it was found by.",
  );

const statusSchema = z.discriminatedUnion("status", [
  z.strictObject({
    status: z.literal("verified"),
    by: z.strictObject({
      kind: z.enum(["key", "certificate", "openpgp"]),
      principal: z.string().describe("What counts as one signer, whatever entries it has."),
      entry: z.string(),
      name: z.string(),
      keyId: z.string(),
      algorithm: z.string(),
      certificate: z
        .strictObject({
          issuer: z.string().nullable().describe("The OIDC issuer it names."),
          subject: z.string(),
          fingerprint: z.string().describe("SHA-256 of its DER."),
          claims: z.record(z.string(), z.string()).describe("What its authority says of its holder, by name."),
        })
        .optional(),
      entries: z
        .array(z.strictObject({ entry: z.string(), name: z.string(), counts: z.boolean() }))
        .describe("Every trust entry that means the signer; `counts` where its scope and time cover this evidence."),
    }),
    time: timeSchema.nullable(),
    steps,
  }),
  z.strictObject({ status: z.literal("reported"), steps }),
  z.strictObject({ status: z.literal("refused"), code: z.string(), message: z.string(), steps }),
]);

/** A piece of evidence about an artifact and what it is worth, as every answer says it that judges. */
export const judgedPieceSchema = z.strictObject({
  evidence: z.string(),
  form: z.enum(EVIDENCE_FORMS),
  predicateType: z.string().nullable().describe("What it claims to be; null when it cannot be read."),
  size: z.int(),
  receivedAt: z.int().describe("ms since 1970, by the record"),
  sequence: z.int(),
  firstSequence: z
    .int()
    .describe("Where in the record the same signature first came, in whatever bytes: its own sequence for the first."),
  repositories: z.array(z.string()).describe("Where it was given."),
  primary: z.boolean().describe("Whether it is the primary build provenance in the repository asked about."),
  status: statusSchema,
});

export type JudgedPiece = z.output<typeof judgedPieceSchema>;

/** The wire form of a status: who, or why not; and how that was found out, when that is asked. */
function showStatus(status: Status, explain: boolean): z.output<typeof statusSchema> {
  const how = explain ? { steps: status.steps.map((step) => ({ ...step })) } : {};
  switch (status.status) {
    case "verified": {
      const { entries, certificate, ...by } = status.signer;
      const claims =
        certificate === undefined ? {} : { certificate: { ...certificate, claims: { ...certificate.claims } } };
      return { status: "verified", by: { ...by, entries: [...entries], ...claims }, time: status.time, ...how };
    }
    case "reported":
      return { status: "reported", ...how };
    case "refused":
      return { status: "refused", code: status.code, message: status.message, ...how };
  }
}

/** Judges a piece, and says what is known of it beside that. */
export async function judgedPiece(
  context: JudgingContext,
  row: EvidenceRow,
  question: Question,
  beside: {
    /** Where it was given, as far as whoever asks may see. */
    readonly repositories: readonly string[];
    /** The artifact's primary provenance in the repository asked about. */
    readonly primary: PrimaryRow | undefined;
    readonly asOf: number;
    /** Whether to say what was checked. */
    readonly explain: boolean;
  },
): Promise<JudgedPiece> {
  const { repositories, primary, asOf, explain } = beside;
  return {
    evidence: row.digest,
    form: row.form,
    predicateType: row.predicate_type,
    size: row.size,
    receivedAt: row.time,
    sequence: row.sequence,
    firstSequence: row.first_sequence,
    repositories: [...repositories],
    primary: row.form === "dsse" && primary?.evidence === row.digest && primary.sequence <= asOf,
    status: showStatus(await statusOf(context, row, question), explain),
  };
}
