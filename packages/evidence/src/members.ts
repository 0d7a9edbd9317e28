/**
 * Reading members of a parsed JSON object with one error code: every reader of this package says what it wants, by name,
 * and what it does not know it refuses.
 */
import { fromBase64 } from "./encoding.ts";
import { EvidenceError, type EvidenceErrorCode } from "./errors.ts";
import { isJsonArray, isJsonObject, type JsonObject, type JsonValue } from "./json.ts";

export class Members {
  readonly #object: JsonObject;
  readonly #where: string;
  readonly #code: EvidenceErrorCode;

  /** `where` names the object in messages; `code` is thrown for all that is wrong. */
  constructor(value: JsonValue | undefined, where: string, code: EvidenceErrorCode) {
    if (!isJsonObject(value)) throw new EvidenceError(code, `${where} is not an object.`);
    this.#object = value;
    this.#where = where;
    this.#code = code;
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#object, name);
  }

  get(name: string): JsonValue | undefined {
    return this.has(name) ? this.#object[name] : undefined;
  }

  /** Demands that the object has no member besides these. */
  only(names: readonly string[], code: EvidenceErrorCode = this.#code): this {
    const unknown = Object.keys(this.#object).find((name) => !names.includes(name));
    if (unknown !== undefined) {
      throw new EvidenceError(code, `${this.#where} has an unknown member ${JSON.stringify(unknown.slice(0, 100))}.`);
    }
    return this;
  }

  object(name: string): Members {
    return new Members(this.get(name), this.path(name), this.#code);
  }

  array(name: string, most: number): readonly JsonValue[] {
    const value = this.get(name);
    if (!isJsonArray(value)) throw this.wrong(name, "is not an array");
    if (value.length > most) throw new EvidenceError("too-large", `${this.path(name)} has more than ${most} elements.`);
    return value;
  }

  /** The elements of an array of objects. */
  objects(name: string, most: number): Members[] {
    return this.array(name, most).map((value, index) => {
      return new Members(value, `${this.path(name)}[${index}]`, this.#code);
    });
  }

  string(name: string, most: number): string {
    const value = this.get(name);
    if (typeof value !== "string") throw this.wrong(name, "is not a string");
    if (value.length > most)
      throw new EvidenceError("too-large", `${this.path(name)} is longer than ${most} characters.`);
    return value;
  }

  optionalString(name: string, most: number): string | undefined {
    return this.has(name) ? this.string(name, most) : undefined;
  }

  strings(name: string, mostElements: number, mostLength: number): string[] {
    return this.array(name, mostElements).map((value) => {
      if (typeof value !== "string" || value.length > mostLength)
        throw this.wrong(name, "holds something other than short strings");
      return value;
    });
  }

  boolean(name: string): boolean {
    const value = this.get(name);
    if (typeof value !== "boolean") throw this.wrong(name, "is not true or false");
    return value;
  }

  /** A whole number from 0 to 2^53-1. */
  count(name: string): number {
    const value = this.get(name);
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0)
      throw this.wrong(name, "is not a whole number");
    return value;
  }

  /** Bytes written in strict base64; at most `most` of them. */
  bytes(name: string, most: number): Uint8Array {
    return this.#decode(name, this.string(name, Math.ceil(most / 3) * 4));
  }

  /** The elements of an array of texts in strict base64, each of at most `mostBytes`. */
  byteStrings(name: string, mostElements: number, mostBytes: number): Uint8Array[] {
    return this.strings(name, mostElements, Math.ceil(mostBytes / 3) * 4).map((text) => this.#decode(name, text));
  }

  #decode(name: string, text: string): Uint8Array {
    try {
      return fromBase64(text);
    } catch (cause) {
      throw new EvidenceError(this.#code, `${this.path(name)} is not standard, padded base64.`, { cause });
    }
  }

  path(name: string): string {
    return `${this.#where}.${name}`;
  }

  wrong(name: string, what: string): EvidenceError {
    return new EvidenceError(this.#code, `${this.path(name)} ${this.has(name) ? what : "is missing"}.`);
  }
}
