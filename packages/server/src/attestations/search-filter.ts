import { LIMITS } from "@assay/evidence";
import { z } from "zod";
import { Problem } from "../http/problem.ts";
import { type Field, FIELD_LIMITS } from "./fields.ts";
import { digestSchema } from "./piece.ts";
import type { Search } from "./search-queries.ts";

/** Fields that one search may name. */
const MAX_FIELDS = 8;

const moment = z.union([
  z.iso.datetime({ offset: true }).transform((text) => Date.parse(text)),
  z.coerce.number().int().nonnegative().max(8_640_000_000_000_000),
]);

const field = z
  .string()
  .min(3)
  .max(FIELD_LIMITS.name + 1 + FIELD_LIMITS.valueBytes);

/** The query parameters of a search; every one narrows it. */
export const searchQuery = {
  predicateType: z.string().min(1).max(LIMITS.typeLength).optional(),
  field: z
    .union([field, z.array(field).max(MAX_FIELDS)])
    .optional()
    .describe('What the predicate says, as name=value: "builder.id=https://…"; may be given several times.'),
  signer: z
    .string()
    .regex(/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/)
    .optional()
    .describe("Key id of an identity that the signature was proven to be of when it came in."),
  subject: digestSchema.optional().describe("What it is about."),
  after: moment.optional().describe("Received at this time or later: ISO 8601, or ms since 1970."),
  before: moment.optional().describe("Received before this time."),
} as const;

const parsed = z.object(searchQuery);

/** The search that a query asks for. @throws Problem 400 for a field that is not name=value. */
export function searchOf(query: z.output<typeof parsed>): Search {
  const { predicateType, signer, subject, after, before } = query;
  const texts = query.field === undefined ? [] : typeof query.field === "string" ? [query.field] : query.field;
  return { predicateType, signer, subject, after, before, fields: texts.map(fieldOf) };
}

function fieldOf(text: string): Field {
  const at = text.indexOf("=");
  if (at > 0 && at <= FIELD_LIMITS.name && at < text.length - 1 && !text.includes("\u0000")) {
    return { name: text.slice(0, at), value: text.slice(at + 1) };
  }
  throw new Problem(400, "request-invalid", `/field: ${JSON.stringify(text.slice(0, 100))} is not name=value`);
}
