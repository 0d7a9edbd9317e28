/** Collects the useful fields of a predicate, within bounds. */
import { member } from "../json-member.ts";
import { isPlainText } from "../quote.ts";
import { isDateTime } from "./shape.ts";

/** A name of this package's making, and the value as the evidence says it. */
export type PredicateField = { readonly name: string; readonly value: string };

/** Values of one predicate, and characters of one value. */
export const FIELD_LIMITS = { values: 64, valueLength: 1_024 } as const;

/** Entries of any one list that are looked through for values. */
const LOOKED_THROUGH = 256;

/** The values found so far. What is no short plain text is left out: half a value would be found by what it is not. */
export class Fields {
  readonly #found = new Map<string, PredicateField>();

  /** Adds a text, a number or a truth value; anything else is no value. */
  add(name: string, value: unknown): void {
    const text = typeof value === "number" || typeof value === "boolean" ? String(value) : value;
    if (typeof text !== "string" || text === "" || text.length > FIELD_LIMITS.valueLength || !isPlainText(text)) return;
    if (this.#found.size < FIELD_LIMITS.values) this.#found.set(`${name} ${text}`, { name, value: text });
  }

  /** Adds a time in its one form, ISO 8601 in UTC with milliseconds; as written if it is none. */
  time(name: string, value: unknown): void {
    this.add(name, isDateTime(value) ? new Date(value).toISOString() : value);
  }

  /** Adds each entry of a list, or what `path` leads to in it. */
  each(name: string, list: unknown, ...path: readonly string[]): void {
    for (const entry of items(list)) this.add(name, path.length === 0 ? entry : member(entry, ...path));
  }

  all(): readonly PredicateField[] {
    return [...this.#found.values()];
  }
}

/** The first entries of a list, or none if it is no list. */
export function items(list: unknown): readonly unknown[] {
  return Array.isArray(list) ? list.slice(0, LOOKED_THROUGH) : [];
}
