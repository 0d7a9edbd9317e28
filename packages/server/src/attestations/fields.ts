import { type JsonValue, LIMITS, utf8Encode } from "@assay/evidence";
import { usefulFields } from "@assay/policy";
import { z } from "zod";

/** Bounds on what one piece is indexed by. Values stand in an index, whose rows PostgreSQL bounds at 2,704 bytes. */
export const FIELD_LIMITS = {
  /** Fields of one piece. */
  count: 64,
  /** Characters of a name. */
  name: 64,
  /** UTF-8 bytes of a value. */
  valueBytes: 1_024,
} as const;

/** One thing a piece says of itself that it can be found by. A claim, like all it says. */
export const fieldSchema = z.strictObject({
  name: z.string().min(1).max(FIELD_LIMITS.name),
  value: z.string().max(FIELD_LIMITS.valueBytes),
});

export type Field = z.output<typeof fieldSchema>;

/**
 * What a piece can be found by. A value that is too long, or that a database cannot hold as text, is left out: cut short it would be
 * found by what it does not say.
 */
export function readFields(predicateType: string, predicate: JsonValue): Field[] {
  const fields = new Map<string, Field>();
  for (const { name, value } of usefulFields(predicateType, predicate)) {
    if (fields.size === FIELD_LIMITS.count) break;
    if (name === "" || name.length > FIELD_LIMITS.name || value === "" || !isIndexable(value)) continue;
    fields.set(JSON.stringify([name, value]), { name, value });
  }
  return [...fields.values()];
}

/** Whether a text can stand in an index of both databases: short enough, no NUL, no half of a surrogate pair. */
export function isIndexable(text: string): boolean {
  return (
    text.length <= FIELD_LIMITS.valueBytes &&
    !text.includes("\u0000") &&
    text.isWellFormed() &&
    utf8Encode(text).length <= FIELD_LIMITS.valueBytes
  );
}

/** Whether a predicate type can stand in the index. Types are URIs: what is longer in bytes than in characters is none. */
export function isIndexableType(predicateType: string): boolean {
  return predicateType.length <= LIMITS.typeLength && isIndexable(predicateType);
}
