/** What is worth finding evidence by: a few named values out of a predicate. */
import { Fields, type PredicateField } from "./fields.ts";
import { predicateKind } from "./table.ts";

export type { PredicateField } from "./fields.ts";

/**
 * The useful fields of a predicate, for an index: `builder.id`, `source.repository`, `result` and so on. At most 64 values of at most 1,024
 * characters each, every pair once, in an order that depends on the predicate alone. Nothing but what the type's specification
 * places there is read; an unknown type has none, and a predicate of the wrong form has what of it can be read.
 */
export function usefulFields(predicateType: string, predicate: unknown): readonly PredicateField[] {
  const kind = predicateKind(predicateType);
  if (kind === undefined) return [];
  const fields = new Fields();
  kind.fields(fields, predicate);
  return fields.all();
}
