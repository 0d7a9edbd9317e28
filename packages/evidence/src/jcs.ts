import { EvidenceError } from "./errors.ts";
import { isJsonArray, type JsonValue } from "./json.ts";
import { LIMITS } from "./limits.ts";

/**
 * The canonical form of a JSON value: RFC 8785 (JSON Canonicalization Scheme). Members are sorted by UTF-16 code units
 * (§3.2.3); numbers and strings are written as ECMAScript does (§3.2.2), which is what `JSON.stringify` of a primitive is.
 *
 * Throws `json-uncanonical` for what JCS cannot write (NaN, infinities, lone surrogates, undefined, objects with a
 * class) and `json-too-deep`.
 */
export function canonicalJson(value: JsonValue): string {
  return write(value, 0);
}

function write(value: JsonValue, depth: number): string {
  if (depth > LIMITS.canonicalDepth) {
    throw new EvidenceError("json-too-deep", `JSON is nested more than ${LIMITS.canonicalDepth} levels deep.`);
  }
  switch (typeof value) {
    case "string":
      if (!value.isWellFormed()) throw new EvidenceError("json-uncanonical", "A string holds a lone surrogate.");
      return JSON.stringify(value);
    case "number":
      if (!Number.isFinite(value)) throw new EvidenceError("json-uncanonical", `${value} is not a JSON number.`);
      return JSON.stringify(value);
    case "boolean":
      return value ? "true" : "false";
    case "object":
      if (value === null) return "null";
      return isJsonArray(value) ? writeArray(value, depth) : writeObject(value, depth);
    default:
      throw new EvidenceError("json-uncanonical", `A value of type ${typeof value} has no JSON form.`);
  }
}

function writeArray(array: readonly JsonValue[], depth: number): string {
  const parts: string[] = [];
  // By index, so that a hole in a sparse array is met as undefined and refused instead of being skipped.
  for (let i = 0; i < array.length; i++) parts.push(write(array[i] as JsonValue, depth + 1));
  return `[${parts.join(",")}]`;
}

function writeObject(object: { readonly [key: string]: JsonValue }, depth: number): string {
  const prototype: unknown = Object.getPrototypeOf(object);
  // Accepts plain objects of other realms too: their prototype is itself the end of its chain.
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
    throw new EvidenceError("json-uncanonical", "An object that is not a plain one has no JSON form.");
  }
  const parts: string[] = [];
  for (const key of Object.keys(object).sort()) {
    parts.push(`${write(key, depth)}:${write(object[key] as JsonValue, depth + 1)}`);
  }
  return `{${parts.join(",")}}`;
}
