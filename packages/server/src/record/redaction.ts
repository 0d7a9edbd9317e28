import { z } from "zod";
import type { Reader } from "../storage/database.ts";
import { accept, defineCommand, defineEvent, type NewEvent, type RecordPart, refuse } from "./command.ts";
import { decodeEnvelope } from "./event.ts";
import type { RecordTables } from "./schema.ts";

/** The event that puts other bytes in the place of earlier events' own. */
export const EVENTS_REDACTED = "record.events-redacted";

/** Events one command redacts at most, and strings of each (the limits of `verifyRedaction` in `@assay/evidence`). */
export const REDACTION_LIMITS = { events: 10_000, fields: 256, text: 1_024 } as const;

const redactionBody = z.strictObject({
  reason: z.string().min(1).max(REDACTION_LIMITS.text),
  redactions: z
    .array(
      z.strictObject({
        sequence: z.int().nonnegative(),
        /** Lower-case hex SHA-256 of the bytes that stand in the event's place from now on. */
        digest: z.string().regex(/^[0-9a-f]{64}$/),
        /** JSON pointers (RFC 6901) into the event: the strings that were replaced. What they said is nowhere here. */
        fields: z.array(z.string().min(1).max(REDACTION_LIMITS.text)).min(1).max(REDACTION_LIMITS.fields),
      }),
    )
    .min(1)
    .max(REDACTION_LIMITS.events),
});

export type Redaction = z.output<typeof redactionBody>["redactions"][number];

/** What stands redacted: the newest redaction of each event, and the sequence of the event that made it. */
export type Redactions = ReadonlyMap<number, Redaction & { readonly by: number }>;

/**
 * Redaction as facts of the record. The command only takes it down; the bytes are replaced in the same transaction by
 * `assay server redact` (admin/redact.ts), the one thing that issues it.
 *
 * The fact stands in the chain of the organisation whose events it redacts, so that an audit package of that organisation holds it, and
 * no other organisation's.
 */
export const redactionPart: RecordPart = {
  projections: ["redaction"],
  commands: [
    defineCommand({
      type: "record.redact-events",
      body: redactionBody,
      decide: async (reader, body, context) => {
        if (context.actor.id !== "system") return refuse("denied", "only the service redacts", { status: 403 });
        const byOrg = new Map<string, Redaction[]>();
        let previous = -1;
        for (const redaction of body.redactions) {
          if (redaction.sequence <= previous) return refuse("redaction-invalid", "each event once, in order");
          previous = redaction.sequence;
          const row = await reader
            .tables<RecordTables>()
            .selectFrom("event")
            .select(["org", "type"])
            .where("sequence", "=", redaction.sequence)
            .executeTakeFirst();
          if (row === undefined)
            return refuse("event-unknown", `there is no event ${redaction.sequence}`, { status: 404 });
          byOrg.set(row.org, [...(byOrg.get(row.org) ?? []), redaction]);
        }
        const events: NewEvent[] = [...byOrg].map(([org, redactions]) => ({
          type: EVENTS_REDACTED,
          org,
          body: { reason: body.reason, redactions },
        }));
        return accept(events, events.length);
      },
    }),
  ],
  events: [
    defineEvent({
      type: EVENTS_REDACTED,
      version: 1,
      body: redactionBody,
      project: async (transactor, event) => {
        for (const { sequence, digest, fields } of event.body.redactions) {
          const row = { redacted_by: event.sequence, digest, fields: JSON.stringify(fields) };
          await transactor
            .tables<RecordTables>()
            .insertInto("redaction")
            .values({ sequence, ...row })
            .onConflict((conflict) => conflict.column("sequence").doUpdateSet(row))
            .execute();
        }
      },
    }),
  ],
  operations: [],
};

/** Reads the redactions an event makes; none when it is no redaction. @throws ZodError when it is a damaged one. */
export function redactionsIn(envelope: { readonly type: string; readonly body: unknown }): readonly Redaction[] {
  return envelope.type === EVENTS_REDACTED ? redactionBody.parse(envelope.body).redactions : [];
}

/**
 * What stands redacted, from the events themselves. A redaction stands after what it redacts; one that says otherwise counts for nothing.
 */
export async function readRedactions(reader: Reader): Promise<Redactions> {
  const rows = reader
    .tables<RecordTables>()
    .selectFrom("event")
    .select(["sequence", "bytes"])
    .where("type", "=", EVENTS_REDACTED)
    .orderBy("sequence")
    .stream(100);
  const found = new Map<number, Redaction & { readonly by: number }>();
  for await (const row of rows) {
    for (const redaction of redactionsIn(decodeEnvelope(row.bytes))) {
      if (redaction.sequence < row.sequence) found.set(redaction.sequence, { ...redaction, by: row.sequence });
    }
  }
  return found;
}

/** The redaction an event stands under; undefined when it stands as it was recorded. */
export async function redactionOf(
  reader: Reader,
  sequence: number,
): Promise<{ readonly by: number; readonly fields: readonly string[] } | undefined> {
  const row = await reader
    .tables<RecordTables>()
    .selectFrom("redaction")
    .select(["redacted_by", "fields"])
    .where("sequence", "=", sequence)
    .executeTakeFirst();
  return row && { by: row.redacted_by, fields: z.array(z.string()).parse(JSON.parse(row.fields)) };
}
