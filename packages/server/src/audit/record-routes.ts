import { type JsonValue, parseJson, toHex } from "@assay/evidence";
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import type { Authenticator } from "../access/authenticate.ts";
import { requireActor } from "../access/authenticate.ts";
import { authorize } from "../access/authorize.ts";
import { Problem } from "../http/problem.ts";
import { receiptSchema } from "../http/receipt.ts";
import { SYSTEM_ORG } from "../record/command.ts";
import { MAX_EVENT_BYTES } from "../record/event.ts";
import type { RecordProver } from "../record/prover.ts";
import { redactionOf } from "../record/redaction.ts";
import type { RecordTables } from "../record/schema.ts";
import type { Reader } from "../storage/database.ts";

export interface RecordRoutesContext {
  readonly reader: Reader;
  readonly prover: RecordProver;
  readonly authenticator: Authenticator;
}

const eventSchema = z.object({
  sequence: z.int(),
  commitment: z.string(),
  event: z.record(z.string(), z.unknown()),
  /**
   * Strings of the event were replaced later, by the event `by`, which names this one's canonical JSON by its SHA-256; the commitment is
   * still that of the event as it was recorded.
   */
  redacted: z.object({ by: z.int(), fields: z.array(z.string()).readonly() }).optional(),
});

const PAGE = 100;

/** Events read from the database at once, and the bytes of them after which a page is cut: an event may have megabytes. */
const STEP = 20;
const PAGE_BYTES = 8 * 1024 * 1024;

/** Reading the record: events of an organisation, one event, and its receipt. */
export function registerRecordRoutes(app: FastifyInstance, context: RecordRoutesContext): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const { reader, prover, authenticator } = context;
  const sequenceParams = z.object({
    sequence: z
      .string()
      .regex(/^\d{1,15}$/)
      .transform(Number),
  });

  api.get(
    "/api/assay/v1/orgs/:org/record",
    {
      schema: {
        summary: "The events of an organisation, in order",
        tags: ["record"],
        params: z.object({ org: z.string() }),
        querystring: z.object({
          after: z
            .string()
            .regex(/^-?\d{1,15}$/)
            .transform(Number)
            .optional(),
          limit: z
            .string()
            .regex(/^\d{1,4}$/)
            .transform(Number)
            .optional(),
        }),
        response: { 200: z.object({ events: z.array(eventSchema), next: z.string().nullable() }) },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const refusal = await authorize(reader, actor, "record.read", { org: request.params.org });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      const limit = Math.min(Math.max(request.query.limit ?? PAGE, 1), 1000);
      const events: z.output<typeof eventSchema>[] = [];
      let after = request.query.after ?? -1;
      let bytes = 0;
      for (;;) {
        // One more than fits shows whether there is a next page.
        const step = Math.min(STEP, limit + 1 - events.length);
        const rows = await eventsAfter(reader, request.params.org, after, step);
        for (const row of rows) {
          if (events.length === limit || bytes >= PAGE_BYTES) return { events, next: String(after) };
          events.push(await shown(reader, row.sequence, row));
          bytes += row.bytes.length;
          after = row.org_sequence;
        }
        if (rows.length < step) return { events, next: null };
      }
    },
  );

  /** The organisation an event belongs to decides who may read it; an unknown sequence and another's are the same answer. */
  async function readable(request: { headers: { authorization?: string | undefined } }, sequence: number) {
    const actor = await requireActor(authenticator, request);
    const row = await reader
      .tables<RecordTables>()
      .selectFrom("event")
      .innerJoin("leaf", "leaf.sequence", "event.sequence")
      .select(["event.org", "event.bytes", "leaf.salt", "leaf.commitment"])
      .where("event.sequence", "=", sequence)
      .executeTakeFirst();
    // Asked also of what is not there: that takes as long as what is another's.
    const refusal = await authorize(reader, actor, "record.read", { org: row?.org ?? SYSTEM_ORG });
    if (row === undefined || refusal !== undefined) {
      throw new Problem(404, "event-unknown", `there is no event ${sequence}`);
    }
    return row;
  }

  api.get(
    "/api/assay/v1/record/:sequence",
    {
      schema: {
        summary: "One event",
        tags: ["record"],
        params: sequenceParams,
        response: { 200: eventSchema },
      },
    },
    async (request) => {
      const { sequence } = request.params;
      const row = await readable(request, sequence);
      return await shown(reader, sequence, row);
    },
  );

  api.get(
    "/api/assay/v1/record/:sequence/receipt",
    {
      schema: {
        summary: "The receipt of an event: what proves offline that it is in the log",
        tags: ["record"],
        params: sequenceParams,
        response: { 200: receiptSchema },
      },
    },
    async (request) => {
      const { sequence } = request.params;
      await readable(request, sequence);
      const receipt = await prover.receipt(sequence);
      if (receipt === undefined) {
        throw new Problem(503, "receipt-not-ready", `event ${sequence} is recorded but not published yet`, {
          hint: "try again in a moment; if it lasts, look at /readyz",
          headers: { "retry-after": "1" },
        });
      }
      return receipt;
    },
  );
}

/** An event as it is shown; one that stands redacted says so. */
async function shown(
  reader: Reader,
  sequence: number,
  row: { readonly bytes: Uint8Array; readonly salt: Uint8Array; readonly commitment: Uint8Array },
): Promise<z.output<typeof eventSchema>> {
  const redacted = row.salt.length === 0 ? await redactionOf(reader, sequence) : undefined;
  return {
    sequence,
    commitment: toHex(row.commitment),
    event: eventJson(row.bytes),
    ...(redacted === undefined ? {} : { redacted }),
  };
}

/** An organisation's events after one of its own sequences, in order. */
async function eventsAfter(reader: Reader, org: string, after: number, limit: number) {
  return reader
    .tables<RecordTables>()
    .selectFrom("event")
    .innerJoin("leaf", "leaf.sequence", "event.sequence")
    .select(["event.sequence", "event.bytes", "event.org_sequence", "leaf.salt", "leaf.commitment"])
    .where("event.org", "=", org)
    .where("event.org_sequence", ">", after)
    .orderBy("event.org_sequence")
    .limit(limit)
    .execute();
}

function eventJson(bytes: Uint8Array): { [key: string]: JsonValue } {
  const value = parseJson(bytes, { maxBytes: MAX_EVENT_BYTES, maxDepth: 64 });
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new Problem(500, "event-unreadable", "a stored event is not an object", { hint: "run `assay server check`" });
  }
  return value as { [key: string]: JsonValue };
}
