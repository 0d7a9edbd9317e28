import { utf8Decode } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { LIMITS } from "./limits.ts";

export type JsonPrimitive = string | number | boolean | null;
export type JsonArray = readonly JsonValue[];
/** An object as parsed: without a prototype, so that `object["constructor"]` is a member or nothing. */
export type JsonObject = { readonly [key: string]: JsonValue };
export type JsonValue = JsonPrimitive | JsonArray | JsonObject;

/** Bounds on one document: bytes of its UTF-8 form, and nesting of arrays and objects. */
export type JsonLimits = { readonly maxBytes: number; readonly maxDepth: number };

const DEFAULT_LIMITS: JsonLimits = { maxBytes: LIMITS.bundleBytes, maxDepth: LIMITS.jsonDepth };

/**
 * Parses one JSON document (RFC 8259) and refuses what readers disagree about: repeated member names, invalid UTF-8, a byte
 * order mark, lone surrogates, numbers beyond the range of a double, members named `__proto__`.
 *
 * Throws `too-large`, `json-too-deep`, `json-duplicate-key`, `json-invalid`, `encoding-invalid`.
 */
export function parseJson(input: string | Uint8Array, limits: JsonLimits = DEFAULT_LIMITS): JsonValue {
  const size = typeof input === "string" ? utf8Length(input, limits.maxBytes) : input.length;
  if (size > limits.maxBytes) {
    throw new EvidenceError("too-large", `JSON document is larger than ${limits.maxBytes} bytes.`);
  }
  return new Parser(typeof input === "string" ? input : utf8Decode(input), limits.maxDepth).document();
}

/** A new object without a prototype, as {@link parseJson} makes them. */
export function emptyObject(): { [key: string]: JsonValue } {
  return Object.create(null) as { [key: string]: JsonValue };
}

/** Whether `value` is an array. (`Array.isArray` alone would forget what it holds.) */
export function isJsonArray(value: JsonValue | undefined): value is JsonArray {
  return Array.isArray(value);
}

/** Whether `value` is an object (not an array, not null). */
export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function utf8Length(text: string, enough: number): number {
  // Every UTF-16 unit takes one to three bytes, so most texts are decided without encoding them.
  if (text.length > enough || text.length * 3 <= enough) return text.length;
  return new TextEncoder().encode(text).length;
}

/** A number at the current position; RFC 8259 §6. */
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
/** The inside of a string up to its closing quote or first escape or control character. */
const PLAIN = /[^"\\\u0000-\u001f]*/y;

class Parser {
  readonly #text: string;
  readonly #maxDepth: number;
  #at = 0;

  constructor(text: string, maxDepth: number) {
    this.#text = text;
    this.#maxDepth = maxDepth;
  }

  document(): JsonValue {
    this.#space();
    const value = this.#value(0);
    this.#space();
    if (this.#at !== this.#text.length) throw this.#error("something follows the document");
    return value;
  }

  #value(depth: number): JsonValue {
    switch (this.#text.charCodeAt(this.#at)) {
      case 0x7b:
        return this.#object(depth + 1);
      case 0x5b:
        return this.#array(depth + 1);
      case 0x22:
        return this.#string();
      case 0x74:
        return this.#literal("true", true);
      case 0x66:
        return this.#literal("false", false);
      case 0x6e:
        return this.#literal("null", null);
      default:
        return this.#number();
    }
  }

  #object(depth: number): JsonObject {
    this.#deepen(depth);
    const object = emptyObject();
    this.#at++;
    this.#space();
    if (this.#take(0x7d)) return object;
    for (;;) {
      if (this.#text.charCodeAt(this.#at) !== 0x22) throw this.#error("a member name is missing");
      const start = this.#at;
      const key = this.#string();
      // Harmless on an object without prototype, but not once someone copies it into an ordinary one.
      if (key === "__proto__") throw this.#error('a member is named "__proto__"', start);
      if (key in object) {
        throw new EvidenceError(
          "json-duplicate-key",
          `JSON member ${JSON.stringify(key.slice(0, 100))} appears twice in one object (at character ${start}).`,
        );
      }
      this.#space();
      if (!this.#take(0x3a)) throw this.#error("a colon is missing");
      this.#space();
      object[key] = this.#value(depth);
      this.#space();
      if (this.#take(0x7d)) return object;
      if (!this.#take(0x2c)) throw this.#error("a comma or closing brace is missing");
      this.#space();
    }
  }

  #array(depth: number): JsonArray {
    this.#deepen(depth);
    const array: JsonValue[] = [];
    this.#at++;
    this.#space();
    if (this.#take(0x5d)) return array;
    for (;;) {
      array.push(this.#value(depth));
      this.#space();
      if (this.#take(0x5d)) return array;
      if (!this.#take(0x2c)) throw this.#error("a comma or closing bracket is missing");
      this.#space();
    }
  }

  #string(): string {
    const start = this.#at;
    let end = start + 1;
    let escaped = false;
    for (;;) {
      PLAIN.lastIndex = end;
      PLAIN.test(this.#text);
      end = PLAIN.lastIndex;
      const code = this.#text.charCodeAt(end);
      if (code === 0x22) break;
      if (code !== 0x5c) throw this.#error("a string is not closed or holds a control character", end);
      escaped = true;
      end += 2;
    }
    this.#at = end + 1;
    const text = escaped ? this.#unescape(start, end + 1) : this.#text.slice(start + 1, end);
    if (!text.isWellFormed()) throw this.#error("a string holds a lone surrogate", start);
    return text;
  }

  /** The engine's own parser turns escapes into characters; it sees one string literal and nothing else. */
  #unescape(start: number, end: number): string {
    let value: unknown;
    try {
      value = JSON.parse(this.#text.slice(start, end));
    } catch (cause) {
      throw this.#error("a string holds an unknown escape", start, cause);
    }
    if (typeof value !== "string") throw this.#error("a string is malformed", start);
    return value;
  }

  #number(): number {
    NUMBER.lastIndex = this.#at;
    const match = NUMBER.exec(this.#text);
    if (match === null) throw this.#error("a value is missing or malformed");
    const value = Number(match[0]);
    if (!Number.isFinite(value)) throw this.#error("a number is out of range");
    this.#at = NUMBER.lastIndex;
    return value;
  }

  #literal<T extends JsonPrimitive>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) throw this.#error("a value is malformed");
    this.#at += word.length;
    return value;
  }

  #deepen(depth: number): void {
    if (depth > this.#maxDepth) {
      throw new EvidenceError("json-too-deep", `JSON is nested more than ${this.#maxDepth} levels deep.`);
    }
  }

  #take(code: number): boolean {
    if (this.#text.charCodeAt(this.#at) !== code) return false;
    this.#at++;
    return true;
  }

  #space(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.#at++;
    }
  }

  #error(what: string, at: number = this.#at, cause?: unknown): EvidenceError {
    return new EvidenceError("json-invalid", `Not valid JSON at character ${at}: ${what}.`, { cause });
  }
}
